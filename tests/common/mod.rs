//! What the integration tests share: data with extreme values, strided matrices with guarded gaps, a naive oracle in f64,
//! error bounds, tiny models as files, and a run over every SIMD level of this CPU.

#![allow(dead_code, reason = "every test binary uses a part of its own")]

pub mod attend;
pub mod bound;
pub mod damage;
pub mod data;
pub mod encoder;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod island;
pub mod memory;
pub mod model;
pub mod oracle;
pub mod pools;
pub mod product;
pub mod run;
pub mod stored;

use std::sync::Once;

use proptest::test_runner::Config;
use selfattn::{Engine, Level};

/// Runs a test on an engine of every level of this CPU, one thread, and says once which levels that leaves out.
pub fn every_level(test: impl Fn(Engine<'static>)) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        for name in Level::NAMES.iter().filter(|name| Level::from_name(name).is_err()) {
            eprintln!("note: level {name} is not tested, this CPU does not have it");
        }
    });
    for level in Level::available() {
        test(Engine::new().with_level(level));
    }
}

/// Whether a level multiplies pairs of bf16 by the CPU's own instruction.
pub fn has_pairs(level: Level) -> bool {
    level.name().ends_with("bf16")
}

/// A proptest configuration of that many cases, or as many as the environment variable `PROPTEST_CASES` says. Failures print
/// their shape and seed, so nothing is kept in files.
pub fn cases(cases: u32) -> Config {
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..default }
}

/// The bits of floats: equality that tells -0 from 0 and a NaN from nothing.
pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
