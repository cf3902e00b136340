"""The one place that names numba options.

``njit`` releases the interpreter lock, so kernels are driven over chunks by Python threads (``kernels.threads``):
no numba threading layer, safe under spawn and fork, and the order of every reduction is fixed by the chunk, not by
the thread. ``njit_fast`` adds reassociation and contraction for inner loops whose inputs are finite by contract;
it must not be used where NaN or infinity has a meaning. ``njit_inline`` is for small functions called in hot loops.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Kernel = TypeVar("_Kernel", bound=Callable)

_BARE = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False}


def njit(function: _Kernel) -> _Kernel:
    """Compile a kernel with IEEE semantics."""
    return cast(_Kernel, numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def njit_fast(function: _Kernel) -> _Kernel:
    """Compile a kernel whose inputs are finite, free to reassociate and contract."""
    return cast(_Kernel, numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=True)(function))


def njit_inline(function: _Kernel) -> _Kernel:
    """Compile a small function that is always inlined into its caller."""
    return cast(_Kernel, numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")(function))


def njit_bare(function: _Kernel) -> _Kernel:
    """Compile a function that makes no array, without the counting of references that else costs more than its work."""
    return cast(_Kernel, numba.njit(**_BARE)(function))  # type: ignore[call-overload]  # numba's stub lacks _nrt


def njit_welded(function: _Kernel) -> _Kernel:
    """Compile a bare function that is part of its caller: handing on tuples of arrays would cost more than its work."""
    return cast(_Kernel, numba.njit(**_BARE, forceinline=True)(function))  # type: ignore[call-overload]
