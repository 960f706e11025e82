"""The bundles that come with drivewm: whole, small, on data anybody may use, alike on every runtime."""

from __future__ import annotations

import pytest

from drivewm import Predictor
from drivewm.bundle import BUNDLES
from drivewm.checkpoint import load_bundle

NAMES = sorted(folder.name for folder in BUNDLES.iterdir() if folder.is_dir())
MOST_BYTES = 16e6


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_bundle_is_whole_and_small_and_says_where_it_comes_from(name: str) -> None:
    bundle = load_bundle(name)
    assert bundle.name == name
    assert sum(path.stat().st_size for path in (BUNDLES / name).iterdir()) <= MOST_BYTES
    assert bundle.provenance["data"]["licence"].startswith("Apache-2.0")
    assert bundle.trained_on
    assert not set(bundle.trained_on) & set(bundle.validated_on)
    card = (BUNDLES / name / "card.md").read_text()
    assert bundle.provenance["data"]["training_sha256"] in card


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_bundle_gives_its_golden_answer(name: str, backend: str) -> None:
    """Loading compares with the golden answer, and refuses what differs."""
    assert Predictor.load(name, backend=backend).step([], 0.0).ids == ()
