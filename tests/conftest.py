"""Shape checks, builders and the real recordings: what the tests share.

While tests run, every annotated function and dataclass of three rooms checks the types and array
shapes it is given (jaxtyping and beartype). The simulator's room stays unchecked: Numba cannot
compile decorated kernels.
"""

from __future__ import annotations

import os

# Small models are fastest on one thread; several that wait for each other on a busy machine crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook(
    ["drivewm", "drivewm_datasets", "drivewm_eval"],
    # An int is accepted where a float is annotated (PEP 484), as type checkers do.
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from drivewm.timing import TimeGrid  # noqa: E402
from drivewm.tracks import tracks_from_positions  # noqa: E402
from drivewm.types import DEFAULT_SIZE, Kind, LineKind, Provenance, RoadMap, Scene, Tracks  # noqa: E402

# The same examples everywhere and always; the first call of a kernel compiles it, which no deadline allows.
settings.register_profile("drivewm", deadline=None, derandomize=True)
settings.load_profile("drivewm")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real recordings (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture
def town(name: str, request: pytest.FixtureRequest) -> object:
    """The town of the parameter `name` (see all_towns), compiled; skipped where its map is absent."""
    from all_towns import CARLA_TOWNS

    from drivewm_sim.roads.towns import load_town

    if name in CARLA_TOWNS:
        folder: Path = request.getfixturevalue("shared_data")
        return load_town(str(folder / "carla_towns" / f"{name}.xodr.gz"))
    return load_town(name)


def make_tracks(
    *,
    agents: int = 3,
    speed: float = 1.0,
    heading: float = 0.0,
    spacing: float = 2.0,
    kind: Kind = Kind.PEDESTRIAN,
    origin: tuple[float, float] = (0.0, 0.0),
    grid: TimeGrid | None = None,
) -> Tracks:
    """Agents side by side, walking straight.

    At the stamp agent i is at `origin` plus i times `spacing` metres to the left of `heading`
    (radians), and has always walked along it at `speed` m/s. Ids are "0", "1", ...
    """
    times = -np.asarray((grid or TimeGrid()).ages)
    ahead = np.array([np.cos(heading), np.sin(heading)])
    left = np.array([-ahead[1], ahead[0]])
    start = np.asarray(origin) + spacing * np.arange(agents)[:, None] * left
    return tracks_from_positions(
        position=start[:, None] + speed * times[None, :, None] * ahead,
        valid=np.ones((agents, len(times)), bool),
        times=times,
        kind=np.full(agents, int(kind)),
        size=np.broadcast_to(DEFAULT_SIZE[kind], (agents, 2)),
        ids=tuple(str(i) for i in range(agents)),
    )


def make_road_map() -> RoadMap:
    """A street along x, 7 m wide, with two lanes and a crosswalk at x = 10 m, 4 m wide."""
    lines = [
        (LineKind.LANE_CENTER, [(-50, -1.75), (0, -1.75), (50, -1.75)]),
        (LineKind.LANE_CENTER, [(50, 1.75), (0, 1.75), (-50, 1.75)]),
        (LineKind.LANE_BOUNDARY, [(-50, -3.5), (50, -3.5)]),
        (LineKind.LANE_BOUNDARY, [(-50, 3.5), (50, 3.5)]),
        (LineKind.CROSSWALK, [(8, -3.5), (12, -3.5), (12, 3.5), (8, 3.5), (8, -3.5)]),
    ]
    length = max(len(points) for _, points in lines)
    points = np.zeros((len(lines), length, 2))
    valid = np.zeros((len(lines), length), bool)
    for row, (_, line) in enumerate(lines):
        points[row, : len(line)] = line
        valid[row, : len(line)] = True
    return RoadMap(points=points, valid=valid, kind=np.array([int(kind) for kind, _ in lines]))


def make_scene(
    *,
    agents: int = 3,
    t_s: float = 0.0,
    road_map: RoadMap | None = None,
    ego_id: str | None = None,
    **tracks: object,
) -> Scene:
    """A scene of `make_tracks(agents=..., ...)`, without a map unless one is given."""
    return Scene(
        tracks=make_tracks(agents=agents, **tracks),  # type: ignore[arg-type]
        t_s=t_s,
        road_map=RoadMap.empty() if road_map is None else road_map,
        ego_id=ego_id,
        provenance=Provenance(dataset="test", scene="street"),
    )
