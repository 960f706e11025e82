"""Two ways to make small kernels cheap that look at a whole town.

A town is some eighty arrays. Numba hands each of them to every function that is called, and counts references
to each, atomically, on the way in and out: nearly a microsecond a call, whatever the function does.
`inlined` makes a function part of its caller; `borrowed` stops the counting.
"""

from __future__ import annotations

from typing import Any

from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

inlined = njit(forceinline=True)
"""Like `kernel`, for functions that only kernels call: they are compiled into them, and cached with them."""


def _borrowed(typing: Any, value: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _unowned(context, builder, signature.args[0], args[0])

    return value(value), generate


borrowed = (lambda value: value) if config.DISABLE_JIT else intrinsic(_borrowed)
"""`borrowed(value)`: the same arrays (or tuples of them, nested) without ownership.

Whoever calls must hold the originals for as long: only for the arguments of the function that is running.
"""


def _unowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for k, part in enumerate(kind.types):
            bare = _unowned(context, builder, part, builder.extract_value(value, k))
            value = builder.insert_value(value, bare, k)
    return value
