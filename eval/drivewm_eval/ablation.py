"""What is each part of the model worth? Arms of an ablation, their learning rates, their figures over seeds.

An arm is trained as the whole model is, on the same data for as many steps, with one part left out. Each has
the learning rate that suits it: one tuned for the whole model would favour the whole model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from drivewm_datasets.fitting import RunConfig
from drivewm_datasets.plans import PRESETS, Part, without
from drivewm_eval.motion import INTERACTING

WHOLE = "whole"
ARMS: dict[str, tuple[Part, ...]] = {
    WHOLE: (),
    **{part: (part,) for part in get_args(Part)},
    "latent": ("latent", "collapse"),  # without the objective its guard has no purpose
}
STEPS = {"nano": 1500, "base": 800}
"""By preset: what the whole model makes in about 14 CPU minutes."""
VALIDATIONS = 3
"""In every run: the last one at its end."""
ERRORS = {
    "pedestrians_joint_min_ade": (INTERACTING, "joint_min_ade"),
    "pedestrians_top1_fde": (INTERACTING, "top1_fde"),
    "vehicles_joint_min_ade": ("vehicles", "joint_min_ade"),
    "vehicles_top1_fde": ("vehicles", "top1_fde"),
}
"""Figure -> group and figure of the room `motion`, in metres."""
ANSWERS = {"counterfactual_gain": "gain", "unaffected_p95_m": "unaffected_p95_m"}
"""Figure -> figure of the room `counterfactuals`; a model that takes no plan has none."""
JITTER = {"pedestrians_jitter_m": "pedestrian", "vehicles_jitter_m": "vehicle"}
"""Figure -> kind whose joint modes the room `stability` compares between ticks."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of an ablation."""

    arm: str
    rate: float
    seed: int

    @property
    def label(self) -> str:
        return f"{self.arm} rate {self.rate:g} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Below the folder of the ablation."""
        return Path(self.arm) / f"rate_{self.rate:g}" / f"seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a run. One that diverged has no figures; one that is not kept is not judged."""

    run: Run
    recipe: str  # hash of all that decides what it learns
    cpu_minutes: float | None = None  # of its training, validation included
    validation: dict[str, float] = field(default_factory=dict)
    effective_rank: float | None = None
    diverged: str = ""  # how
    judged_on: str = ""  # hash of the test episodes
    rooms: dict[str, Any] = field(default_factory=dict)  # what they say on the test episodes

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Outcome:
        return cls(**{**values, "run": Run(**values["run"])})

    @property
    def choice(self) -> float:
        """The sum of validation errors by which checkpoints are chosen too; infinite where there is none."""
        value = self.validation.get("choice", math.inf)
        return value if math.isfinite(value) else math.inf

    def figures(self) -> dict[str, float | None]:
        """The figures of the table; None where nothing was there to be judged."""
        motion = self.rooms.get("motion", {})
        answered = self.rooms.get("counterfactuals", {})
        jitter = self.rooms.get("stability", {}).get("jitter", {})
        return {
            **{
                name: motion.get(group, {}).get("model", {}).get(key) for name, (group, key) in ERRORS.items()
            },
            **{name: answered.get(key) for name, key in ANSWERS.items()},
            **{name: jitter.get(kind, {}).get("joint") for name, kind in JITTER.items()},
            "effective_rank": self.effective_rank,
        }


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Values over seeds; the standard deviation is the sample's, None for a single value."""

    mean: float
    sd: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread | None:
        """None where there is no value."""
        known = tuple(v for v in values if v is not None)
        if not known:
            return None
        sd = float(np.std(known, ddof=1)) if len(known) > 1 else None
        return cls(mean=float(np.mean(known)), sd=sd, values=known)


def arms_of(preset: str) -> tuple[str, ...]:
    """The arms that make a difference to a preset: what it does not have cannot be left out."""
    config = PRESETS[preset](preset)
    return tuple(arm for arm, parts in ARMS.items() if arm == WHOLE or without(config, parts) != config)


