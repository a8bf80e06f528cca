//! What the benchmarks share: a clock around criterion's loop, so that every result can stand beside the FMA peak that the
//! same core reached a moment before.

#![allow(dead_code, reason = "every benchmark uses a part of its own")]

use std::fs;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use selfattn::roof::{multiply_add, read};
use selfattn::{Engine, Level};

/// Samples, warm-up and measurement of one benchmark: there are hundreds of them.
const SAMPLES: usize = 10;
const WARM_UP: Duration = Duration::from_millis(100);
const MEASUREMENT: Duration = Duration::from_millis(400);
/// How long the peak is looked for: the clock's frequency settles, and the best of many rounds counts.
const PEAK_TIME: Duration = Duration::from_millis(30);
/// Rounds between two looks at the clock: some tens of microseconds.
const PEAK_STEPS: u64 = 10_000;
/// Bytes that no cache holds, and how often they are read.
const FROM_MEMORY: usize = 1 << 28;
const READS: usize = 5;

/// Benchmarks of one operation on every level of this CPU, one thread.
pub struct Bench<'c> {
    group: BenchmarkGroup<'c, WallTime>,
    /// Criterion measures only with `--bench`, which `cargo bench` passes; else it calls everything once, as a test.
    measuring: bool,
}

impl<'c> Bench<'c> {
    pub fn new(criterion: &'c mut Criterion, operation: &str) -> Self {
        let mut group = criterion.benchmark_group(format!("{operation} on {}", cpu_name()));
        group.sample_size(SAMPLES).warm_up_time(WARM_UP).measurement_time(MEASUREMENT);
        Self { group, measuring: std::env::args().any(|arg| arg == "--bench") }
    }

    /// Measures `work`, which does `flops` floating-point operations, and prints how near it came to the FMA peak. Criterion's
    /// elements a second are these operations.
    pub fn run(&mut self, engine: &Engine<'_>, case: &str, flops: u64, work: impl FnMut()) {
        let roof = Roof { name: "the FMA peak", unit: "GFLOP/s", measure: fma_peak };
        self.measure(engine, case, (Throughput::Elements(flops), flops), roof, work);
    }

    /// Measures `work`, which reads `bytes` bytes, and prints how near it came to the bandwidth of reading from memory: above
    /// it, what a cache keeps from one call to the next.
    pub fn run_bytes(&mut self, engine: &Engine<'_>, case: &str, bytes: u64, work: impl FnMut()) {
        let roof = Roof { name: "reading from memory", unit: "GB/s", measure: read_bandwidth };
        self.measure(engine, case, (Throughput::Bytes(bytes), bytes), roof, work);
    }

    /// The median of all samples, warm-up included, and the best of them, beside the roof.
    fn measure(
        &mut self,
        engine: &Engine<'_>,
        case: &str,
        (throughput, amount): (Throughput, u64),
        roof: Roof,
        mut work: impl FnMut(),
    ) {
        let mut limit = None;
        let mut samples = Vec::new();
        self.group.throughput(throughput);
        self.group.bench_function(BenchmarkId::new(engine.level().name(), case), |bencher| {
            // Not before the first sample: a filter may leave this benchmark out.
            if self.measuring && limit.is_none() {
                limit = Some((roof.measure)(engine));
            }
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                (0..iterations).for_each(|_| work());
                let time = start.elapsed();
                samples.push(time.as_secs_f64() / iterations as f64);
                time
            });
        });
        if let Some(limit) = limit {
            samples.sort_by(f64::total_cmp);
            let rate = |seconds: f64| amount as f64 / seconds;
            let (median, best) = (rate(samples[samples.len() / 2]), rate(samples[0]));
            println!(
                "{:24}{:.1} {unit}, {:.1} % of {}; best {:.1}, {:.1} % ({} at level {}: {:.1} {unit})\n",
                "",
                median / 1e9,
                100.0 * median / limit,
                roof.name,
                best / 1e9,
                100.0 * best / limit,
                cpu_name(),
                engine.level(),
                limit / 1e9,
                unit = roof.unit,
            );
        }
    }
}

/// What a result is held against.
struct Roof {
    name: &'static str,
    unit: &'static str,
    /// Its value now, a second.
    measure: fn(&Engine<'_>) -> f64,
}

/// An engine for every level of this CPU, one thread each; says which levels that leaves out.
pub fn engines() -> impl Iterator<Item = Engine<'static>> {
    for name in Level::NAMES.iter().filter(|name| Level::from_name(name).is_err()) {
        println!("level {name}: not run, this CPU does not have it");
    }
    Level::available().map(|level| Engine::new().with_level(level))
}

/// The CPU's name as the operating system gives it; else its architecture.
fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| format!("unknown {} CPU", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}

/// Floating-point operations a second of multiply-adds in registers, now.
fn fma_peak(engine: &Engine<'_>) -> f64 {
    let (start, mut best) = (Instant::now(), 0.0_f64);
    while start.elapsed() < PEAK_TIME {
        let round = Instant::now();
        let flops = multiply_add(engine, PEAK_STEPS);
        best = best.max(flops as f64 / round.elapsed().as_secs_f64());
    }
    best
}

/// Bytes a second that one thread reads from memory, now.
fn read_bandwidth(engine: &Engine<'_>) -> f64 {
    let data = vec![1.0; FROM_MEMORY / size_of::<f32>()];
    let mut best = 0.0_f64;
    for _ in 0..READS {
        let start = Instant::now();
        read(engine, &data);
        best = best.max(FROM_MEMORY as f64 / start.elapsed().as_secs_f64());
    }
    best
}
