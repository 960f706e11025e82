"""A group that does not stay together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivewm.errors import InputError
from drivewm_sim.roads.walk_graph import EdgeKind
from drivewm_sim.street.directors import ACTORS, Staged
from drivewm_sim.street.placing import Spot, Stage, drawn, kerb, lead_s, spots, stand
from drivewm_sim.street.situations.cast import STEPS_OUT_M, Actor, Span, Trigger, actor, staged, starts

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
        for spot, forward, _ in starts(scene, row, options, FRONT_M, self.far_side):
            if kerb(walks, spot.edge, forward) < ROOM_M:
                continue
            people: list[Actor] = []
            for k in range(size):
                people.append(self._member(scene, row, spot, forward, k, k < first, people))
            lead = lead_s(walks, spot, people[0].stand, forward, people[0].person["free_speed"])
            trigger = Trigger(within_s=drawn(scene, row, 2, self.margin_s) + lead)
            return staged(scene, row, spot, trigger, people)
        return None

    def _member(
        self, scene: Stage, row: int, spot: Spot, forward: bool, k: int, goes: bool, others: list[Actor]
    ) -> Actor:
        """Number k of the group: two abreast, the first row nearest to the road."""
        back, side = FRONT_M + SPREAD_M * (k // 2), (k % 2 - 0.5) * 2.0 * SPREAD_M
        where = stand(scene.street.walks, spot.edge, forward, back, side)
        assert where is not None  # `starts` has found the first
        company: dict[str, Any] = {}
        if others:
            company = {"leader": others[0].person["uid"], "beyond": others[0].beyond}
        if goes:
            return actor(
                scene, row, spot, where, forward, after_s=STAGGER_S * k, go_m=STEPS_OUT_M + back, look=1.0,
                compliance=0.3, hesitation=0.0, critical_gap=2.2, **company,
            )  # fmt: skip
        return actor(
            scene, row, spot, where, forward, look=1.0, compliance=0.3, hesitation=1.0, critical_gap=5.5,
            look_time=drawn(scene, row, 10 + k, self.delay_s), **company,
        )  # fmt: skip
