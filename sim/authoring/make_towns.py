"""Writes the shipped towns: python sim/authoring/make_towns.py [FOLDER] (default: sim/drivewm_sim/towns).

A developer's tool, no part of the package. The same script writes the same bytes; edit a town's script
(town_*.py beside this file), run this, look at the pictures of draw_towns.py, run tests/test_towns.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import town_arterial
import town_grid
import town_plaza
import town_roundabout
import town_school
from xodr import write_xodr

TOWNS = {
    "grid": town_grid.make,
    "arterial": town_arterial.make,
    "school": town_school.make,
    "roundabout": town_roundabout.make,
    "plaza": town_plaza.make,
}


def main(folder: Path) -> None:
    for name, make in TOWNS.items():
        network, sidecar = make()
        (folder / f"{name}.xodr").write_text(write_xodr(network), encoding="utf-8", newline="\n")
        (folder / f"{name}.json").write_text(sidecar, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    here = Path(__file__).resolve().parents[1] / "drivewm_sim" / "towns"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else here)
