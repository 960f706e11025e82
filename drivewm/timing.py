"""The model's clock: at which ages the past is sampled and at which steps the future is forecast."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HOLE_S = 0.65
"""Nothing is interpolated over a hole in a recording longer than this."""


@dataclass(frozen=True, kw_only=True)
class TimeGrid:
    """History slots and future steps, in seconds."""

    ages: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8)
    step: float = 0.4
    steps: int = 12

    def __post_init__(self) -> None:
        if self.ages[0] != 0.0 or any(b <= a for a, b in zip(self.ages, self.ages[1:], strict=False)):
            raise ValueError(f"ages must start at 0 and increase, got {self.ages}")
        if self.step <= 0 or self.steps <= 0:
            raise ValueError(f"step and steps must be positive, got {self.step} and {self.steps}")

    @property
    def horizons(self) -> tuple[float, ...]:
        return tuple(round(self.step * (i + 1), 6) for i in range(self.steps))

    @property
    def slot_holes(self) -> tuple[float, ...]:
        """The longest hole each slot may be interpolated over.

        1.625 of the slot's wider distance to its neighbours, at most 0.65 s: so 2.5 Hz recordings
        leave the slots at 0.1 and 0.2 s empty instead of filling them with straight lines.
        """
        spacing = [b - a for a, b in zip(self.ages, self.ages[1:], strict=False)]
        wide = [max(a, b) for a, b in zip([spacing[0], *spacing], [*spacing, spacing[-1]], strict=True)]
        return tuple(min(MAX_HOLE_S, 1.625 * w) + 1e-6 for w in wide)
