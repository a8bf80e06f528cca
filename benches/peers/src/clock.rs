//! The clock of all measurements: the wall's, or on a busy machine the processor's, which stands still while others run.

use std::sync::OnceLock;
use std::time::Instant;

use cpu_time::ProcessTime;

use crate::error::Result;

static PROCESSOR: OnceLock<bool> = OnceLock::new();

/// Chooses the clock, before the first measurement. The processor's adds up all threads of the process.
pub fn choose(processor: bool, threads: usize) -> Result<()> {
    if processor && threads > 1 {
        return Err("--processor-time: give one thread, it would add up the time of several".into());
    }
    PROCESSOR.set(processor).map_err(|_| "the clock is chosen already".into())
}

pub fn is_processor() -> bool {
    PROCESSOR.get().copied().unwrap_or_default()
}

/// A moment.
pub struct Clock(Moment);

enum Moment {
    Wall(Instant),
    Processor(ProcessTime),
}

impl Clock {
    pub fn start() -> Self {
        Self(if is_processor() { Moment::Processor(ProcessTime::now()) } else { Moment::Wall(Instant::now()) })
    }

    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        match self.0 {
            Moment::Wall(start) => start.elapsed(),
            Moment::Processor(start) => start.elapsed(),
        }
        .as_secs_f64()
    }
}
