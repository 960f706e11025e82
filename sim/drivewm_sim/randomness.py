"""Counter-based random numbers: a pure function of (seed, uid, purpose, index, draw).

There is no generator state, so snapshots need none and one agent's draws never shift another's. The
words are absorbed one after the other by the finaliser of SplitMix64 (Steele et al. 2014).
"""

from __future__ import annotations

import math

import numpy as np

from drivewm_sim.kernel import kernel

# What a number is for: draws of different purposes are independent.
TRAITS, YIELD, PERCEIVE, ARRIVAL, TRIP, GAIT, HALT, TURN_BACK, EGO, EPISODE = range(10)
LIDAR, TRACK, TRACK_BLIND, TRACK_SWAP = range(10, 14)
ROUTE, ATTEND = range(14, 16)
TASTE, KERB, STALL = range(16, 19)
DIRECT = 19

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@kernel
def _absorb(state: np.uint64, word: int) -> np.uint64:
    h = state + np.uint64(word) + _GOLDEN
    h = (h ^ (h >> _30)) * _A
    h = (h ^ (h >> _27)) * _B
    return h ^ (h >> _31)


@kernel
def bits(seed: int, uid: int, purpose: int, index: int, draw: int) -> np.uint64:
    """64 random bits. All keys are 64-bit integers, negative ones allowed."""
    h = _absorb(np.uint64(0), seed)
    h = _absorb(h, uid)
    h = _absorb(h, purpose)
    h = _absorb(h, index)
    return _absorb(h, draw)


@kernel
def uniform(seed: int, uid: int, purpose: int, index: int, draw: int) -> float:
    """A number in [0, 1)."""
    return np.float64(bits(seed, uid, purpose, index, draw) >> _11) * (1.0 / 9007199254740992.0)


@kernel
def normal(seed: int, uid: int, purpose: int, index: int, draw: int) -> float:
    """A standard normal number (Box-Muller); uses draws `2 draw` and `2 draw + 1`."""
    u = 1.0 - uniform(seed, uid, purpose, index, 2 * draw)
    v = uniform(seed, uid, purpose, index, 2 * draw + 1)
    return math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)


def episode_seed(seed: int, episode: int) -> int:
    """The seed of one episode of a collection, from nothing but the collection's seed and its index."""
    return int(bits(seed, episode, EPISODE, 0, 0) >> np.uint64(1))
