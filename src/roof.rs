//! The machine's roofs, to hold measurements against: call one with a clock of your own around it.
//!
//! A figure of GFLOP/s says little without the peak of the same CPU in the same minute; these loops are that peak.

use crate::engine::Engine;
use crate::kernel::roof::{MultiplyAdd, Read};

/// Runs `steps` rounds of independent multiply-adds in registers on one thread and returns the floating-point operations
/// done, a multiply-add counted as two. A round is some ten instructions.
pub fn multiply_add(engine: &Engine<'_>, steps: u64) -> u64 {
    engine.level().dispatch(MultiplyAdd { steps })
}

/// Reads `data` once, from its first element to its last, on one thread, and does nothing else.
pub fn read(engine: &Engine<'_>, data: &[f32]) {
    engine.level().dispatch(Read { data });
}
