#!/usr/bin/env bash
# Builds the shared library of the C API as small as README.md says how, everything in it but the tokenizer, and fails if it is larger
# than the budget, or if a tile is not what scripts/check_tiles.py asks for:
#
#   scripts/check_size.sh [LIBRARY]
#
# LIBRARY is one that has been built so, and not stripped. Needs strip, size and objdump (binutils), and x86-64; a minute of CPU, as
# all of it is optimised at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
budget=1000000 # 1 MB

if [ $# -eq 0 ]; then
    flags=$(sed -n 's/^RUSTFLAGS="\(.*\)" cargo rustc --profile small .*/\1/p' README.md)
    [ -n "$flags" ] || { echo "$0: README.md does not say how" >&2; exit 1; }
    # With its names, for check_tiles.py.
    RUSTFLAGS=$flags cargo rustc --locked --quiet --profile small --lib --crate-type cdylib --features capi,rayon,small \
        --config profile.small.strip=false
    set -- "${CARGO_TARGET_DIR:-target}/small/libselfattn.so"
fi
stripped=$(mktemp)
trap 'rm "$stripped"' EXIT
strip -o "$stripped" "$1"
bytes=$(stat -c %s "$stripped")
echo "$1: $bytes bytes, of $budget"
size -A "$stripped" | awk '$2 + 0 > 4096 && NF == 3 { print "  " $1 ": " $2 }'
[ "$bytes" -le "$budget" ] || { echo "$0: larger than its budget" >&2; exit 1; }
scripts/check_tiles.py --expect avx2,avx512 "$1"
