//! The machine that measurements are made on: its name, and its roofs, measured now.

use std::fs;
use std::time::Instant;

use selfattn::Engine;
use selfattn::roof::{multiply_add, read};
use serde::Serialize;

/// Long enough for the clock's frequency to settle, short enough not to be noticed.
const PEAK_SECONDS: f64 = 0.3;
/// Rounds between two looks at the clock: some tens of microseconds.
const STEPS: u64 = 10_000;
/// Bytes of which no cache holds much.
const FROM_MEMORY: usize = 1 << 28;
/// Bytes that are read at least, for a bandwidth.
const READ: usize = 1 << 30;

/// How fast the machine can be at a level, on so many threads.
#[derive(Clone, Debug, Serialize)]
pub struct Roofs {
    /// GFLOP/s of multiply-adds in the registers: the best round of one core, times the threads.
    pub peak_gflops: f64,
    /// GB/s of reading from memory, all threads at once: the best of some passes.
    pub memory_gbs: f64,
    /// GB/s of one core reading what half of its first and second-level cache holds, times the threads; where their size is known.
    pub cache_gbs: Vec<(String, f64)>,
}

impl Roofs {
    pub fn measure(engine: &Engine<'_>) -> Self {
        let threads = engine.threads();
        let of_one = |bytes: usize| bandwidth(engine, bytes, 1) * threads as f64;
        let caches = (1..=2).filter_map(|level| Some((format!("L{level} cache"), of_one(cache_bytes(level)? / 2))));
        Self {
            peak_gflops: fma_peak(engine) * threads as f64,
            memory_gbs: bandwidth(engine, FROM_MEMORY, threads),
            cache_gbs: caches.collect(),
        }
    }

    /// FLOPs for each byte from memory at which both roofs meet.
    pub fn ridge(&self) -> f64 {
        self.peak_gflops / self.memory_gbs
    }
}

/// The CPU's name as the operating system gives it; else its architecture.
pub fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| format!("unknown {} CPU", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}

/// Programs that wanted a core in the last minute, on average; where the operating system says so.
pub fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Bytes of the first core's data cache of that level.
fn cache_bytes(level: usize) -> Option<usize> {
    (0..8).find_map(|index| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let text = |name: &str| fs::read_to_string(format!("{folder}/{name}")).ok();
        let is_it = text("level")?.trim() == level.to_string() && text("type")?.trim() != "Instruction";
        let size = text("size")?;
        is_it.then(|| size.trim().strip_suffix('K')?.parse::<usize>().ok())?.map(|kib| kib << 10)
    })
}

/// GFLOP/s that multiply-adds on registers reach on one core.
pub fn fma_peak(engine: &Engine<'_>) -> f64 {
    let (start, mut best) = (Instant::now(), 0.0_f64);
    while start.elapsed().as_secs_f64() < PEAK_SECONDS {
        let round = Instant::now();
        let flops = multiply_add(engine, STEPS);
        best = best.max(flops as f64 / round.elapsed().as_secs_f64());
    }
    best / 1e9
}

/// GB/s that so many threads reach together, each reading its part of so many bytes again and again.
fn bandwidth(engine: &Engine<'_>, bytes: usize, threads: usize) -> f64 {
    let data = vec![1.0_f32; bytes / size_of::<f32>()];
    let part = data.len().div_ceil(threads).max(1);
    // Passes over a cache's content take too short a time to look at each.
    let passes = (FROM_MEMORY / 8 / bytes).max(1);
    let rounds = (READ / (bytes * passes)).max(3);
    let round = |_| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let mut parts = data.chunks(part);
            let first = parts.next().unwrap_or_default();
            let work = |part: &[f32]| (0..passes).for_each(|_| read(engine, std::hint::black_box(part)));
            parts.for_each(|part| drop(scope.spawn(move || work(part))));
            work(first);
        });
        (bytes * passes) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..rounds).map(round).fold(0.0, f64::max)
}
