"""`kernel`: numba compilation, cached on disk for as long as no file of this package has changed.

Numba's own cache looks at the file of the outermost function only: after a change in a file that it calls
into, it would go on running the old code.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache


def _sources() -> str:
    digest = sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


_SOURCES = _sources()


class _Cache(FunctionCache):  # type: ignore[misc]
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _SOURCES)


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled without fast-math and threads, so that the same input gives the same bits."""
    compiled = njit(function)
    compiled._cache = _Cache(function)
    return compiled
