//! An encoder with memory of its own (feature `alloc`).

use alloc::vec::Vec;

use crate::block::batch::Batch;
use crate::block::encoder::Encoder;
use crate::block::forward::Probe;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::view::MatMut;

/// Tokens a thread that go through the layers together: enough to pay for the weights' way from memory, few enough that the
/// widest hidden state (1.5 MiB with MiniLM) stays near the second-level cache.
const TOGETHER: usize = 256;

/// An encoder, what it runs on, and scratch that grows as needed and is kept for the next call.
///
/// ```no_run
/// # fn run(encoder: &selfattn::block::Encoder) -> Result<(), selfattn::Error> {
/// use selfattn::Engine;
/// use selfattn::block::{Batch, Runner};
///
/// let mut runner = Runner::new(Engine::new(), encoder);
/// let vectors = runner.embed(&Batch::new(&[101, 7592, 102, 101, 2088, 102], &[3, 3])?)?;
/// assert_eq!(vectors.len(), 2 * encoder.config().hidden_size);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Runner<'r, 's, 'w> {
    engine: Engine<'r>,
    encoder: &'r Encoder<'s, 'w>,
    scratch: Vec<u8>,
}

impl<'r, 's, 'w> Runner<'r, 's, 'w> {
    /// A runner without scratch yet.
    pub fn new(engine: Engine<'r>, encoder: &'r Encoder<'s, 'w>) -> Self {
        Self { engine, encoder, scratch: Vec::new() }
    }

    /// What it runs on.
    pub fn engine(&self) -> &Engine<'r> {
        &self.engine
    }

    /// What it runs.
    pub fn encoder(&self) -> &'r Encoder<'s, 'w> {
        self.encoder
    }

    /// [`Encoder::embed`] into a new vector: `sequences x hidden_size`, row by row.
    ///
    /// # Errors
    /// As [`Encoder::embed`], and [`Error::Memory`] if there is none for the result or the scratch.
    pub fn embed(&mut self, batch: &Batch<'_>) -> Result<Vec<f32>> {
        let (rows, cols) = (batch.lengths().len(), self.encoder.config().hidden_size);
        self.prepare(batch)?;
        let mut out = matrix(rows, cols)?;
        self.encoder.embed(&self.engine, batch, MatMut::new(&mut out, rows, cols)?, &mut self.scratch)?;
        Ok(out)
    }

    /// [`Encoder::forward_with`] into a new vector: `tokens x hidden_size`, row by row.
    ///
    /// # Errors
    /// As [`Encoder::forward`], and [`Error::Memory`] if there is none for the result or the scratch.
    pub fn forward_with(&mut self, batch: &Batch<'_>, probe: &mut dyn FnMut(Probe<'_>)) -> Result<Vec<f32>> {
        let (rows, cols) = (batch.ids().len(), self.encoder.config().hidden_size);
        self.prepare(batch)?;
        let mut out = matrix(rows, cols)?;
        let hidden = MatMut::new(&mut out, rows, cols)?;
        self.encoder.forward_with(&self.engine, batch, hidden, &mut self.scratch, probe)?;
        Ok(out)
    }

    /// [`Encoder::forward`] into a new vector: `tokens x hidden_size`, row by row.
    ///
    /// # Errors
    /// As [`Encoder::forward`], and [`Error::Memory`] if there is none for the result or the scratch.
    pub fn forward(&mut self, batch: &Batch<'_>) -> Result<Vec<f32>> {
        self.forward_with(batch, &mut |_| ())
    }

    /// Makes the scratch large enough.
    fn prepare(&mut self, batch: &Batch<'_>) -> Result<()> {
        let tokens = TOGETHER.saturating_mul(self.engine.threads()).min(batch.ids().len()).max(batch.longest());
        let bytes = self.encoder.scratch_bytes(&self.engine, tokens)?;
        if self.scratch.len() < bytes {
            // The old one goes first: nothing in it is needed.
            self.scratch = Vec::new();
            self.scratch = zeros(bytes)?;
        }
        Ok(())
    }
}

fn matrix(rows: usize, cols: usize) -> Result<Vec<f32>> {
    zeros(rows.checked_mul(cols).ok_or(Error::Overflow { arg: "batch" })?)
}

fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(len).map_err(|_| Error::Memory { bytes: len.saturating_mul(size_of::<T>()) })?;
    memory.resize(len, T::default());
    Ok(memory)
}
