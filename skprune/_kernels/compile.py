"""How kernels are compiled: flags, libraries of LLVM code, and the cache on disk.

This is the only file that relies on private names of numba.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import time
import uuid
import warnings
from contextlib import suppress
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding as llvm
from llvmlite.binding import Linkage
from numba import njit, types
from numba.core import caching
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.serialize import dumps
from numba.extending import intrinsic

from .._support.threads import uninterrupted

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError(
        "skprune needs the compiler of numba, but NUMBA_DISABLE_JIT turns it off. Unset "
        "NUMBA_DISABLE_JIT (or disable_jit in .numba_config.yaml) before skprune is imported."
    )

FLAGS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "no_cfunc_wrapper": True,
}

# ------------------------------------------------------------------ LLVM code


class _KernelLibrary(JITCodeLibrary):
    """LLVM code of a kernel, which keeps copies of its parts to itself.

    By default the linker takes the first copy of a part in the process. Copies differ in
    rounding, because LLVM optimized them together with different code. Results would then
    depend on what was compiled or loaded before.
    """

    def _optimize_functions(self, ll_module):
        """Leave all work to the passes over the whole kernel."""
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and function.name.startswith("_ZN7skprune"):
                function.linkage = "internal"
        super()._optimize_final_module()


class _PartLibrary(JITCodeLibrary):
    """LLVM code of a part, for kernels to link in. It is never optimized or run by itself."""

    _optimize_functions = _KernelLibrary._optimize_functions

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        code = self._final_module
        names = [item.name for item in code.global_variables if "NumbaEnv" in item.name]
        self._final_module = llvm.parse_assembly(
            "\n".join(f'@"{name}" = common global i64 0' for name in names)
        )
        self._final_module.name = code.name
        super()._finalize_final_module()
        self._final_module = code


def _compiler_into(library_class):
    class KernelCompiler(Compiler):
        def compile_extra(self, function):
            codegen = self.state.targetctx.codegen()
            self.state.library = library_class(codegen, function.__qualname__)
            self.state.library.enable_object_caching()
            return super().compile_extra(function)

    return KernelCompiler


_KERNEL, _PART = _compiler_into(_KernelLibrary), _compiler_into(_PartLibrary)

# -------------------------------------------------------------- cache on disk


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Return a hash of all files of this package.

    A kernel contains code of parts from other files, and reads records that are defined in
    another file. Its stored code is stale when any of them changes.
    """
    digest = hashlib.sha256()
    files = [item for item in resources.files(__package__).iterdir() if item.name.endswith(".py")]
    for item in sorted(files, key=lambda item: item.name):
        digest.update(item.name.encode() + b"\0" + item.read_bytes() + b"\0")
    return digest.hexdigest()


class _CacheFiles:
    """Compiled code of one kernel on disk: one file per signature and processor.

    The name of a file holds the hash of the source files and of the signature, and a checksum
    leads its content. A file that is missing, damaged or cannot be read is a miss.
    """

    def __init__(self, directory, prefix):
        self._directory = Path(directory)
        self._prefix = f"{prefix}."
        self._stem = f"{self._prefix}{source_hash()[:16]}."

    def _path(self, key):
        identity = repr((numba.__version__, llvmlite.__version__, source_hash(), key))
        return self._directory / f"{self._stem}{_digest(identity.encode()).hex()[:16]}.nbc"

    def load(self, key):
        """Return what was saved under this key, or None."""
        try:
            stored = self._path(key).read_bytes()
        except OSError:
            return None
        checksum, payload = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
        return pickle.loads(payload) if checksum == _digest(payload) else None

    def save(self, key, data):
        """Replace the file of this key at once, and clean up."""
        payload = dumps(data)
        target = self._path(key)
        temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:16]}{UNFINISHED}")
        try:
            temporary.write_bytes(_digest(payload) + payload)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._remove_stale()

    def flush(self):
        """Remove all files of this kernel."""
        for path in self._directory.iterdir():
            if path.name.startswith(self._prefix) and path.suffix in (".nbc", UNFINISHED):
                path.unlink(missing_ok=True)

    def _remove_stale(self):
        """Remove what other versions of the source files left here, for this and other kernels.

        The directory holds kernels of this package only. Files that a process did not finish, for
        example because it was killed, are removed after a day.
        """
        version = f".{source_hash()[:16]}."
        for path in self._directory.iterdir():
            is_old = path.suffix in (".nbi", ".nbc") and version not in path.name
            if path.suffix == UNFINISHED:
                is_old = time.time() - path.stat().st_mtime > LONGEST_WRITE
            if is_old and path.is_file():
                path.unlink(missing_ok=True)


UNFINISHED = ".nbc-part"  # suffix of a file that is being written
LONGEST_WRITE = 86_400  # seconds
DIGEST_BYTES = 32


def _digest(content) -> bytes:
    return hashlib.sha256(content).digest()


_FunctionCache: Any = getattr(caching, "FunctionCache", object)


class _KernelCache(_FunctionCache):
    """numba's cache of one kernel. It notices changes in every source file, and never fails a fit."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _CacheFiles(self.cache_path, self._impl.filename_base)

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever cannot be read or linked is compiled anew
            return None

    def save_overload(self, sig, data):
        with suppress(OSError):  # the disk is full, or the directory is gone or not writable
            super().save_overload(sig, data)


def _keep_on_disk(dispatcher) -> None:
    """Give a dispatcher the cache, where numba finds a writable directory for it."""
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except (RuntimeError, OSError):  # numba found no writable directory, or no source file
        return


# ------------------------------------------------------------------ decorators


def _compiled(function, **flags):
    dispatcher = njit(pipeline_class=_KERNEL, **FLAGS, **flags)(function)
    if CAN_CACHE:
        _keep_on_disk(dispatcher)
    # An exception in the middle of the compiler would leave it in a state that fails later.
    dispatcher.compile = partial(uninterrupted, dispatcher.compile)
    return dispatcher


def _can_cache() -> bool:
    """Whether this numba has the private names that the cache relies on."""
    names = ("cache_path", "load_overload", "save_overload", "_load_overload", "_save_overload")
    known = all(hasattr(_FunctionCache, name) for name in names)
    if not known:
        warnings.warn(
            f"The kernel cache of skprune does not know numba {numba.__version__}: kernels are "
            "compiled anew in every process. Use another version of numba to avoid this.",
            RuntimeWarning,
            stacklevel=2,
        )
    return known


CAN_CACHE = _can_cache()


def kernel(function):
    """Compile a kernel that Python calls, and keep it on disk where possible.

    Without numba's runtime no references are counted: every slice and every array taken out of
    a tuple would cost two atomic operations, about 10 ns. Such a kernel makes no arrays, and
    must not return one to a kernel that counts references.
    """
    return _compiled(function, _nrt=False)


def kernel_with_arrays(function):
    """Compile a kernel that Python calls and that makes arrays of its own."""
    return _compiled(function)


def part(function):
    """Compile a function that kernels call. Its code is stored with each kernel.

    A literal number among the arguments would be a signature of its own to compile.
    """
    return njit(**FLAGS, no_cpython_wrapper=True, _nrt=False, pipeline_class=_PART)(function)


def inlined(function):
    """Copy a function into its callers, because it returns arrays to both kinds of kernels."""
    return njit(inline="always")(function)


@intrinsic
def called(typing_context):
    """Mark the function that says this as one to call, not to copy into every caller."""

    def codegen(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen
