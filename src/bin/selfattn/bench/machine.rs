//! What the benchmark runs on: the CPU's name, and how fast its multiply-adds can be.

use std::fs;
use std::time::Instant;

use selfattn::roof::multiply_add;
use selfattn::{Engine, Level};

/// Long enough for the clock's frequency to settle, short enough not to be noticed.
const PEAK_SECONDS: f64 = 0.3;
/// Rounds between two looks at the clock: some tens of microseconds.
const STEPS: u64 = 10_000;

/// The CPU's name as the operating system gives it; else its architecture.
pub fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| format!("unknown {} CPU", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}

/// GFLOP/s that fused multiply-adds on registers reach on one core at this level, measured now.
pub fn fma_peak(level: Level) -> f64 {
    let engine = Engine::new().with_level(level);
    let (start, mut best) = (Instant::now(), 0.0_f64);
    while start.elapsed().as_secs_f64() < PEAK_SECONDS {
        let round = Instant::now();
        let flops = multiply_add(&engine, STEPS);
        best = best.max(flops as f64 / round.elapsed().as_secs_f64());
    }
    best / 1e9
}
