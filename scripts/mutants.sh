#!/usr/bin/env bash
# Breaks the code in one place at a time and sees whether a test goes red: scripts/mutants.sh [ROOM [CARGO-MUTANTS-OPTION...]]
#
# ROOM is weights, ops, kernel, or all (default). A mutant is the library with one operator, condition or return value changed; one
# that no test notices is a survivor, and fails the run. Survivors are listed in target/mutants/ROOM/mutants.out/missed.txt.
#
# Every mutant is a build: SHARD=K/N takes each N-th, from the K-th (from 0). Only the tests that are about the room run, at
# opt-level 1, where a build takes least; the rest of the suite may see more. TIMEOUT (default 300) is the most seconds that the
# tests of a mutant may take, and BUILD_TIMEOUT (default 600) its build.
#
# For a target that has the portable level alone a mutant takes a third of the time, 5 s if it is caught:
# CARGO_BUILD_TARGET=i686-unknown-linux-gnu, with what CI's tests of that target set as well (scripts/test_targets.sh). A first
# pass with PROPTEST_CASES=24 is faster still: what it misses is for a second one, by --re.
#
# Needs cargo-mutants: cargo install --locked cargo-mutants
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

room=${1:-all}
shift $(($# > 0 ? 1 : 0))
cargo mutants --version >/dev/null 2>&1 || { echo "no cargo-mutants: cargo install --locked cargo-mutants" >&2; exit 1; }

# What a level decides for itself is the portable one's; tests that go through the levels still do.
export SELFATTN_LEVEL=scalar
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=false

tests() {
    case $1 in
        weights) echo weights placed encoder_contract ;;
        ops) echo view rows softmax norm activation lecture matmul matmul_contract attention encoder encoder_contract plan ;;
        kernel) echo matmul matmul_blocks gemv softmax norm activation attention rows roof ;;
        *) echo "no room $1: weights, ops, kernel or all" >&2; return 1 ;;
    esac
}

# check ROOM OPTION...
check() {
    # To the build as well, which would build every test without them.
    local room=$1 named targets=(--cargo-arg=--lib)
    shift
    named=$(tests "$room") || return
    for name in $named; do targets+=("--cargo-arg=--test=$name"); done
    mkdir -p "target/mutants/$room"
    echo "==> $room${SHARD:+, shard $SHARD}: $named, and the library's own tests"
    cargo mutants --no-shuffle --jobs 1 --output "target/mutants/$room" --file "src/$room/**" --profile dev \
        --no-default-features --features std --timeout "${TIMEOUT:-300}" --build-timeout "${BUILD_TIMEOUT:-600}" \
        ${SHARD:+--shard "$SHARD" --sharding round-robin} "${targets[@]}" "$@"
}

code=0
if [ "$room" = all ]; then
    for room in weights ops kernel; do check "$room" "$@" || code=$?; done
else
    check "$room" "$@" || code=$?
fi
exit "$code"
