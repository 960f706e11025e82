"""Lines over the seconds ahead, as SVG."""

from __future__ import annotations

import html
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

WIDE, HIGH, LEFT, TOP = 330, 220, 46, 14
COLOURS = ("#c2571a", "#7b4fa3", "#6b7280", "#1f6fb2", "#2e7d4f")
STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def line_chart_svg(
    seconds: Float[ndarray, "F"], lines: Mapping[str, Float[ndarray, "F"]], label: str, unit: str
) -> str:
    """Each line with a dot a step and its name beside its end; the vertical axis begins at nought.

    `label` says what is seen to who cannot see it, `unit` what the vertical axis counts.
    """
    top = max((float(np.max(line)) for line in lines.values()), default=0.0) or 1.0
    tick = next((step for step in STEPS if top / step <= 5), STEPS[-1])
    last = float(seconds[-1])
    width, height = LEFT + WIDE + 168, TOP + HIGH + 42

    def x(value: float) -> str:
        return f"{LEFT + WIDE * value / last:.1f}"

    def y(value: float) -> str:
        return f"{TOP + HIGH * (1 - value / (1.05 * top)):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12" role="img" '
        f'aria-label="{html.escape(label)}">',
        f'<path d="M{LEFT} {TOP}V{TOP + HIGH}H{LEFT + WIDE}" fill="none" stroke="#999"/>',
    ]
    for value in np.arange(0.0, 1.05 * top, tick).tolist():
        parts.append(f'<path d="M{LEFT} {y(value)}H{LEFT + WIDE}" stroke="#e2e0da" fill="none"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value)}" dy="4" text-anchor="end">{value:g}</text>')
    for value in np.arange(0.0, last + 1e-6, 1.0).tolist():
        parts.append(f'<text x="{x(value)}" y="{TOP + HIGH + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(
        f'<text x="{LEFT + WIDE / 2}" y="{TOP + HIGH + 36}" text-anchor="middle">seconds ahead</text>'
    )
    parts.append(
        f'<text transform="translate(13 {TOP + HIGH / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(unit)}</text>"
    )
    heights = _apart([float(y(float(line[-1]))) for line in lines.values()], 15.0)
    for index, (name, line) in enumerate(lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        points = [(x(s), y(v)) for s, v in zip(seconds.tolist(), line.tolist(), strict=True)]
        path = "L".join(f"{a} {b}" for a, b in points)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="1.8" fill="none"/>')
        for (a, b), s, v in zip(points, seconds.tolist(), line.tolist(), strict=True):
            said = f"{html.escape(name)}: {v:.2f} {html.escape(unit)} after {s:g} s"
            parts.append(f'<circle cx="{a}" cy="{b}" r="2.5" fill="{colour}"><title>{said}</title></circle>')
        parts.append(
            f'<text x="{LEFT + WIDE + 8}" y="{heights[index]:.1f}" dy="4" fill="{colour}">'
            f"{html.escape(name)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _apart(heights: list[float], least: float) -> list[float]:
    """The heights, in the same order, moved down where two are nearer than `least`."""
    out = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for above, below in pairwise(order):
        out[below] = max(out[below], out[above] + least)
    return out
