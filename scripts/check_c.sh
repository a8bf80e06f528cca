#!/usr/bin/env bash
# Compiles the headers and the programs of examples/c and tests/c against a library, and runs them:
#
#   scripts/check_c.sh LIBRARY
#
# LIBRARY is a libselfattn.so with the tokenizer: cargo rustc --release --lib --crate-type cdylib --features
# capi,rayon,capi-tokenizer. By gcc and clang, by make, CMake and a plain line, under AddressSanitizer and UBSan, and once under
# Valgrind, at the level AVX2, the highest that it knows. Needs gcc, clang, cmake, make and valgrind. Models are those that the
# checkout has: of its own, and MiniLM if it was fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ $# -eq 1 ] && [ -f "$1" ] || { echo "usage: $0 LIBRARY" >&2; exit 2; }
library=$(realpath "$1")
folder=$(dirname "$library")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for tool in gcc g++ clang clang++ make cmake valgrind; do
    command -v "$tool" >/dev/null || { echo "$0: no $tool" >&2; exit 1; }
done
texts=("I love Apple Watch" "I love apple juice" "I love Apple Watch")
models=(model)
[ ! -d models/all-MiniLM-L6-v2 ] || models+=(models/all-MiniLM-L6-v2)

# run FOLDER [PREFIX...]: the programs that are there; each fails by itself if its result is wrong.
run() {
    local programs=$1 model
    shift
    "$@" "$programs/attention" | grep -qx "0.9[0-9]* 0.0[0-9]*" || { echo "attention: the first word is not mostly itself" >&2; exit 1; }
    "$@" "$programs/decode"
    for model in "${models[@]}"; do
        "$@" "$programs/embed" "$model" "${texts[@]}"
        [ ! -e "$programs/embed_cpp" ] || "$@" "$programs/embed_cpp" "$model" "${texts[@]}"
    done
}

strict=(-Wall -Wextra -pedantic -Werror -Iinclude)
strict_cpp=("${strict[@]}" -std=c++17 -Wconversion -Wshadow)
sanitized=(-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all)
linked=("-L$folder" "-Wl,-rpath,$folder" -lselfattn -lm -pthread)
echo '#include <selfattn.h>' >"$work/header.c"
cp "$work/header.c" "$work/header.cpp"
for compiler in gcc clang; do
    "$compiler" -std=c99 "${strict[@]}" -fsyntax-only "$work/header.c"
done
for compiler in g++ clang++; do
    "$compiler" -std=c++11 "${strict[@]}" -fsyntax-only "$work/header.cpp"
done
echo "selfattn.h is C99 and C++11, by gcc and clang"

for compiler in gcc clang; do
    cpp=${compiler/gcc/g++}
    cpp=${cpp/clang/clang++}
    mkdir "$work/$compiler"
    for program in examples/c/{attention,decode,embed}.c tests/c/bad_calls.c; do
        "$compiler" -std=c99 -D_POSIX_C_SOURCE=200809L "${sanitized[@]}" "${strict[@]}" "$program" \
            -o "$work/$compiler/$(basename "$program" .c)" "${linked[@]}"
    done
    "$cpp" "${sanitized[@]}" "${strict_cpp[@]}" examples/c/embed.cpp -o "$work/$compiler/embed_cpp" "${linked[@]}"
    "$cpp" "${sanitized[@]}" "${strict_cpp[@]}" tests/c/wrapper.cpp -o "$work/$compiler/wrapper" "${linked[@]}"
    echo "==> $compiler and $cpp, a plain line, AddressSanitizer and UBSan"
    run "$work/$compiler"
    "$work/$compiler/bad_calls" model
    "$work/$compiler/wrapper" model
done

echo "==> make"
cp -r examples/c "$work/make"
make -s -C "$work/make" SELFATTN_CFLAGS="-I$PWD/include" SELFATTN_LIBS="-L$folder -Wl,-rpath,$folder -lselfattn"
run "$work/make"

echo "==> CMake"
cmake -S examples/c -B "$work/cmake" -DSELFATTN_LIBRARY="$library" -DSELFATTN_INCLUDE="$PWD/include" >/dev/null
cmake --build "$work/cmake" >/dev/null
run "$work/cmake"

echo "==> Valgrind, level avx2"
models=(model)
SELFATTN_LEVEL=avx2 run "$work/make" valgrind --quiet --error-exitcode=1 --leak-check=full

echo "==> What is wrong is said"
if "$work/gcc/embed" "$work" "a text" 2>"$work/error"; then
    echo "embed: no model, and no error" >&2
    exit 1
fi
cat "$work/error"
grep -q "config.json" "$work/error"
