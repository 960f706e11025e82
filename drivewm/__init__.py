"""drivewm: what people and vehicles will do next, and what they will do if you drive differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivewm.predictor import Observation, Predictor

__all__ = ["Observation", "Predictor", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The predictor's two names, imported when they are asked for: `import drivewm` stays light."""
    if name in ("Observation", "Predictor"):
        from drivewm import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module 'drivewm' has no attribute {name!r}")
