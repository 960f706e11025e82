"""A collection's finished episodes and what they were made with: written whole, read on resume."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from drivewm.errors import InputError
from drivewm_datasets.episode import verify_episode
from drivewm_sim.collect import EpisodeResult

MANIFEST_FILE = "manifest.json"
MANIFEST_SCHEMA = 1
_SHARE = 20.0
"""The manifest of a large collection is written so rarely that this takes a twentieth of the time at most."""


@dataclass
class Manifest:
    """`recipe` is all that decides what an episode holds, except how many there are and who makes them."""

    recipe: dict[str, Any]
    episodes: dict[str, EpisodeResult] = field(default_factory=dict)

    @property
    def hash_of_hashes(self) -> str:
        """SHA-256 over the episodes' hashes in the order of their names."""
        return sha256("\n".join(self.episodes[n].hash for n in sorted(self.episodes)).encode()).hexdigest()

    def write(self, out: Path) -> None:
        """Replaces the manifest in one step."""
        document = {
            "schema": MANIFEST_SCHEMA,
            "recipe": self.recipe,
            "episodes": {name: _kept(self.episodes[name]) for name in sorted(self.episodes)},
            "hash_of_hashes": self.hash_of_hashes,
        }
        draft = out / f".{MANIFEST_FILE}.{os.getpid()}"
        draft.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        os.replace(draft, out / MANIFEST_FILE)


def _kept(episode: EpisodeResult) -> dict[str, Any]:
    """What is the same whoever made the episode."""
    return {key: value for key, value in asdict(episode).items() if key not in ("cpu_s", "retries")}


class ManifestWriter:
    """Keeps the manifest on disk up to date, as often as costs little beside the episodes themselves."""

    def __init__(self, manifest: Manifest, out: Path) -> None:
        self.manifest, self._out = manifest, out
        self._due = 0.0

    def add(self, episode: EpisodeResult) -> None:
        """Lists an episode. It is on disk by then or soon after, by `flush` at the latest."""
        self.manifest.episodes[episode.name] = episode
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Writes the manifest now."""
        began = time.monotonic()
        self.manifest.write(self._out)
        self._due = time.monotonic() + _SHARE * (time.monotonic() - began)

    def withdraw(self) -> None:
        """Removes a manifest that lists nothing from a folder with nothing else in it."""
        file = self._out / MANIFEST_FILE
        if not self.manifest.episodes and list(self._out.iterdir()) == [file]:
            file.unlink()


def read_manifest(out: Path) -> Manifest:
    """The manifest of a collection begun earlier."""
    file = out / MANIFEST_FILE
    try:
        document = json.loads(file.read_text())
        if document["schema"] != MANIFEST_SCHEMA:
            raise InputError(
                f"{file} has schema {document['schema']}, this version reads {MANIFEST_SCHEMA}; collect anew"
            )
        return Manifest(document["recipe"], {n: EpisodeResult(**e) for n, e in document["episodes"].items()})
    except FileNotFoundError:
        raise InputError(
            f"{out}: no {MANIFEST_FILE} to resume from; name a collection or an empty folder"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not a readable manifest ({error}); collect into an empty folder") from None


def check_same_recipe(manifest: Manifest, recipe: dict[str, Any], out: Path) -> None:
    """InputError naming the first difference: one collection holds episodes of one recipe."""
    for key in sorted(manifest.recipe.keys() | recipe.keys()):
        if manifest.recipe.get(key) != recipe.get(key):
            raise InputError(
                f"{out} was collected with {key} {manifest.recipe.get(key)!r}, not {recipe.get(key)!r}; "
                "repeat the options of the first run or name an empty folder"
            )


def drop_damaged(manifest: Manifest, out: Path, names: Iterable[str]) -> list[str]:
    """Forgets the listed episodes that are missing, damaged or others than were listed; gives their names."""
    damaged = []
    for name in names:
        if name not in manifest.episodes:
            continue
        try:
            intact = verify_episode(out / name) == manifest.episodes[name].hash
        except InputError:
            intact = False
        if not intact:
            del manifest.episodes[name]
            damaged.append(name)
    return damaged


def clear_drafts(out: Path) -> None:
    """Removes what writers that were killed have left half written."""
    for pattern in (".*.draft", ".*.old", f".{MANIFEST_FILE}.*"):
        for left in out.glob(pattern):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
