"""An acceleration wished for, as throttle and brake of a car whose engine is not known."""

from __future__ import annotations

from dataclasses import dataclass

THRUST, BRAKE = 4.5, 8.0  # m/s^2 at full throttle and full brake, roughly
COASTING = 0.5  # m/s^2 that a car loses with the foot off
STANDS_MPS = 0.1
_NEAR, _LEARNS = 1.5, 0.5  # 1/s and 1/s^2: what an error of the speed asks for
_MOST_ERROR, _MOST_LEARNED = 1.0, 3.0  # m/s, m/s^2


@dataclass
class Pedals:
    """Keeps the speed that the wishes add up to."""

    wanted: float = 0.0  # m/s
    learned: float = 0.0  # m/s^2 that the car is slower to follow

    def press(self, acceleration: float, speed: float, dt: float) -> tuple[float, float]:
        """Throttle and brake, each in [0, 1], for the next dt seconds at a speed (m/s)."""
        self.wanted = max(self.wanted + acceleration * dt, 0.0)
        self.wanted = min(max(self.wanted, speed - _MOST_ERROR), speed + _MOST_ERROR)
        if self.wanted < STANDS_MPS and acceleration <= 0.0:
            self.wanted, self.learned = 0.0, 0.0
            return 0.0, 1.0 if speed < 5 * STANDS_MPS else min(max(-acceleration, 2.0) / BRAKE, 1.0)
        error = self.wanted - speed
        self.learned = min(max(self.learned + _LEARNS * error * dt, -_MOST_LEARNED), _MOST_LEARNED)
        needed = acceleration + _NEAR * error + self.learned
        if needed > -COASTING:
            return min(max(needed / THRUST, 0.0), 1.0), 0.0
        return 0.0, min(-needed / BRAKE, 1.0)
