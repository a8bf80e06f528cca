# Lane `host`: this machine. Lints, docs, README's commands with the real model, the command line, the benchmarks, the fuzz targets.
# shellcheck shell=bash

target=${CARGO_TARGET_DIR:-target}
# The three commands that README.md promises, to the letter.
readme_explain='cargo run --release --features cli -- explain "I love Apple Watch"'
readme_tests='python3 scripts/get_minilm.py && cargo test --release --features cli -- --include-ignored'
readme_embed='python3 scripts/get_minilm.py && cargo run --release --features cli -- embed --model models/all-MiniLM-L6-v2 "I love Apple Watch" "I love apple juice"'
# What a user can build. The first is the core alone; without `std` there is no default to add to.
feature_sets=("" alloc std rayon profile tracing capi small cli)
for command in "$readme_explain" "$readme_tests" "$readme_embed"; do
    readme_has "$command"
done

step "What bad input gets: the tests of the index"
python3 -B scripts/check_index.py

step "The core depends on half and libm alone"
# zerocopy and cfg-if are half's; the derive macros of zerocopy run at build time.
allowed='selfattn|half|libm|cfg-if|zerocopy|zerocopy-derive|proc-macro2|quote|syn|unicode-ident'
cargo tree --locked --edges normal --no-default-features --prefix none --format '{p}' | cut -d ' ' -f 1 | sort -u >"$work/tree"
cat "$work/tree"
! grep -vxE "$allowed" "$work/tree" || fail "these are new in the core"
direct=$(cargo tree --locked --edges normal --no-default-features --prefix none --depth 1 --format '{p}' | cut -d ' ' -f 1 | sort | xargs)
[ "$direct" = "half libm selfattn" ] || fail "direct dependencies of the core: $direct"

step "The core builds without std and without a heap"
# A library with a panic handler of its own, and no allocator: had anything linked std, there would be two handlers, and had
# anything linked alloc, there would be no allocator.
mkdir -p "$work/core-only/src"
cat >"$work/core-only/Cargo.toml" <<TOML
[package]
name = "core-only"
edition = "2024"
[lib]
crate-type = ["staticlib"]
[dependencies]
selfattn = { path = "$PWD", default-features = false }
[profile.release]
panic = "abort"
TOML
cat >"$work/core-only/src/lib.rs" <<'RUST'
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(no_mangle)]
pub extern "C" fn lanes() -> usize {
    selfattn::Engine::new().level().lanes()
}
RUST
cp Cargo.lock "$work/core-only/"
cargo build --release --manifest-path "$work/core-only/Cargo.toml" --target-dir "$work/core-only/target"

step "Every SIMD intrinsic is inlined, as other crates build this one"
scripts/check_inlined.sh "$work/core-only/target/release/libcore_only.a"

step "The tiles stay in the registers, as other crates build this one"
python3 -B scripts/check_tiles_test.py
python3 -B scripts/check_tiles.py --expect avx2,avx512 "$work/core-only/target/release/libcore_only.a"

for features in "${feature_sets[@]}"; do
    step "Clippy: --no-default-features --features '$features'"
    cargo clippy --locked --all-targets --no-default-features --features "$features" -- -D warnings
done
step "Clippy: default features"
cargo clippy --locked --all-targets -- -D warnings
step "Clippy: --all-features"
cargo clippy --locked --all-targets --all-features -- -D warnings

step "Docs: --all-features"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features
step "Docs: --no-default-features"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --no-default-features

step "README's explain command, on the model inside the program"
bash -c "$readme_explain" >"$work/explain"
cat "$work/explain"
grep -q "Apple  *company" "$work/explain" || fail "Apple is no company in \"I love Apple Watch\""

step "The model inside the program reads senses as its card says"
python3 -B training/evaluate.py --selfattn "$target/release/selfattn" --every 4 --worst 10

step "README's test command, the real model included"
bash -c "$readme_tests"

