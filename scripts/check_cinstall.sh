#!/usr/bin/env bash
# Installs the C API as README.md says, and uses it from there as a program elsewhere would:
#
#   scripts/check_cinstall.sh [PREFIX]
#
# `cargo cinstall`; then, by pkg-config, a plain `cc` line, `make` and CMake, shared and static, in C and C++; and ctypes from Python.
# Also that the shared library has a soname and exports what the header declares. PREFIX, where it is installed, stays as it is then:
# scripts/check_c.sh PREFIX/lib/libselfattn.so can go on from there. Without it, it is a temporary folder.
#
# Needs cc, c++, make, cmake, pkg-config, nm and readelf. What else is missing is installed into target/: cargo-c by cargo (4 minutes
# of CPU, and libssl-dev), numpy for $PYTHON (or python3) by pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The newest that the minimum supported Rust builds.
cargo_c=0.10.24+cargo-0.98.0

for tool in cc c++ make cmake pkg-config nm readelf; do
    command -v "$tool" >/dev/null || { echo "$0: no $tool" >&2; exit 1; }
done
PATH=$PWD/target/cargo-c/bin:$PATH
if ! cargo cinstall --version >/dev/null 2>&1; then
    pkg-config --exists openssl || { echo "$0: no cargo-c, and no libssl-dev to build it" >&2; exit 1; }
    CARGO_TARGET_DIR=$PWD/target/cargo-c/build CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install --quiet --locked --debug --root target/cargo-c --version "$cargo_c" cargo-c
    rm -rf target/cargo-c/build
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$PWD/model
prefix=$(realpath -m "${1:-$work/prefix}")
python=${PYTHON:-python3}
if ! "$python" -c "import numpy" 2>/dev/null; then
    "$python" -m venv target/python
    python=$PWD/target/python/bin/python
    "$python" -c "import numpy" 2>/dev/null || "$python" -m pip install --quiet numpy
fi

echo "==> cargo cinstall"
# What is installed is used, not timed: the tokenizer and what it needs is most of the build, and as fast to build as can be.
cargo cinstall --locked --release --prefix="$prefix" --libdir=lib --features rayon,capi-tokenizer \
    --config 'profile.release.package."*".opt-level=0'
(cd "$prefix" && find . -not -type d | sort)
library=$prefix/lib/libselfattn.so
version=$(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
soname=libselfattn.so.${version%.*}
readelf -d "$library" | grep -qF "soname: [$soname]" || { echo "the library's soname is not $soname" >&2; exit 1; }
scripts/check_abi.py "$library"
cmp include/selfattn.h "$prefix/include/selfattn.h"
cmp include/selfattn.hpp "$prefix/include/selfattn.hpp"

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
[ "$(pkg-config --modversion selfattn)" = "$version" ]
# run PROGRAM: the sentence vectors of three texts, of which the first and the last are the same.
run() {
    LD_LIBRARY_PATH=$prefix/lib "$@" "$model" "I love Apple Watch" "I love apple juice" "I love Apple Watch" >"$work/said"
    cat "$work/said"
    [ "$(sed -n '1p;3p' "$work/said" | cut -d ' ' -f 1 | uniq)" = 1.0000 ] || { echo "$1: wrong" >&2; exit 1; }
}

# Away from the checkout: only what is installed can be found.
cp -r examples/c "$work/demo"
cd "$work/demo"
echo "==> cc demo.c \$(pkg-config --cflags --libs selfattn)"
# shellcheck disable=SC2046 # to be split
cc embed.c -o plain $(pkg-config --cflags --libs selfattn)
run ./plain
echo "==> the same, static"
# shellcheck disable=SC2046 # to be split
cc embed.c -o static $(pkg-config --cflags selfattn) "$prefix/lib/libselfattn.a" $(pkg-config --static --libs-only-l selfattn | sed 's/-lselfattn//')
! readelf -d static | grep -q libselfattn
run ./static
echo "==> make"
make --silent --always-make
run ./embed
run ./embed_cpp
echo "==> CMake"
cmake -S . -B build >/dev/null
cmake --build build >/dev/null
run build/embed
run build/embed_cpp
cd "$OLDPWD"

echo "==> ctypes"
"$python" examples/python/selfattn_ctypes.py "$library"
