"""What the recordings had of the dirt that real ones have, for the closing lines of a command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivewm_datasets.recording import Recording


def skip_notes(recordings: Iterable[Recording]) -> list[str]:
    """One line a reason, how often it occurred and in how many scenes."""
    counts: Counter[str] = Counter()
    scenes: Counter[str] = Counter()
    for recording in recordings:
        counts += recording.skipped
        scenes.update(recording.skipped.keys())
    return [
        f"{reason}: {count:,} in {scenes[reason]:,} {'scene' if scenes[reason] == 1 else 'scenes'}"
        for reason, count in sorted(counts.items())
    ]
