"""`kernel`: numba compilation, cached on disk until a file changes that the function can call into.

Numba's own cache looks at the file of the outermost function only: after a change in a file that it calls
into, it would go on running the old code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

_PACKAGE = __name__.rpartition(".")[0]
_ROOT = Path(__file__).parent
_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t].*\n|\n)+", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import\b(?:[ \t]*\(([^)]*)\)|(.*))", re.MULTILINE)


@cache
def _file_of(module: str) -> Path | None:
    """The source file of one of this package's modules; None for a name that is no module."""
    path = _ROOT.joinpath(*module.split(".")[1:])
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def imported(text: str) -> set[str]:
    """Dotted names of what a source file imports, be they modules or not; without what only types need.

    A kernel cannot call into what is not imported when the program runs. Read by patterns, as a parser takes
    a third of a second for this package.
    """
    names: set[str] = set()
    for source, in_brackets, bare in _IMPORT.findall(_TYPES_ONLY.sub("", text)):
        words = re.findall(r"[\w.]+", in_brackets or bare)
        names.update([source, *(f"{source}.{word}" for word in words)] if source else words)
    return names


@cache
def _imports(module: str) -> frozenset[str]:
    """This package's modules that a module imports by `import` or `from ... import`."""
    file = _file_of(module)
    names = imported(file.read_text(encoding="utf-8")) if file else set()
    return frozenset(n for n in names if n.split(".")[0] == _PACKAGE and _file_of(n))


def _reachable(module: str) -> Iterator[str]:
    """The module and everything that it imports, directly or not."""
    waiting, seen = [module], {module}
    while waiting:
        yield (current := waiting.pop())
        fresh = _imports(current) - seen
        seen |= fresh
        waiting.extend(fresh)


@cache
def _digest(module: str) -> str:
    digest = sha256()
    for name in sorted(_reachable(module)):
        file = _file_of(name)
        digest.update(file.read_bytes() if file else b"")
    return digest.hexdigest()


class _Cache(FunctionCache):  # type: ignore[misc]
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _digest(self._module))


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled without fast-math and threads, so that the same input gives the same bits."""
    compiled = njit(function)
    cache = _Cache(function)
    cache._module = function.__module__
    compiled._cache = cache
    return compiled
