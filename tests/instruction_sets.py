"""The instruction sets that this processor can execute, besides the one it uses by default.

``python -m tests.instruction_sets`` prints one line per set: the environment variables with which
numba compiles for it. ``.ci/run`` runs the tests of kernels and rows with each of them.
"""

from __future__ import annotations

from numba.core.codegen import get_host_cpu_features

from skprune._kernels import simd

ENVIRONMENTS = {
    simd.Avx2: "NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma,+bmi,+bmi2,+lzcnt,+popcnt",
    simd.PlainVectors: "NUMBA_CPU_NAME=generic",
}


def executable() -> list:
    """Return the environments of the sets that this processor can execute, without its default."""
    words = get_host_cpu_features().split(",")
    present = {word[1:] for word in words if word.startswith("+")}
    default = simd.choose_target(present)
    return [
        settings
        for kind, settings in ENVIRONMENTS.items()
        if kind.needs <= present and kind is not default
    ]


if __name__ == "__main__":
    for settings in executable():
        print(settings)
