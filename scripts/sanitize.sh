#!/usr/bin/env bash
# Tests under AddressSanitizer, LeakSanitizer included: scripts/sanitize.sh [all | TEST...]
#
# Without arguments, those where memory is checked by hand: weight files, the C API, arguments that are refused, an encoder. With
# `all`, every test of the library. Needs a nightly toolchain, named by NIGHTLY (default nightly), on x86-64 or AArch64 Linux.
# Kernels run at every level that the CPU has. ThreadSanitizer and Miri need parts of a toolchain (rust-src, miri) that are not
# asked for here; `cargo test --features capi,rayon --test capi threads` is the test of shared models.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

nightly=${NIGHTLY:-nightly}
cargo "+$nightly" --version >/dev/null || { echo "no toolchain $nightly: name a nightly by NIGHTLY" >&2; exit 1; }
host=$(rustc "+$nightly" -vV | sed -n 's/^host: //p')
unset SELFATTN_LEVEL

lean=(capi encoder_contract weights view)
case ${1:-} in
all) selection=(--lib --tests) ;;
*) selection=() && for name in "${@:-${lean[@]}}"; do selection+=(--test "$name"); done ;;
esac

start=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Of a target directory of its own: flags that change would have everything built again.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize CARGO_PROFILE_TEST_DEBUG=line-tables-only RUSTFLAGS=-Zsanitizer=address \
    ASAN_OPTIONS=detect_stack_use_after_return=1:strict_init_order=1 \
    cargo "+$nightly" test --locked --target "$host" --no-default-features --features capi,rayon,profile "${selection[@]}" 2>&1 | tee "$log"
passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$log" | awk "{ sum += \$1 } END { print sum + 0 }")
[ "${passed:-0}" -gt 0 ] || { echo "no test ran" >&2; exit 1; }
echo "AddressSanitizer: $passed tests, no finding, in $((SECONDS - start)) s with the build"
