//! One module a target: what it draws from the fuzzer's bytes, what it runs, and the reference it compares with. The targets
//! themselves (`fuzz_targets/`) only call `run`, so that all of this is built once, and runs on any toolchain: `cargo test`
//! here runs every seed without a fuzzer.

pub mod attention;
pub mod cache;
pub mod capi;
pub mod config;
mod draw;
pub mod lines;
pub mod matmul;
pub mod model;
pub mod safetensors;

#[path = "../../tests/common/mod.rs"]
mod common;

// The command line's own reading of texts, which is no part of the library.
#[path = "../../src/bin/selfattn/error.rs"]
#[allow(dead_code, reason = "what the rest of the program needs")]
mod error;
#[path = "../../src/bin/selfattn/input.rs"]
#[allow(dead_code, reason = "what the rest of the program needs")]
mod input;

/// A name, and what is made of its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 8] = [
    ("attention", attention::run),
    ("cache", cache::run),
    ("capi", capi::run),
    ("config", config::run),
    ("lines", lines::run),
    ("matmul", matmul::run),
    ("model", model::run),
    ("safetensors", safetensors::run),
];
