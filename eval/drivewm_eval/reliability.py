"""The reliability diagram as SVG: what was said against how often it came true."""

from __future__ import annotations

import html
from collections.abc import Mapping

from drivewm_eval.calibration import Curve

SIDE, LEFT, TOP = 320, 52, 14
COLOURS = ("#1f6fb2", "#c2571a", "#2e7d4f", "#7b4fa3", "#8a6d1d", "#555555")


def reliability_svg(curves: Mapping[str, Curve]) -> str:
    """One line a curve over the diagonal of a calibrated forecast; dots grow with how many they stand for."""
    width, height = LEFT + SIDE + 190, TOP + SIDE + 48
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12" role="img" '
        'aria-label="Reliability: probability said against frequency seen">',
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>',
        f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#999" stroke-dasharray="4 4" fill="none"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<text x="{_x(tick)}" y="{TOP + SIDE + 16}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{_y(tick)}" dy="4" text-anchor="end">{tick:g}</text>')
    middle = TOP + SIDE / 2
    parts.append(f'<text x="{_x(0.5)}" y="{TOP + SIDE + 38}" text-anchor="middle">probability said</text>')
    parts.append(
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        "how often it came true</text>"
    )
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        total = max(sum(n for *_, n in curve), 1)
        line = "L".join(f"{_x(p)} {_y(f)}" for p, f, _ in curve)
        if len(curve) > 1:
            parts.append(f'<path d="M{line}" stroke="{colour}" stroke-width="1.5" fill="none"/>')
        for p, f, n in curve:
            radius = 2 + 6 * (n / total) ** 0.5
            parts.append(
                f'<circle cx="{_x(p)}" cy="{_y(f)}" r="{radius:.1f}" fill="{colour}" fill-opacity="0.7">'
                f"<title>{html.escape(name)}: said {p:.2f}, came true {f:.2f}, {n} times</title></circle>"
            )
        y = TOP + 12 + 20 * index
        parts.append(f'<circle cx="{LEFT + SIDE + 18}" cy="{y - 4}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + SIDE + 30}" y="{y}">{html.escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _x(share: float) -> str:
    return f"{LEFT + SIDE * share:.1f}"


def _y(share: float) -> str:
    return f"{TOP + SIDE * (1 - share):.1f}"
