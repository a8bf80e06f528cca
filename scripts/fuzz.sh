#!/usr/bin/env bash
# Runs the fuzz targets under AddressSanitizer, from their seeds: scripts/fuzz.sh [SECONDS] [TARGET...]
#
# 60 seconds each and all of them by default, as many at a time as JOBS says (default: one for each CPU). Needs a nightly
# toolchain, named by NIGHTLY (default nightly), and cargo-fuzz: cargo install --locked cargo-fuzz. A finding is kept in
# fuzz/artifacts/TARGET and fails the run; what targets learn is kept in fuzz/corpus/TARGET.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

nightly=${NIGHTLY:-nightly}
jobs=${JOBS:-$(nproc)}
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))

# Levels are the targets' to choose.
unset SELFATTN_LEVEL
cargo "+$nightly" --version >/dev/null || { echo "no toolchain $nightly: name a nightly by NIGHTLY" >&2; exit 1; }
cargo "+$nightly" fuzz --version >/dev/null 2>&1 || { echo "no cargo-fuzz: cargo install --locked cargo-fuzz" >&2; exit 1; }

# Accesses are checked by calls, not in line: the same checks, in a third less time to build.
export RUSTFLAGS="${RUSTFLAGS:-} -Cllvm-args=-asan-instrumentation-with-call-threshold=0"
start=$SECONDS
cargo "+$nightly" fuzz build
echo "built in $((SECONDS - start)) s"
host=$(rustc "+$nightly" -vV | sed -n 's/^host: //p')
programs=${CARGO_TARGET_DIR:-fuzz/target}/$host/release
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || mapfile -t targets < <(cargo "+$nightly" fuzz list)

# fuzz TARGET: one line of what it did. Problems are at most some hundred bytes; an input takes seconds only if something hangs.
fuzz() {
    local target=$1 log=fuzz/artifacts/$1.log code=0
    [ -d "fuzz/seeds/$target" ] || { echo "$target: no seeds; write some with fuzz/seeds.py" >&2; return 1; }
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    "$programs/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -artifact_prefix="fuzz/artifacts/$target/" \
        -max_total_time="$seconds" -max_len=1024 -len_control=0 -timeout=60 -rss_limit_mb=3000 -print_final_stats=1 \
        >"$log" 2>&1 || code=$?
    local runs coverage
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | cut -d ' ' -f 2 || true)
    if [ "$code" -ne 0 ] || [ -z "$runs" ] || [ "$runs" -eq 0 ]; then
        tail -n 60 "$log" >&2
        echo "$target: FAILED (exit code $code), the input is in fuzz/artifacts/$target" >&2
        return 1
    fi
    printf '%-12s %9s executions, %5s edges covered, no finding\n' "$target" "$runs" "$coverage"
}
export -f fuzz
export programs seconds
mkdir -p fuzz/artifacts
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I '{}' bash -c 'set -euo pipefail; fuzz "$1"' fuzz '{}'
echo "${#targets[@]} targets, $seconds s each, in $((SECONDS - start)) s with the build"
