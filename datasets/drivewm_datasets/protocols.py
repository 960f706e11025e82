"""Which windows of which scene train, choose and test a model: ETH/UCY leave-one-out, and a split by scene.

8 observed and 12 predicted annotated frames, stride 1, over consecutive *annotated* frames; an agent is
scored where it is present in all 20. `MP1` (Social-GAN) keeps windows with at least two such agents,
`MP0` (Trajectron++) with at least one. Positions are rounded to 4 decimals, as the published files are.
Only which agents are *scored* looks at the future; every agent present at the anchor is forecast.

`scenes` is for any recordings: a fifth of each data set's scenes, drawn by name, is for testing alone. Of two
copies of a scene one is left out: the same people would train and test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from drivewm.errors import InputError
from drivewm_datasets.recording import Recording

OBSERVED, PREDICTED = 8, 12

# The first frame that belongs to validation, by recording (the cut of Social-GAN and Trajectron++).
VALIDATION_FROM = {
    "biwi_eth": 10240,
    "biwi_hotel": 14400,
    "crowds_zara01": 7110,
    "crowds_zara02": 8420,
    "crowds_zara03": 6030,
    "students001": 3550,
    "students003": 4320,
    "uni_examples": 5940,
}
TEST_SCENES = {
    "eth": ("biwi_eth",),
    "hotel": ("biwi_hotel",),
    "univ": ("students001", "students003"),
    "zara1": ("crowds_zara01",),
    "zara2": ("crowds_zara02",),
}
SCENES = "scenes"
HELD_OUT_SHARE = 0.2
MISTIMED = {"biwi_eth": "biwi_eth_true0p4s"}
"""Scenes whose clock is wrong, and their corrected copies: beside its copy `scenes` leaves one out."""
MIN_AGENTS = {"eth-ucy": 2, "eth-ucy-mp0": 1}
"""Protocol name to the least number of complete agents in a window."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """One anchor of one recording, with the agents to score and their true future."""

    recording: Recording
    t_s: float  # time of the anchor, the last observed frame
    agents: Int[ndarray, "B"]  # indices into recording.agent_ids
    future: Float[ndarray, "B 12 2"]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One leave-one-out split: test on one scene, train and validate on the others."""

    name: str
    train: tuple[Recording, ...]  # cut before the validation frames
    validation: tuple[Recording, ...]
    test: tuple[Recording, ...]


def cut(recording: Recording, first: int, last: int) -> Recording:
    """The part of a recording with first <= frame < last."""
    return recording.where((recording.frame >= first) & (recording.frame < last))


def _by_scene(recordings: Sequence[Recording]) -> dict[str, Recording]:
    found: dict[str, Recording] = {}
    for recording in (r for r in recordings if r.scene in VALIDATION_FROM):
        other = found.get(recording.scene)
        if other is not None:
            raise InputError(
                f"scene {recording.scene} of protocol eth-ucy is in the data sets {other.dataset} "
                f"({other.source}) and {recording.dataset} ({recording.source}); point --data at one of them"
            )
        found[recording.scene] = replace(recording, xy=np.round(recording.xy, 4))
    missing = sorted(set(VALIDATION_FROM) - set(found))
    if missing:
        raise InputError(
            f"protocol eth-ucy needs the scenes {', '.join(sorted(VALIDATION_FROM))}; missing: "
            f"{', '.join(missing)}; point --data at a folder that holds them all"
        )
    return found


def folds(recordings: Sequence[Recording]) -> list[Fold]:
    """The five leave-one-out folds, in the customary order. InputError if a scene is missing."""
    scenes = _by_scene(recordings)
    out = []
    for name, held_out in TEST_SCENES.items():
        others = [s for s in sorted(scenes) if s not in held_out]
        out.append(
            Fold(
                name=name,
                train=tuple(cut(scenes[s], -(2**62), VALIDATION_FROM[s]) for s in others),
                validation=tuple(cut(scenes[s], VALIDATION_FROM[s], 2**62) for s in others),
                test=tuple(scenes[s] for s in held_out),
            )
        )
    return out


def without_copies(names: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The scenes (data set, scene) but those whose corrected copy is among them."""
    every = frozenset(names)
    return frozenset((data, scene) for data, scene in every if (data, MISTIMED.get(scene)) not in every)


def held_out(names: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The scenes (data set, scene) that the protocol `scenes` tests on: at least one of each data set.

    Drawn by a hash of their names, so that neither their order nor the other data sets decide.
    """
    by_set: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(without_copies(names)):
        by_set.setdefault(name[0], []).append(name)
    out: list[tuple[str, str]] = []
    for listed in by_set.values():
        drawn = sorted(listed, key=lambda name: hashlib.sha256("\x00".join(name).encode()).digest())
        out += drawn[: max(1, round(len(drawn) * HELD_OUT_SHARE))]
    return frozenset(out)


def windows(recording: Recording, min_agents: int) -> Iterator[Window]:
    """Every window of 20 consecutive annotated frames with at least `min_agents` complete agents."""
    frames = recording.frames
    times = recording.frame_times
    length = OBSERVED + PREDICTED
    row = {(int(a), int(f)): i for i, (a, f) in enumerate(zip(recording.agent, recording.frame, strict=True))}
    index = np.searchsorted(frames, recording.frame)
    grid = np.zeros((len(recording.agent_ids), len(frames)), bool)
    grid[recording.agent, index] = True
    ahead = np.cumsum(np.pad(grid, ((0, 0), (1, 0))), axis=1)
    for start in range(len(frames) - length + 1):
        complete = np.flatnonzero(ahead[:, start + length] - ahead[:, start] == length)
        if len(complete) < min_agents:
            continue
        ahead_frames = frames[start + OBSERVED : start + length]
        rows = [[row[int(a), int(f)] for f in ahead_frames] for a in complete]
        yield Window(
            recording=recording,
            t_s=float(times[start + OBSERVED - 1]),
            agents=complete,
            future=recording.xy[np.asarray(rows)],
        )
