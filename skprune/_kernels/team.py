"""The barrier at which the threads of a team wait for each other, and their abort flag."""

from __future__ import annotations

import ctypes
import sys
import time

from llvmlite import binding as llvm
from numba import types
from numba.extending import intrinsic

from .compile import part
from .emit import element_pointer


@intrinsic
def _atomic_add(typing_context, array, index, value):
    """Add a value to an element atomically and return the old element."""
    signature = types.int64(array, types.intp, types.int64)

    def codegen(context, builder, signature, args):
        pointer = element_pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return signature, codegen


@intrinsic
def _atomic_load(typing_context, array, index):
    """Return an element, read atomically."""
    signature = types.int64(array, types.intp)

    def codegen(context, builder, signature, args):
        pointer = element_pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return signature, codegen


@ctypes.CFUNCTYPE(ctypes.c_int)
def _sleep():
    """Let other threads run, on any platform."""
    time.sleep(0)
    return 0


def _yield_function():
    """Return the function of this platform by which a thread yields its core."""
    try:
        if sys.platform == "win32":
            return ctypes.windll.kernel32.SwitchToThread
        return ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return _sleep


_YIELD = _yield_function()  # compiled code keeps its name, so that it can be stored on disk
llvm.add_symbol("skprune_yield", ctypes.cast(_YIELD, ctypes.c_void_p).value)
_yield_core = types.ExternalFunction("skprune_yield", types.int32())


@part
def stopped(barrier):
    """Return whether the team is to stop, so that a kernel should return early."""
    return _atomic_load(barrier, 16) != 0


@part
def meet(barrier, n_threads):
    """Wait until all threads of the team have arrived; return False if the team is to stop.

    The barrier has three slots, each on its own cache line. Slot 0 counts the threads that have
    arrived, slot 8 counts the completed meetings, and a nonzero slot 16 stops the team. After 4,000
    checks a waiting thread yields its core, so that a busy machine slows a team down but cannot
    block it.
    """
    if n_threads == 1:
        return not stopped(barrier)
    meeting = _atomic_load(barrier, 8)
    if _atomic_add(barrier, 0, 1) == n_threads - 1:
        _atomic_add(barrier, 0, -n_threads)
        _atomic_add(barrier, 8, 1)
        return True
    looks = 0
    while _atomic_load(barrier, 8) == meeting:
        if stopped(barrier):
            return False
        looks += 1
        if looks > 4000:
            _yield_core()
    return True
