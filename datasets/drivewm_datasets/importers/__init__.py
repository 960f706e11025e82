"""Foreign recordings to tracks tables: one file a source, named in `FORMATS`."""

from __future__ import annotations

from drivewm_datasets.importers.eth_ucy import ETH_UCY
from drivewm_datasets.importers.sdd import SDD
from drivewm_datasets.importers.source import Format, Imported, ImportOptions, find_sources
from drivewm_datasets.importers.tracks import TRACKS

__all__ = ["FORMATS", "Format", "ImportOptions", "Imported", "find_sources"]

FORMATS: dict[str, Format] = {form.name: form for form in (TRACKS, ETH_UCY, SDD)}
