#!/usr/bin/env bash
# Runs the tests on other CPUs, under emulators:
#
#   scripts/test_targets.sh [TARGET...]
#
# README.md has the table of targets; all of them run if none is named. A target needs its standard library (`rustup target add
# TARGET`, or scripts/get_targets.sh where that has no server to ask), a C compiler to link with and an emulator. Others than
# those below are named to cargo as ever, by CARGO_TARGET_<TARGET>_LINKER and CARGO_TARGET_<TARGET>_RUNNER.
#
#   TOOLCHAIN        of rustup, such as selfattn-targets; none for the one that `cargo` is
#   PROPTEST_CASES   for each property, by default 32: an emulator takes ten to a hundred times as long as the CPU
#   SELFATTN_LONG    1 for what takes an emulator many minutes, too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all="aarch64-unknown-linux-gnu wasm32-wasip1 i686-unknown-linux-gnu s390x-unknown-linux-gnu"
export PROPTEST_CASES=${PROPTEST_CASES:-32} CARGO_INCREMENTAL=0
# No debugger looks at these programs, and compiling them is most of the time.
export CARGO_PROFILE_RELEASE_DEBUG=false
# With neither, Level::current is what the target has.
unset SELFATTN_LEVEL SELFATTN_MODEL

# Nor what tests depend on: to optimise it takes longer than it saves. What the library itself depends on is as users have it.
quick=(--config 'profile.release.package."*".opt-level=0')
for dependency in half libm; do
    quick+=(--config "profile.release.package.$dependency.opt-level=3")
done

fail() {
    echo "$0: $*" >&2
    exit 1
}

# The name of the C cross compiler's target, the emulator, and options for the compiler.
describe() {
    triple='' emulator='' flags=''
    case $1 in
        aarch64-unknown-linux-gnu) triple=aarch64-linux-gnu emulator="qemu-aarch64 -cpu max" ;;
        # Static, so that an x86-64 system runs it without libraries of its own.
        i686-unknown-linux-gnu) triple=i686-linux-gnu flags=-Ctarget-feature=+crt-static ;;
        s390x-unknown-linux-gnu) triple=s390x-linux-gnu emulator=qemu-s390x ;;
        wasm32-wasip1) emulator=$PWD/scripts/wasi_run.mjs flags=-Ctarget-feature=+simd128 ;;
        *) fail "no target $1 here" ;;
    esac
}

# run_tests TARGET ARGUMENT...: cargo test with the target's linker, emulator and options.
run_tests() {
    local target=$1 variable
    shift
    variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")
    describe "$target"
    (
        [ -z "$triple" ] || export "${variable}_LINKER=$(printenv "${variable}_LINKER" || echo "$triple-gcc")"
        # Some tests' dependencies have parts in C.
        [ -z "$triple" ] || export "CC_${target//-/_}=$triple-gcc"
        [ -z "$emulator" ] || export "${variable}_RUNNER=$(printenv "${variable}_RUNNER" || echo "${cpu:-$emulator}")"
        [ -z "$flags" ] || export "${variable}_RUSTFLAGS=$flags"
        # Debian has the libraries of other architectures there.
        [ -z "$triple" ] || [ ! -d "/usr/$triple" ] || export "QEMU_LD_PREFIX=/usr/$triple"
        # Tests start programs of the build through it.
        SELFATTN_TEST_RUNNER=$(printenv "${variable}_RUNNER" || true)
        export SELFATTN_TEST_RUNNER
        cargo ${TOOLCHAIN:+"+$TOOLCHAIN"} test --locked --release --target "$target" --no-default-features "${quick[@]}" "$@"
    )
}

# The tiles stay in the registers, in as few instructions as they should: one of the test programs has them all.
check_tiles() {
    local program
    describe "$1"
    program=$(run_tests "$@" --test matmul --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
    python3 -B scripts/check_tiles.py --objdump "$triple-objdump" --expect neon "$program"
}

test_target() {
    local target=$1 start=$SECONDS
    echo "==> $target"
    case $target in
        aarch64-*)
            # All of it, the real model included; that on a core without FEAT_BF16, where a level less does the same.
            run_tests "$target" --features rayon --lib --tests -- "${skipped[@]}"
            cpu="qemu-aarch64 -cpu cortex-a76" run_tests "$target" --features rayon --test minilm -- \
                --include-ignored "${model_tests[@]}"
            check_tiles "$target" --features rayon
            # A core with NEON and nothing that came later.
            cpu="qemu-aarch64 -cpu cortex-a53" run_tests "$target" --features rayon --lib --test matmul --test gemv --test softmax
            ;;
        # Weight files are little-endian, and refused.
        s390x-*) run_tests "$target" --features std "${operations[@]}" --test big_endian -- "${shorter[@]}" ;;
        *) run_tests "$target" --features std "${operations[@]}" "${models[@]}" -- "${shorter[@]}" ;;
    esac
    echo "<== $target: $((SECONDS - start)) s"
}

# Test programs: what is on a register, every operation; encoders, and the files that weights come in.
operations=(--lib --test matmul --test gemv --test attention --test softmax --test norm --test rows --test activation)
models=(--test encoder --test weights)
# Minutes for an emulator: every limit at which products are divided, in every type, and every tail of them between closed
# pages; several pools; the model in every form.
skipped=(--skip sums_of_integers_are_exact --skip threads_do_not_change_a_bit --skip products::products_stay_inside)
model_tests=(sentence_vectors)
# Attention in every precision and by several pools: on one emulated CPU, not on all.
shorter=(--skip precision:: --skip threads::)
if [ "${SELFATTN_LONG:-0}" = 1 ]; then
    skipped=() model_tests=() shorter=()
fi

read -ra targets <<<"${*:-$all}"
for target in "${targets[@]}"; do
    test_target "$target"
done
