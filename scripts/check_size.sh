#!/usr/bin/env bash
# Builds the shared library of the C API as small as README.md says how, everything in it but the tokenizer, and fails if it is larger
# than the budget:
#
#   scripts/check_size.sh [LIBRARY]
#
# LIBRARY is one that has been built so. Needs size and objdump (binutils); a minute of CPU, as all of it is optimised at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
budget=1048576 # 1 MiB

if [ $# -eq 0 ]; then
    flags=$(sed -n 's/^RUSTFLAGS="\(.*\)" cargo rustc --profile small .*/\1/p' README.md)
    [ -n "$flags" ] || { echo "$0: README.md does not say how" >&2; exit 1; }
    RUSTFLAGS=$flags cargo rustc --locked --quiet --profile small --lib --crate-type cdylib --features capi,rayon
    set -- "${CARGO_TARGET_DIR:-target}/small/libselfattn.so"
fi
bytes=$(stat -c %s "$1")
echo "$1: $bytes bytes, of $budget"
size -A "$1" | awk '$2 > 4096 && NF == 3 { print "  " $1 ": " $2 }'
[ "$bytes" -le "$budget" ] || { echo "$0: larger than its budget" >&2; exit 1; }
