"""A group that does not stay together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from drivewm.errors import InputError
from drivewm_sim.roads.walk_graph import EdgeKind, WalkGraph
from drivewm_sim.street.directors import ACTORS, Staged
from drivewm_sim.street.placing import Stage, drawn, kerb, spots, stand
from drivewm_sim.street.situations.cast import STEPS_OUT_M, Actor, Span, Start, Trigger, actor, staged, starts

FRONT_M, SPREAD_M = 0.5, 0.55  # of the first row before the kerb; half between abreast, between rows
ROOM_M = 1.1  # before the kerb, for two rows at least
STAGGER_S = 0.3  # one sets off after the other


@dataclass(frozen=True, kw_only=True)
class GroupSplit:
    """Part of a group crosses before the ego; the others stay at the kerb and hesitate."""

    size: tuple[int, int] = (3, 5)
    margin_s: Span = (2.8, 4.5)  # from the first step into the ego's lane to the ego's arrival there
    delay_s: Span = (2.0, 6.0)  # that the others look at least
    far_side: float = 0.3  # probability of coming from the other side of the road

    def __post_init__(self) -> None:
        if not 2 <= self.size[0] <= self.size[1] <= ACTORS:
            raise InputError(f"group_split: expected a size from 2 to {ACTORS}, got {self.size}")

    def stage(self, scene: Stage, row: int) -> Staged | None:
        walks = scene.street.walks
        size = min(int(drawn(scene, row, 0, (self.size[0], self.size[1] + 1))), self.size[1])
        first = int(drawn(scene, row, 1, (1, size)))  # those who cross
        options = spots(scene, [EdgeKind.ZEBRA, EdgeKind.MIDBLOCK, EdgeKind.SHARED])
        for start in starts(scene, row, options, FRONT_M, self.far_side):
            places = _places(walks, start, size)
            if kerb(walks, start.spot.edge, start.forward) < ROOM_M or len(places) < size:
                continue
            people: list[Actor] = []
            for k, place in enumerate(places):
                people.append(self._member(scene, row, place, k, k < first, people))
            trigger = Trigger(within_s=drawn(scene, row, 2, self.margin_s) + people[0].lead_s)
            return staged(scene, row, start.spot, trigger, people)
        return None

    def _member(self, scene: Stage, row: int, place: Start, k: int, goes: bool, others: list[Actor]) -> Actor:
        """Number k of the group."""
        company: dict[str, Any] = {}
        if others:
            company = {"leader": others[0].person["uid"], "beyond": others[0].beyond}
        if goes:
            return actor(
                scene, row, place, after_s=STAGGER_S * k, go_m=STEPS_OUT_M + _back_m(k), look=1.0,
                compliance=0.3, hesitation=0.0, critical_gap=2.2, **company,
            )  # fmt: skip
        return actor(
            scene, row, place, look=1.0, compliance=0.3, hesitation=1.0, critical_gap=5.5,
            look_time=drawn(scene, row, 10 + k, self.delay_s), **company,
        )  # fmt: skip


def _back_m(k: int) -> float:
    """Metres from number k of a group to the kerb: two stand abreast."""
    return FRONT_M + SPREAD_M * (k // 2)


def _places(walks: WalkGraph, start: Start, size: int) -> list[Start]:
    """Where a group stands, the first row nearest to the road; fewer where there is no room for all."""
    out = []
    for k in range(size):
        side = (k % 2 - 0.5) * 2.0 * SPREAD_M
        where = stand(walks, start.spot.edge, start.forward, _back_m(k), side)
        if where is not None:
            out.append(replace(start, stand=where))
    return out
