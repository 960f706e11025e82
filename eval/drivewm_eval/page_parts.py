"""Pieces of a page: tables, figures with captions, sentences."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure of a table, and whether it is to be marked."""

    text: str
    mark: Literal["", "best", "worse"] = ""


Row = tuple[str, Sequence[Cell | str]]
"""What a row is about, and its cells."""


def table(head: Sequence[str], bodies: Iterable[tuple[str, Iterable[Row]]]) -> str:
    """A table with a heading over each body that has a name."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    parts = [f"<thead><tr>{top}</tr></thead>"]
    for name, rows in bodies:
        parts.append("<tbody>")
        if name:
            cell = f'<th scope="rowgroup" colspan="{len(head)}">{html.escape(name)}</th>'
            parts.append(f'<tr class="group">{cell}</tr>')
        for about, cells in rows:
            drawn = "".join(_cell(cell) for cell in cells)
            parts.append(f'<tr><th scope="row">{html.escape(about)}</th>{drawn}</tr>')
        parts.append("</tbody>")
    return f'<div class="wide"><table>{"".join(parts)}</table></div>'


def _cell(cell: Cell | str) -> str:
    cell = Cell(text=cell) if isinstance(cell, str) else cell
    mark = f' class="{cell.mark}"' if cell.mark else ""
    return f"<td{mark}>{html.escape(cell.text)}</td>"


def figure(svg: str, caption: str) -> str:
    """A drawing (markup) with a caption (text)."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def figures(drawn: Iterable[str]) -> str:
    return f'<div class="figures">{"".join(drawn)}</div>'


def note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def heading(text: str) -> str:
    return f"<h3>{html.escape(text)}</h3>"


def number(value: float | None, digits: int = 3) -> str:
    """A dash for what is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A share with its sign, in percent."""
    return "–" if value is None else f"{100 * value:+.0f} %"
