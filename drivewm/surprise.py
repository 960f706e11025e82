"""How surprised the model is, in nats, by each agent and by the scene.

Every signal of `evidence` is measured by how rare it is in normal driving: its nats are -log of the share of
normal agents in which it is at least as large: of those of the same kind, standing or moving, and for signals
of motion apart from those who were hidden meanwhile, of whom less is known. Beyond the largest normal
values the tail is taken for exponential, so that the impossible keeps on growing. So no weight is tuned, and
nothing impossible is ever shown to the fit.

An agent's surprise combines its E known signals by the harmonic mean of their tail probabilities,
-log(E / sum(1 / p)): log-mean-exp of their nats. It holds approximately whatever the dependence between the
signals (Wilson 2019, PNAS 116(4), equation 1), one strong signal is enough, and signals that say the same are
not counted twice. The scene's surprise combines its agents in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from drivewm.evidence import POSITIONS, SIGNALS, Evidence

ALL_SIGNALS = (*SIGNALS, "strange")
"""`strange`: squared Mahalanobis distance, a channel, of the latent from those normal for its kind."""
MOTION = (*POSITIONS, "latent", "strange")
UNIT = np.array([1.0, 1.0, 1.0, 0.05, 0.25, 0.25, 0.25, 0.1, 0.2, 0.2])
"""By signal, the smallest scale of a tail: differences below it are not worth a nat."""
KINDS = 3
STANDING_MPS = 0.5
STATES = 3  # standing, moving, hidden
SHARES = np.array([1.0, 0.9, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002])
TAIL_COUNT = 20
"""So many of the largest values, or half a percent of all, make the tail."""
ENOUGH = 200
"""Agents and moments; groups with fewer are pooled with others."""
RIDGE = 0.05


@dataclass(frozen=True, kw_only=True)
class Normality:
    """What is normal. Axes: G groups (kind and state), E signals, Q shares, D channels.

    A signal that is 0 or less than its floor says nothing: `positive` is the share of normal agents above it.
    """

    mean: Float[ndarray, "3 D"]  # of the latents by kind
    precision: Float[ndarray, "3 D D"]
    positive: Float[ndarray, "G E"]
    quantile: Float[ndarray, "G E Q"]  # of the values above the floor, reached by SHARES of them
    tail_share: Float[ndarray, "G E"]  # of the values above the floor, those beyond `tail_start` ...
    tail_start: Float[ndarray, "G E"]
    tail_scale: Float[ndarray, "G E"]  # ... which exceed it by this in the mean

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> Normality:
        with np.load(path) as table:
            return cls(**{name: table[name] for name in table.files})

    def values(self, seen: Evidence) -> tuple[Float[ndarray, "A E"], Bool[ndarray, "A E"]]:
        """The values of ALL_SIGNALS, and which are known."""
        strange = _mahalanobis(seen.latent, seen.kind, self.mean, self.precision)
        value = np.column_stack([seen.value, np.where(seen.latent_known, strange, 0.0)])
        return value, np.column_stack([seen.known, seen.latent_known])

    def nats(self, seen: Evidence) -> tuple[Float[ndarray, "A E"], Bool[ndarray, "A E"]]:
        """-log of each signal's tail probability in normal driving; 0 where not known."""
        value, known = self.values(seen)
        group = groups_of(seen)
        out = np.zeros(value.shape)
        for a, e in zip(*np.nonzero(known), strict=True):
            out[a, e] = self._tail_nats(int(group[a, e]), int(e), float(value[a, e]))
        return out, known

    def _tail_nats(self, g: int, e: int, value: float) -> float:
        if value <= floor_of(e):
            return 0.0
        above = -np.log(self.positive[g, e])
        start = self.tail_start[g, e]
        if value >= start:
            return float(above - np.log(self.tail_share[g, e]) + (value - start) / self.tail_scale[g, e])
        share = SHARES[self.tail_share[g, e] <= SHARES]
        knots = np.append(self.quantile[g, e, : len(share)], start)
        depth = np.append(-np.log(share), -np.log(self.tail_share[g, e]))
        return float(above + np.interp(value, knots, depth))


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """Nats by agent and signal. `agent` combines the signals, `scene` the agents."""

    t_s: float
    ids: tuple[str, ...]
    kind: Int[ndarray, "A"]
    speed: Float[ndarray, "A"]
    nats: Float[ndarray, "A E"]  # of ALL_SIGNALS
    known: Bool[ndarray, "A E"]

    @property
    def agent(self) -> Float[ndarray, "A"]:
        return self.of(ALL_SIGNALS)

    @property
    def scene(self) -> float:
        judged = self.known.any(axis=1)
        if not judged.any():
            return 0.0
        return float(combined(self.agent[None, judged], np.ones((1, int(judged.sum())), bool))[0])

    def of(self, signals: Sequence[str]) -> Float[ndarray, "A"]:
        """Each agent's surprise by these signals alone."""
        columns = [ALL_SIGNALS.index(name) for name in signals]
        return combined(self.nats[:, columns], self.known[:, columns])