step "README's embed command"
bash -c "$readme_embed" >"$work/embed"
python3 - "$work/embed" <<'PYTHON'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1]) if line.startswith("{")]
assert [row["text"] for row in rows] == ["I love Apple Watch", "I love apple juice"], [row["text"] for row in rows]
for row in rows:
    vector = row["embedding"]
    assert len(vector) == 384, len(vector)
    assert abs(sum(x * x for x in vector) - 1) < 1e-5, "not of length 1"
print("two vectors of 384 numbers each")
PYTHON

step "The same vectors at every level"
selfattn=$target/release/selfattn
minilm=(--model models/all-MiniLM-L6-v2)
texts=("I love Apple Watch" "I love apple juice" "She sat on the bank of the river and counted her money.")
ran=()
for level in scalar avx2 avx512 avx512bf16 amxbf16; do
    if ! "$selfattn" embed "${minilm[@]}" --level "$level" "${texts[@]}" >"$work/$level" 2>"$work/error"; then
        # avx512f in /proc/cpuinfo for avx512, avx512_bf16 and amx_bf16 for avx512bf16 and amxbf16.
        if [ "$level" = scalar ] || grep -qw -e "$level" -e "${level}f" -e "${level/bf16/_bf16}" /proc/cpuinfo; then
            cat "$work/error" >&2
            exit 1
        fi
        echo "level $level: not run, this CPU does not have it"
        continue
    fi
    SELFATTN_LEVEL=$level "$selfattn" embed "${minilm[@]}" "${texts[@]}" | cmp - "$work/$level" ||
        fail "SELFATTN_LEVEL=$level does not do what --level $level does"
    ran+=("$work/$level")
done
python3 - "${ran[@]}" <<'PYTHON'
import json
import os
import sys

LIMIT = 1e-6
first, *others = [[json.loads(line)["embedding"] for line in open(path)] for path in sys.argv[1:]]
names = [os.path.basename(path) for path in sys.argv[1:]]
for name, vectors in zip(names[1:], others):
    worst = max(abs(x - y) for a, b in zip(first, vectors, strict=True) for x, y in zip(a, b, strict=True))
    print(f"{names[0]} against {name}: largest difference {worst:.2e}")
    assert worst <= LIMIT, f"more than {LIMIT}"
PYTHON

step "Random sentences: the command against an independent implementation in float64"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy scipy tokenizers
OPENBLAS_NUM_THREADS=1 "$work/venv/bin/python" -B tests/differential/minilm.py --count 200 --selfattn "$selfattn"

step "Memory that hostile models can ask for"
python3 -B scripts/check_memory.py "$selfattn"

step "The page in a real browser"
python3 -B tests/browser/page.py "$selfattn" --model models/all-MiniLM-L6-v2

step "Benchmarks as tests"
cargo test --locked --release --features cli --bench kernels --bench encoder

step "Every SIMD intrinsic is inlined, in the command and the benchmarks"
benches=$(cargo test --locked --release --features cli --bench kernels --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
scripts/check_inlined.sh "$selfattn" $benches

step "The tiles stay in the registers, in the command and the benchmarks"
python3 -B scripts/check_tiles.py --expect avx2,avx512 "$selfattn" $benches

step "Products and attention beside other libraries: every contestant's result is checked"
peers=(--locked --manifest-path benches/peers/Cargo.toml --target-dir "$work/peers")
# Linted as it is built, not once more for that; and as fast to build as can be: nothing is timed here.
CARGO_PROFILE_RELEASE_OPT_LEVEL=0 RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings cargo build "${peers[@]}" --release
"$work/peers/release/peers" matmul --filter 128x64x128 --seconds 0.2
"$work/peers/release/peers" attention --filter 8x128x64 --seconds 0.2
"$work/peers/release/peers" decode --filter 32x8x4096x128 --seconds 0.02

step "Fuzz targets, a minute each"
cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
cargo test --locked --manifest-path fuzz/Cargo.toml
scripts/fuzz.sh 60

# With debug assertions and overflow checks, which --release leaves out, and with few shapes of tiles, where it has all.
features=rayon,profile,tracing,capi,capi-tokenizer,small
step "Tests with assertions: --no-default-features --features $features"
cargo test --locked --no-default-features --features "$features"
