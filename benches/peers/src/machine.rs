//! What the report says of the machine and of the versions.

use std::fs;

use selfattn::{Engine, Pool, RayonPool, Serial};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::Result;

/// Packages whose versions are named.
const PEERS: [&str; 6] = ["gemm", "matrixmultiply", "faer", "rten", "rten-gemm", "rten-vecmath"];

/// The heading of a report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    /// The SIMD level of our contestants.
    #[serde(default)]
    pub level: String,
    pub threads: usize,
    /// Whether times are the processor's.
    #[serde(default)]
    pub processor_time: bool,
    /// GFLOP/s of multiply-adds in f32 and GB/s of reading from memory, all threads together.
    pub peak: f64,
    pub read: f64,
    pub versions: Vec<String>,
}

impl Machine {
    pub fn new(engine: &Engine<'_>, (peak, read): (f64, f64)) -> Self {
        let (cpu, level) = (cpu_name(), engine.level().name().to_owned());
        Self {
            cpu,
            level,
            threads: engine.threads(),
            processor_time: clock::is_processor(),
            peak: peak / 1e9,
            read: read / 1e9,
            versions: versions(),
        }
    }
}

/// Threads for ours, and as many in rayon's global pool for the peers, the calling thread among them in both.
pub fn pool(threads: usize) -> Result<Box<dyn Pool>> {
    if threads == 0 {
        return Err("--threads 0: give at least 1".into());
    }
    // SAFETY: no other thread runs yet. matrixmultiply has no other way to be told.
    unsafe { std::env::set_var("MATMUL_NUM_THREADS", threads.to_string()) };
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global()?;
    if threads == 1 { Ok(Box::new(Serial)) } else { Ok(Box::new(RayonPool::new(threads)?)) }
}

/// The CPU's name as the operating system gives it; else its architecture.
fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| format!("unknown {} CPU", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}

/// The peers' versions, from the lock file that they were built by.
fn versions() -> Vec<String> {
    let lock = include_str!("../Cargo.lock");
    let version = |name: &&str| {
        let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")))?;
        let version = entry.lines().find_map(|line| line.strip_prefix("version = "))?;
        Some(format!("{name} {}", version.trim_matches('"')))
    };
    PEERS.iter().filter_map(version).collect()
}
