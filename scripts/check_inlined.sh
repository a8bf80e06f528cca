#!/usr/bin/env bash
# Fails if an optimised binary, library or object still has SIMD intrinsics as functions of their own.
#
#   scripts/check_inlined.sh FILE...
#
# Only a function that enables an instruction set can inline that set's intrinsics. One helper between such a function and an
# intrinsic that is not inlined itself turns every intrinsic in it into a call: right results, at a tenth of the speed. What
# is left then is a symbol like core::core_arch::x86::avx512f::_mm512_fmadd_ps.
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: $0 FILE..." >&2
    exit 2
fi
command -v nm >/dev/null || { echo "$0: no nm; install binutils" >&2; exit 2; }

bad=0
for file in "$@"; do
    # Of an archive, nm names every member without symbols on standard error.
    symbols=$(nm -C -- "$file" 2>/dev/null) || { echo "$0: nm cannot read $file" >&2; exit 2; }
    # Without the functions that enable an instruction set, there is nothing here to judge.
    for level in avx2 avx512; do
        if ! grep -q "selfattn::simd::$level::.*::call" <<<"$symbols"; then
            echo "$0: $file has no symbols of the $level kernels: stripped, or not of this crate" >&2
            exit 2
        fi
    done
    left=$(grep -E 'core_arch::.*::_mm[0-9]*_' <<<"$symbols" | sed -E 's/^[0-9a-f ]*[a-zA-Z] //' | sort | uniq -c || true)
    if [ -n "$left" ]; then
        echo "$file: intrinsics that were not inlined, and how often:" >&2
        echo "$left" >&2
        bad=1
    else
        echo "$file: every SIMD intrinsic is inlined"
    fi
done
exit "$bad"
