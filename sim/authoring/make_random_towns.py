"""Writes random towns for training: python sim/authoring/make_random_towns.py N --seed S --out FOLDER.

--roundabouts draws roundabouts instead of street nets.

town_000.xodr with its .json beside it, and so on: each for `drivewm collect --town`. A developer's tool, no
part of the package. The same arguments write the same bytes. A town that is unsound, or in which somebody is
stuck within a minute, is drawn again with the next of its own seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import random_roundabout
import random_town
from network import Network
from soundness import faults
from xodr import write_xodr

TRIES = 20  # for one town
MINUTE = 60.0 / 3600.0  # hours that a town is watched
LONGEST_STOP = 45.0  # s that a vehicle may stand without a red light ...
LONGEST_STALL = 55.0  # ... and a pedestrian without meaning to; a red light lasts up to 52 s
SERVED = 0.7  # of those who want to come in


Make = Callable[[int], tuple[Network, str]]


def write(make: Make, seed: int, xodr: Path) -> None:
    """The files of one town; ValueError where the draw does not fit together."""
    network, sidecar = make(seed)
    xodr.write_text(write_xodr(network), encoding="utf-8", newline="\n")
    xodr.with_suffix(".json").write_text(sidecar, encoding="utf-8", newline="\n")


def lifeless(xodr: Path, seed: int) -> list[str]:
    """What does not work in a minute of a town's own traffic."""
    from drivewm_eval.bench.endurance import endure
    from drivewm_sim.roads.towns import load_town

    run = endure(load_town(str(xodr)), MINUTE, seed)
    stop, stall = run.longest_stop.seconds, run.longest_stall.seconds
    said = {
        f"a vehicle is stuck for {stop:.0f} s": stop > LONGEST_STOP,
        f"a pedestrian is stuck for {stall:.0f} s": stall > LONGEST_STALL,
        f"{run.service.vehicles_served:.0%} of vehicles come in": run.service.vehicles_served < SERVED,
        f"{run.service.walks_served:.0%} of walks begin": run.service.walks_served < SERVED,
        "nobody walks": run.service.walks_begun == 0,
        f"{run.service.vehicles_towed} vehicles towed": run.service.vehicles_towed > 0,
    }
    return [what for what, true in said.items() if true]


def write_good(make: Make, index: int, seed: int, xodr: Path, *, live: bool) -> int:
    """Writes town `index` of a seed; gives back how many draws were thrown away."""
    for again in range(TRIES):
        own = (seed * 1_000_003 + index) * 1000 + again
        try:
            write(make, own, xodr)
            wrong = faults(xodr) or (lifeless(xodr, own) if live else [])
        except ValueError as error:
            wrong = [str(error)]
        if not wrong:
            return again
        print(f"{xodr.stem}, seed {own}: {'; '.join(wrong)}", file=sys.stderr)
    raise SystemExit(f"{xodr.stem}: no good town in {TRIES} draws")


def main() -> None:
    parser = argparse.ArgumentParser(description="Random towns for training.")
    parser.add_argument("count", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--roundabouts", action="store_true", help="draw roundabouts")
    parser.add_argument("--still", action="store_true", help="leave out the minute of traffic")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    make = random_roundabout.make if asked.roundabouts else random_town.make
    redrawn = [
        write_good(make, index, asked.seed, asked.out / f"town_{index:03d}.xodr", live=not asked.still)
        for index in range(asked.count)
    ]
    print(f"{asked.count} towns in {asked.out}, {sum(redrawn)} draws thrown away")


if __name__ == "__main__":
    main()
