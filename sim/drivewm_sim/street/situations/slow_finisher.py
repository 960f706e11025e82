"""Too slow for the green."""

from __future__ import annotations

from dataclasses import dataclass

from drivewm.types import Aspect
from drivewm_sim.roads.signals import aspect
from drivewm_sim.street.directors import Staged
from drivewm_sim.street.placing import Spot, Stage, drawn, signalled_spots, time_for
from drivewm_sim.street.situations.cast import STEPS_OUT_M, Span, Trigger, actor, staged, starts
from drivewm_sim.street.state import Age

HURRIED = 1.35  # pace of walkers whose light has changed
BACK_M = 0.7
SLOWEST_MPS, LEAST_LEFT_S = 0.3, 0.5
NEAR_M = 20.0  # from a crossing to the light that holds back its traffic


@dataclass(frozen=True, kw_only=True)
class SlowFinisher:
    """An elderly person starts late on green and is still on the road when vehicles get green."""

    speed_mps: Span = (0.4, 0.75)  # over the road
    rest: Span = (0.15, 0.45)  # share of the way still to go when vehicles get green
    within_m: float = 80.0  # of the ego

    def stage(self, scene: Stage, row: int) -> Staged | None:
        walks, signals = scene.street.walks, scene.street.signals
        speed, rest = drawn(scene, row, 0, self.speed_mps), drawn(scene, row, 1, self.rest)
        for start in starts(scene, row, signalled_spots(scene), BACK_M, 0.5):
            spot = start.spot
            group, until = int(walks.signal[spot.edge]), _until_vehicles(scene, spot)
            width = float(walks.kerb_out[spot.edge] - walks.kerb_in[spot.edge])
            # Seconds before the end of green at which to step onto the road.
            way = (1.0 - rest) * width
            left = way / speed - until
            if left < LEAST_LEFT_S:
                left, speed = LEAST_LEFT_S, way / (until + LEAST_LEFT_S)
            if until == 0.0 or speed < SLOWEST_MPS or left > signals.green[group]:
                continue
            elder = actor(
                scene, row, start, Age.ELDERLY, go_m=STEPS_OUT_M, free_speed=speed / HURRIED,
                look=1.0, compliance=0.0, hesitation=0.0, critical_gap=2.0,
            )  # fmt: skip
            left += time_for(start.stand.back_m, speed / HURRIED)
            trigger = Trigger(within_m=self.within_m, group=group, shows=int(Aspect.GREEN), left=(0.0, left))
            return staged(scene, row, spot, trigger, [elder])
        return None


def _until_vehicles(scene: Stage, spot: Spot) -> float:
    """Seconds from the end of green for people until vehicles that they hold up have green; 0: none."""
    signals, walks, lanes = scene.street.signals, scene.street.walks, scene.street.lanes
    people, groups = int(walks.signal[spot.edge]), set()
    for over in range(walks.over_start[spot.edge], walks.over_start[spot.edge + 1]):
        lane = int(walks.over_lane[over])
        groups.add(int(lanes.signal[lane]))
        if lanes.length[lane] - walks.over_s[over] < NEAR_M:
            ahead = lanes.next[lanes.next_start[lane] : lanes.next_start[lane + 1]]
            groups.update(int(lanes.signal[k]) for k in ahead)
    ends = float(signals.green_from[people] + signals.green[people])
    shown = [aspect(signals, group, ends) for group in sorted(groups - {-1})]
    return min((float(left) for colour, left in shown if colour == Aspect.RED), default=0.0)
