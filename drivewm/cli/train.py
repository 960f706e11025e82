"""drivewm train: tracks tables or episodes in, a trained bundle out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivewm.cli.figures import check_file, check_folder, write_json
from drivewm.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Train:
    data: tuple[Path, ...]
    """Folders of tracks tables or episodes."""
    out: Path
    """Run folder: checkpoint, metrics, TensorBoard log, and the bundle at the end."""
    preset: Literal["nano", "base"] = "nano"
    """nano: tracks, map, signals and the ego's plan. base: wider, and with the bird's-eye grid."""
    validation: tuple[Path, ...] = ()
    """Folders of scenes that choose the checkpoint and calibrate; default: a tenth of those of --data."""
    mix: tuple[str, ...] = ()
    """Weights of data sets, NAME=WEIGHT; default: as many as each has windows."""
    without: tuple[Literal["map", "bev", "plan", "branches", "latent", "collapse", "steady"], ...] = ()
    """Parts to leave out, to see what each of them is worth."""
    protocol: Literal["eth-ucy", "scenes"] | None = None
    """eth-ucy: train the five leave-one-out folds, each into OUT/FOLD/seedN. scenes: leave out a fifth of
    each data set's scenes, which drivewm evaluate --protocol scenes tests on."""
    init: str | None = None
    """A bundle to start from: weights whose name and shape agree are taken over."""
    only: tuple[str, ...] = ()
    """Weights that learn, by the beginning of their names (encoder.bev.adapter, ...); default: all."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; with --protocol eth-ucy every fold is trained with each."""
    steps: int | None = None
    """Optimisation steps; default 6500 (nano), 10000 (base), with --protocol eth-ucy 1500 a fold."""
    learning_rate: float | None = None
    """Peak learning rate; default 0.002 (nano), 0.0015 (base)."""
    latent: float | None = None
    """Weight of latent prediction; 0 turns the latent objective off."""
    jobs: int = 1
    """Runs trained side by side, one thread each (folds and seeds)."""
    workers: int = 1
    """Processes that train each run together, by Ray Train: each step learns from a batch of every one."""
    address: str | None = None
    """A Ray cluster that runs already, host:port or auto; it must see --data and --out by the same paths."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU where there is one."""
    licence: str = "not stated"
    """Licence of the data, for the model card."""
    name: str | None = None
    """Name of the bundle; default the preset's."""
    resume: bool = False
    """Go on where the run folder's checkpoints stand."""
    json: Path | None = None
    """Write the figures to this file."""

    def run(self) -> int:
        from drivewm_datasets.plans import plan_runs
        from drivewm_datasets.run_all import run_all

        check_folder("--out", self.out)
        check_file("--json", self.json)
        if self.out.exists() and any(self.out.iterdir()) and not self.resume:
            raise InputError(
                f"{self.out} is not empty; pass --resume to go on with it, or name another --out"
            )
        for name, value in (("steps", self.steps), ("jobs", self.jobs), ("workers", self.workers)):
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1, got {value}")
        if self.workers > 1 and self.jobs > 1:
            raise InputError("--workers trains one run after the other; leave out --jobs")
        if self.address is not None and self.workers == 1:
            raise InputError("--address is for --workers; ask for at least 2")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise InputError(f"--learning-rate must lie between 0 and 1, got {self.learning_rate:g}")
        if self.latent is not None and not 0 <= self.latent < math.inf:
            raise InputError(f"--latent must be a weight of 0 or more, got {self.latent:g}")
        check_seeds(self.seeds)
        plans = plan_runs(
            data=self.data,
            out=self.out,
            preset=self.preset,
            protocol=self.protocol,
            seeds=self.seeds,
            steps=self.steps,
            learning_rate=self.learning_rate,
            latent=self.latent,
            licence=self.licence,
            name=self.name,
            validation=self.validation,
            parts_left_out=self.without,
            weights=self._weights(),
            init=self.init,
            only=self.only,
        )
        results = run_all(
            plans,
            jobs=self.jobs,
            device=self.device,
            resume=self.resume,
            workers=self.workers,
            address=self.address,
        )
        if self.json:
            write_json(self.json, {"runs": results})
        return 0

    def _weights(self) -> dict[str, float]:
        out = {}
        for given in self.mix:
            name, _, value = given.partition("=")
            try:
                out[name] = float(value)
            except ValueError:
                out[name] = -1.0
            if not name or not 0 < out[name] < math.inf:
                raise InputError(f"--mix {given!r} must read NAME=WEIGHT with a positive weight")
        return out


def check_seeds(seeds: tuple[int, ...]) -> None:
    """InputError unless there are seeds, each once and of a size that generators take."""
    if not seeds:
        raise InputError("--seeds must name at least one seed")
    for seed in seeds:
        if not 0 <= seed < 2**63:
            raise InputError(f"--seeds must lie between 0 and 2^63 - 1, got {seed}")
        if seeds.count(seed) > 1:
            raise InputError(f"--seeds names {seed} twice; name each once")