def config_of(preset: str, run: Run, steps: int) -> RunConfig:
    """What is trained: the preset without the parts of the arm, with the steps, rate and seed of the run."""
    whole = without(
        PRESETS[preset](preset if run.arm == WHOLE else f"{preset}-without-{run.arm}"), ARMS[run.arm]
    )
    train = replace(
        whole.train,
        steps=steps,
        learning_rate=run.rate,
        seed=run.seed,
        validate_every=max(1, math.ceil(steps / VALIDATIONS)),
    )
    return replace(whole, train=train)


def chosen_rate(outcomes: Sequence[Outcome]) -> float | None:
    """The learning rate of the least validation error; None where every rate diverged."""
    best = min(outcomes, key=lambda outcome: outcome.choice)
    return best.run.rate if math.isfinite(best.choice) else None


def summary(sweep: Sequence[Outcome], kept: Sequence[Outcome], whole: Sequence[Outcome]) -> dict[str, Any]:
    """One arm: its sweep on the first seed, the figures of its kept runs over seeds, and less the whole's."""
    figures, apart = {}, {}
    of_whole = {outcome.run.seed: outcome.figures() for outcome in whole}
    for name in Outcome.figures(kept[0]) if kept else ():
        figures[name] = _plain(Spread.of([outcome.figures()[name] for outcome in kept]))
        both = [(o.figures()[name], of_whole[o.run.seed][name]) for o in kept if o.run.seed in of_whole]
        apart[name] = _plain(Spread.of([a - b for a, b in both if a is not None and b is not None]))
    return {
        "rate": chosen_rate(sweep),
        "sweep": {f"{o.run.rate:g}": o.diverged or o.validation.get("choice") for o in sweep},
        "seeds": [o.run.seed for o in kept if not o.diverged],
        "figures": figures,
        "minus_whole": apart,
        "cpu_minutes": _plain(Spread.of([o.cpu_minutes for o in kept])),
    }


def _plain(spread: Spread | None) -> dict[str, Any] | None:
    return None if spread is None else asdict(spread)


def constant_velocity(outcome: Outcome) -> dict[str, float | None]:
    """What constant velocity makes of the same test episodes."""
    motion = outcome.rooms.get("motion", {})
    return {name: motion.get(group, {}).get("cv", {}).get(key) for name, (group, key) in ERRORS.items()}


def complaints(outcomes: Sequence[Outcome], minutes: float) -> list[str]:
    """One line for each run that was not as it should be: over the budget of CPU minutes, or diverged."""
    out = []
    for outcome in outcomes:
        label, spent = outcome.run.label, outcome.cpu_minutes
        if outcome.diverged:
            out.append(f"{label}: {outcome.diverged}")
        elif spent is not None and spent > minutes:
            out.append(f"{label}: took {spent:.1f} CPU minutes, more than {minutes:g}; ask for fewer --steps")
    return out


def notes(arm: str, sweep: Sequence[Outcome]) -> list[str]:
    """Whether the sweep of an arm ends where its best rate is: a better one may lie beyond."""
    rates, best = [outcome.run.rate for outcome in sweep], chosen_rate(sweep)
    if best is None or len(rates) == 1 or min(rates) < best < max(rates):
        return []
    end = "largest" if best == max(rates) else "smallest"
    return [f"{arm}: the best rate, {best:g}, is the {end} of --rates"]


def table_of(
    sweeps: Mapping[str, Sequence[Outcome]], kept: Mapping[str, Sequence[Outcome]], minutes: float
) -> dict[str, Any]:
    """All arms side by side, constant velocity, every run, and what there is to complain of."""
    whole = kept[WHOLE]
    runs = {o.run: o for listed in (*sweeps.values(), *kept.values()) for o in listed}  # kept ones are judged
    judged = next((o for listed in kept.values() for o in listed if o.rooms), None)
    return {
        "arms": {
            arm: {"left_out": list(ARMS[arm]), **summary(sweeps[arm], kept[arm], whole)} for arm in sweeps
        },
        "constant_velocity": None if judged is None else constant_velocity(judged),
        "complaints": complaints(list(runs.values()), minutes),
        "notes": [note for arm, sweep in sweeps.items() for note in notes(arm, sweep)],
        "runs": [outcome.to_dict() for outcome in runs.values()],
    }
