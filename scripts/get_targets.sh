#!/usr/bin/env bash
# Gives Debian a Rust toolchain for other CPUs, where there is no rustup server to ask:
#
#   scripts/get_targets.sh TARGET...
#
# Where `rustup target add TARGET...` works, do that instead; linkers and emulators are then the packages named below. This
# takes Debian's own Rust (the packages of rustc-web, unpacked, not installed), builds its standard library for each target
# from Debian's source of it, and links the result as the rustup toolchain `selfattn-targets`. It stays in the folder that
# SELFATTN_TARGETS names, by default `toolchain` beside the build's results, and only what is missing is made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=selfattn-targets
home=${SELFATTN_TARGETS:-${CARGO_TARGET_DIR:-$PWD/target}/toolchain}
mkdir -p "$home"
home=$(cd "$home" && pwd)
rust=$home/rust
export DEBIAN_FRONTEND=noninteractive

fail() {
    echo "$0: $*" >&2
    exit 1
}

# What a target is linked with and runs on, as Debian packages.
packages() {
    case $1 in
        aarch64-unknown-linux-gnu) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user ;;
        i686-unknown-linux-gnu) echo gcc-i686-linux-gnu libc6-dev-i386-cross ;;
        s390x-unknown-linux-gnu) echo gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user ;;
        thumb*) echo qemu-system-arm ;;
        riscv*-none-elf) echo qemu-system-misc ;;
        wasm32-wasip1) echo wasi-libc "$(command -v node >/dev/null || echo nodejs)" ;;
        wasm32-unknown-unknown) ;;
        *) fail "no target $1 here" ;;
    esac
}

# unpack FOLDER OPTIONS PACKAGE...: downloads packages, and what they need that is not installed, and unpacks them.
unpack() {
    local to=$1
    shift
    mkdir -p "$home/debs/partial" "$to"
    apt-get -qq -y --no-install-recommends --download-only -o APT::Sandbox::User=root \
        -o Dir::Cache::archives="$home/debs" install "$@" >/dev/null
    for deb in "$home"/debs/*.deb; do
        dpkg -x "$deb" "$to"
    done
    rm -rf "$home/debs"
}

rustc_of_debian() {
    LD_LIBRARY_PATH=$rust/lib "$rust/bin/rustc" "$@"
}

get_rust() {
    [ -e "$rust/complete" ] && return
    echo "==> Rust, from Debian's packages"
    rm -rf "$rust" "$home/unpacked"
    unpack "$home/unpacked" --reinstall rustc-web cargo-web libstd-rust-web-dev rust-web-src rust-web-clippy
    mv "$home/unpacked/usr" "$rust"
    # Toolchains of rustup have their libraries in one folder.
    find "$rust/lib/x86_64-linux-gnu" "$home/unpacked/lib" -maxdepth 2 \( -type f -o -type l \) -name '*.so*' \
        -exec mv -t "$rust/lib" {} + 2>/dev/null || true
    local llvm
    llvm=$(rustc_of_debian -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    unpack "$home/unpacked" --reinstall "lld-$llvm"
    mkdir -p "$rust/lib/rustlib/x86_64-unknown-linux-gnu/bin"
    cp "$home/unpacked/usr/lib/llvm-$llvm/bin/lld" "$rust/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"
    rm -rf "$home/unpacked"
    rustc_of_debian --version
    touch "$rust/complete"
}

# The standard library, or core and alloc alone where there is no system. It prints no backtraces: what reads debugging information
# for them takes a sixth of the time. RUSTC_BOOTSTRAP is set here and nowhere else: what is built with the toolchain is plain
# stable Rust.
build_std() {
    local target=$1 crates features= to=$rust/lib/rustlib/$1/lib seed=$home/seed
    [ -d "$to" ] && return
    echo "==> The standard library for $target"
    case $target in
        *-linux-*) crates=std,panic_abort,panic_unwind,test features=panic-unwind ;;
        wasm32-*) crates=std,panic_abort,test ;;
        *) crates=core,alloc features=compiler-builtins-mem ;;
    esac
    mkdir -p "$seed/src"
    printf '[package]\nname = "seed"\nedition = "2024"\n[workspace]\n' >"$seed/Cargo.toml"
    echo '#![no_std]' >"$seed/src/lib.rs"
    (
        cd "$seed"
        unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
        RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes cargo "+$name" build --quiet --release --target "$target" \
            -Zbuild-std="$crates" -Zbuild-std-features="$features" --target-dir "$seed/target"
    )
    mkdir -p "$to.part"
    find "$seed/target/$target/release/deps" -name '*.rlib' ! -name 'libseed*' -exec cp -t "$to.part" {} +
    [ "$target" = wasm32-wasip1 ] && wasi_libc "$to.part/self-contained"
    mv "$to.part" "$to"
    rm -rf "$seed"
}

# The C library of WASI and its start-up code, where rustc looks for them. Debian's is older than the standard library and
# lacks two functions of threads, which a program without threads never calls.
wasi_libc() {
    local to=$1 from=/usr/lib/wasm32-wasi lld=$rust/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
    local sysroot=$home/sysroot
    mkdir -p "$to" "$sysroot/lib/rustlib/wasm32-wasip1"
    ln -sfn "${to%/*}" "$sysroot/lib/rustlib/wasm32-wasip1/lib"
    cp "$from/libc.a" "$to"
    cat >"$home/threads.rs" <<'RUST'
#![no_std]
const NOT_SUPPORTED: i32 = 58;
#[unsafe(no_mangle)]
extern "C" fn pthread_join(_thread: usize, _value: usize) -> i32 {
    NOT_SUPPORTED
}
#[unsafe(no_mangle)]
extern "C" fn pthread_detach(_thread: usize) -> i32 {
    NOT_SUPPORTED
}
RUST
    rustc_of_debian --sysroot "$sysroot" --target wasm32-wasip1 --edition 2024 --crate-type rlib --emit obj -O -Cpanic=abort \
        -o "$home/threads.o" "$home/threads.rs"
    for start in crt1-command crt1-reactor; do
        LD_LIBRARY_PATH=$rust/lib "$lld" -flavor wasm -r -o "$to/$start.o" "$from/$start.o" "$home/threads.o"
    done
    rm -r "$sysroot" "$home"/threads.*
}

[ $# -gt 0 ] || fail "which targets?"
tools=()
for target in "$@"; do
    some=$(packages "$target")
    read -ra some <<<"$some"
    tools+=("${some[@]}")
done
missing=()
for package in "${tools[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ] || [ ! -e "$rust/complete" ]; then
    apt-get -qq update || echo "$0: some package lists are not up to date" >&2
fi
[ ${#missing[@]} -eq 0 ] || apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
get_rust
rustup toolchain link "$name" "$rust"
for target in "$@"; do
    build_std "$target"
done
echo "toolchain $name: $(rustc "+$name" --version), $*"
