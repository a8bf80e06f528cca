# Lane `others`: what builds the library in its own way. Other CPUs under emulators (microcontrollers, and the targets of README's
# table), the C API as a library, and instructions under Valgrind.
# shellcheck shell=bash

# Beside the other lane's, which would make it wait.
export CARGO_TARGET_DIR=$work/others
# Kept where it is, between runs.
export SELFATTN_TARGETS=${SELFATTN_TARGETS:-$PWD/target/toolchain}

# Here and not with the other targets: programs without a system, each with a comparison of its own.
firmware=(thumbv7em-none-eabihf thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf riscv64gc-unknown-none-elf)
step "A toolchain for microcontrollers: ${firmware[*]}"
scripts/get_targets.sh "${firmware[@]}"
export TOOLCHAIN=selfattn-targets
step "Firmware under qemu: results, sizes, no panic"
for target in "${firmware[@]}"; do
    grep -qF "cargo run --release --target $target" examples/firmware/README.md ||
        fail "examples/firmware/README.md lacks $target"
done
scripts/firmware.py "${firmware[@]:1}"
scripts/firmware.py --c thumbv7em-none-eabihf

step "The C API installed by cargo-c, its functions and layouts those of the list, and used from there"
python3 -m venv "$work/numpy"
"$work/numpy/bin/pip" install --quiet numpy
PYTHON=$work/numpy/bin/python scripts/check_cinstall.sh "$work/prefix"
step "C programs, as C programmers build them"
scripts/check_c.sh "$work/prefix/lib/libselfattn.so"
step "The shared library without the tokenizer is small"
scripts/check_size.sh
step "The C API links no panic, here and on a microcontroller"
TOOLCHAIN="" scripts/check_panics.py
scripts/check_panics.py thumbv7em-none-eabihf

step "Instructions of fixed work"
TOOLCHAIN="" scripts/callgrind.py

step "Licences, duplicates and sources of dependencies"
scripts/check_dependencies.sh

# The targets of README's table that are run here: emulated but for the 32-bit one.
targets=(aarch64-unknown-linux-gnu wasm32-wasip1 i686-unknown-linux-gnu s390x-unknown-linux-gnu)
step "A toolchain for other CPUs: ${targets[*]}"
scripts/get_targets.sh "${targets[@]}"
step "Clippy: aarch64-unknown-linux-gnu"
cargo "+$TOOLCHAIN" clippy --locked --target aarch64-unknown-linux-gnu --all-targets --no-default-features --features std -- -D warnings
for target in "${targets[@]}"; do
    step "Tests on $target"
    readme_has "scripts/test_targets.sh $target"
    scripts/test_targets.sh "$target"
done