def surprise(seen: Evidence, normality: Normality) -> Surprise:
    """How surprising the evidence of a moment is."""
    nats, known = normality.nats(seen)
    return Surprise(t_s=seen.t_s, ids=seen.ids, kind=seen.kind, speed=seen.speed, nats=nats, known=known)


def combined(nats: Float[ndarray, "A E"], known: Bool[ndarray, "A E"]) -> Float[ndarray, "A"]:
    """-log of the harmonic mean of the tail probabilities exp(-nats) of what is known; 0 where nothing is."""
    count = known.sum(axis=1)
    top = np.where(known, nats, 0.0).max(axis=1, initial=0.0)
    total = np.where(known, np.exp(nats - top[:, None]), 0.0).sum(axis=1)
    return np.where(count > 0, top + np.log(np.where(count > 0, total / np.maximum(count, 1), 1.0)), 0.0)


def groups_of(seen: Evidence) -> Int[ndarray, "A E"]:
    """Agents that are compared with each other: those of a kind, standing (below 0.5 m/s) or moving.

    Who was hidden meanwhile is a group apart for the signals of motion.
    """
    state = (seen.speed >= STANDING_MPS).astype(np.int64)[:, None]
    of_motion = np.array([name in MOTION for name in ALL_SIGNALS])
    return STATES * seen.kind[:, None] + np.where(seen.hidden[:, None] & of_motion, 2, state)


def floor_of(signal: int) -> float:
    """The value up to which a signal says nothing: depths and angles begin at 0, densities nowhere."""
    return -np.inf if ALL_SIGNALS[signal].startswith("position") else 0.0


def fit_normality(normal: Sequence[Evidence]) -> Normality:
    """What is normal, from the evidence of drives in which nothing impossible happens."""
    kind = np.concatenate([n.kind for n in normal])
    latent, latent_known = (np.concatenate([getattr(n, name) for n in normal]) for name in _LATENT)
    mean, precision = _gaussians(latent[latent_known], kind[latent_known])
    group = np.concatenate([groups_of(n) for n in normal])
    strange = _mahalanobis(latent, kind, mean, precision)
    value = np.column_stack([np.concatenate([n.value for n in normal]), strange])
    known = np.column_stack([np.concatenate([n.known for n in normal]), latent_known])
    signals = len(ALL_SIGNALS)
    positive, share, start, scale = (np.zeros((STATES * KINDS, signals)) for _ in range(4))
    quantile = np.zeros((STATES * KINDS, signals, len(SHARES)))
    for g in range(STATES * KINDS):
        for e in range(signals):
            sample = _enough(value[:, e], known[:, e], group[:, e], g)
            above = np.sort(sample[sample > floor_of(e)])
            positive[g, e] = (len(above) + 1) / (len(sample) + 1)
            if len(above):
                quantile[g, e] = np.quantile(above, 1 - SHARES)
            share[g, e], start[g, e], scale[g, e] = _tail(above, UNIT[e])
    return Normality(
        mean=mean,
        precision=precision,
        positive=positive,
        quantile=quantile,
        tail_share=share,
        tail_start=start,
        tail_scale=scale,
    )


def _enough(value: ndarray, known: ndarray, group: Int[ndarray, "n"], g: int) -> ndarray:
    """The known values of a group; where they are few, of its state in all kinds; where still few, of all."""
    for like in (group == g, group % STATES == g % STATES):
        if (known & like).sum() >= ENOUGH:
            return np.asarray(value[known & like])
    return np.asarray(value[known])


_LATENT = ("latent", "latent_known")


def _tail(above: Float[ndarray, "n"], unit: float) -> tuple[float, float, float]:
    """Share, start and mean excess of the largest values (Pickands 1975, with shape 0: exponential)."""
    if len(above) < TAIL_COUNT:
        return 1.0, float(above[0]) if len(above) else 0.0, max(unit, _excess(above))
    top = above[-max(TAIL_COUNT, len(above) // 200) :]
    return len(top) / len(above), float(top[0]), max(unit, _excess(top))


def _excess(top: Float[ndarray, "n"]) -> float:
    return float((top - top[0]).mean()) if len(top) else 0.0


def _gaussians(latent: Float[ndarray, "n D"], kind: Int[ndarray, "n"]) -> tuple[ndarray, ndarray]:
    """Mean and precision of the latents of each kind; 5 % of the mean variance is added to every channel."""
    channels = latent.shape[1]
    mean, precision = np.zeros((KINDS, channels)), np.zeros((KINDS, channels, channels))
    for k in range(KINDS):
        mine = latent[kind == k]
        mine = mine if len(mine) > channels else latent
        mean[k] = mine.mean(axis=0)
        covariance = np.cov(mine.T)
        ridge = RIDGE * np.trace(covariance) / channels + 1e-6
        precision[k] = np.linalg.inv(covariance + ridge * np.eye(channels))
    return mean, precision


def _mahalanobis(
    latent: Float[ndarray, "A D"], kind: Int[ndarray, "A"], mean: ndarray, precision: ndarray
) -> Float[ndarray, "A"]:
    away = latent - mean[kind]
    return np.einsum("ad,ade,ae->a", away, precision[kind], away) / latent.shape[1]
