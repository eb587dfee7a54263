#!/usr/bin/env bash
# Run tests on an emulated 64-bit Arm processor (user-mode QEMU, Debian's Python, wheels of PyPI).
#
#     tests/arm64.sh [directory] [arguments of pytest]
#
# The directory keeps the environment between runs (200 MB). Needs Debian or Ubuntu, their deb
# sources, and the package qemu-user. Without arguments of pytest, the kernel and estimator tests run.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$here/.arm64}
shift || true
mkdir -p "$work"/{lists/partial,archives/partial,bin}
work=$(cd "$work" && pwd)
root=$work/root

if [ ! -e "$work/ready" ]; then
  apt=(apt-get -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Debug::NoLocking=1
       -o Dir::State::lists="$work/lists" -o Dir::State::status=/dev/null
       -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  "${apt[@]}" --quiet update
  "${apt[@]}" --quiet --yes --download-only --no-install-recommends install python3.11 libgomp1 libstdc++6
  for package in "$work"/archives/*.deb; do dpkg --extract "$package" "$root"; done
  python3 -m pip install --quiet --target "$work/site" --upgrade --only-binary=:all: \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 \
    --platform manylinux2014_aarch64 --implementation cp --python-version 3.11 \
    numpy scipy scikit-learn numba joblib threadpoolctl pytest hypothesis pandas skops
  touch "$work/ready"
fi

# Tests start further interpreters by the name of this one, which must name the emulator, too.
cat > "$work/bin/python3.11" <<SCRIPT
#!/bin/sh
exec qemu-aarch64 -L "$root" -0 "$work/bin/python3.11" "$root/usr/bin/python3.11" "\$@"
SCRIPT
chmod +x "$work/bin/python3.11"

export PYTHONHOME=$root/usr PYTHONPATH=$here:$work/site PYTHONDONTWRITEBYTECODE=1
export NUMBA_CACHE_DIR=$work/numba NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES=+neon SCIPY_ARRAY_API=1
cd "$here"
"$work/bin/python3.11" -c "import platform, skprune; print(platform.machine(), skprune.__version__)"
if [ $# -eq 0 ]; then
  set -- tests/test_kernels.py tests/test_rows.py tests/test_levels.py tests/test_training.py \
    tests/test_rbm.py tests/test_dbm.py tests/test_dbn.py tests/test_network.py \
    tests/test_likelihood.py tests/test_pruning.py tests/test_stored_models.py
fi
exec "$work/bin/python3.11" -m pytest --quiet -p no:cacheprovider "$@"
