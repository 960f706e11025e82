"""Pictures of the shipped towns, to look at: python sim/authoring/draw_towns.py FOLDER [TOWN ...]

Needs matplotlib. Reads the written files, with the simulator's own reader. Lanes are filled by type; driving
lanes show their centres with an arrow at the end; buildings are brown, parked vehicles red, furniture green,
doors blue, lights and signs black with their id.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon

from drivewm_sim.roads.opendrive import OpenDrive, Road, load_opendrive

TOWNS = Path(__file__).resolve().parents[1] / "drivewm_sim" / "towns"
LANES = {
    "driving": "#c8c8c8",
    "sidewalk": "#f3e3b3",
    "parking": "#a9b6c9",
    "median": "#b8d8a8",
    "biking": "#e3b0a0",
}
BOXES = {
    "building": "#8a6a50",
    "parked": "#c0392b",
    "furniture": "#2e8b57",
    "shelter": "#8e44ad",
    "pole": "#222222",
}


def draw(name: str, out: Path) -> None:
    document = load_opendrive(TOWNS / f"{name}.xodr")
    sidecar = json.loads((TOWNS / f"{name}.json").read_text())
    figure, axes = plt.subplots(figsize=(22, 22))
    for road in document.roads:
        _road(axes, road)
    _marks(axes, document)
    for box in sidecar["boxes"]:
        axes.add_patch(Polygon(_corners(box), color=BOXES[box["kind"]], alpha=0.85, lw=0))
    for door in sidecar["doors"]:
        axes.plot(door["x"], door["y"], "b.", ms=4)
    axes.set_aspect("equal")
    axes.autoscale_view()
    figure.savefig(out / f"{name}.png", dpi=75, bbox_inches="tight")
    plt.close(figure)


def _road(axes: Any, road: Road) -> None:
    for section in road.sections:
        s = np.linspace(section.s, section.end, max(2, int((section.end - section.s) / 0.5) + 1))
        for number, lane in section.lanes.items():
            if number == 0:
                continue
            inner, outer = road.lane_edges(section, number, s)
            a, b = road.point(s, inner)[0], road.point(s, outer)[0]
            colour = LANES.get(lane.type, "#ff00ff")
            axes.fill(*np.concatenate([a, b[::-1]]).T, color=colour, alpha=0.55, lw=0)
            axes.plot(*b.T, color="#777777", lw=0.4)
            if lane.type in ("driving", "biking"):
                centre = road.point(s, (inner + outer) / 2)[0][:: 1 if number < 0 else -1]
                axes.plot(*centre.T, color="#3060c0", lw=0.6)
                axes.annotate(
                    "", centre[-1], centre[-2], arrowprops={"arrowstyle": "->", "color": "#3060c0", "lw": 0.8}
                )
    if road.junction is None:
        middle = road.point(np.array([road.length / 2]))[0][0]
        z = road.elevation(np.array([0.0, road.length]))
        axes.text(*middle, f"{road.id}: {z[0]:.1f} to {z[1]:.1f} m", fontsize=8)


def _marks(axes: Any, document: OpenDrive) -> None:
    for crosswalk in document.crosswalks:
        axes.add_patch(Polygon(crosswalk.outline[:, :2], fc="white", ec="#d35400", lw=1.0, zorder=3))
        axes.text(*crosswalk.outline[:, :2].mean(0), crosswalk.id, fontsize=6, zorder=4)
    for road in document.roads:
        for signal in road.signals:
            place = road.point(np.array([signal.s]), signal.t)[0][0]
            axes.plot(*place, "k^", ms=5, zorder=4)
            axes.text(*place, f" {signal.id}", fontsize=6, zorder=4)


def _corners(box: dict[str, Any]) -> np.ndarray:
    cos, sin = np.cos(box["yaw"]), np.sin(box["yaw"])
    local = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (box["length"] / 2, box["width"] / 2)
    return local @ np.array([[cos, sin], [-sin, cos]]) + (box["x"], box["y"])


if __name__ == "__main__":
    for town in sys.argv[2:] or sorted(path.stem for path in TOWNS.glob("*.json")):
        draw(town, Path(sys.argv[1]))
