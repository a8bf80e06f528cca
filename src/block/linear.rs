//! A linear layer and a norm: weights with their vectors, of any storage type.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernel::Activation;
use crate::kernel::output::Epilogue;
use crate::ops::weights::{Packed, Weights};
use crate::scratch::Arena;
use crate::simd::Level;
use crate::view::{MatMut, MatRef, Matrix};
use crate::weights::{Names, Part, Placed, SafeTensors};

/// Where the tensors of a model are found.
pub(crate) trait Source<'w> {
    fn matrix(&self, layer: usize, part: Part, rows: usize, cols: usize) -> Result<Matrix<'w>>;
}

/// By their names.
pub(crate) struct Named<'f, 'w> {
    pub file: &'f SafeTensors<'w>,
    pub names: Names,
}

impl<'w> Source<'w> for Named<'_, 'w> {
    fn matrix(&self, layer: usize, part: Part, rows: usize, cols: usize) -> Result<Matrix<'w>> {
        self.file.matrix(self.names.name(layer, part), rows, cols)
    }
}

impl<'w> Source<'w> for Placed<'w> {
    fn matrix(&self, layer: usize, part: Part, rows: usize, cols: usize) -> Result<Matrix<'w>> {
        self.matrix(layer, part, rows, cols)
    }
}

/// Tensors of one layer of a model, found by part.
pub(crate) struct Tensors<'s, S> {
    pub source: &'s S,
    pub layer: usize,
}

impl<'w, S: Source<'w>> Tensors<'_, S> {
    pub fn matrix(&self, part: Part, rows: usize, cols: usize) -> Result<Matrix<'w>> {
        self.source.matrix(self.layer, part, rows, cols)
    }

    pub fn linear(&self, weight: Part, bias: Part, outputs: usize, inputs: usize) -> Result<Linear<'w>> {
        let weights = self.matrix(weight, outputs, inputs)?.into();
        Ok(Linear { weights, bias: self.matrix(bias, 1, outputs)? })
    }

    pub fn norm(&self, weight: Part, bias: Part, size: usize) -> Result<Norm<'w>> {
        Ok(Norm { weight: self.matrix(weight, 1, size)?, bias: self.matrix(bias, 1, size)? })
    }
}

/// `y = act(x W^T + b) + residual`
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Linear<'w> {
    pub weights: Weights<'w>,
    pub bias: Matrix<'w>,
}

/// What a linear layer does besides its own weights.
#[derive(Clone, Copy, Default)]
pub(crate) struct Then<'a> {
    pub activation: Activation,
    pub residual: Option<MatRef<'a>>,
}

/// What layers work with, beside their inputs and outputs.
pub(crate) struct Workspace<'a> {
    pub engine: Engine<'a>,
    /// Two vectors as wide as the widest layer, for biases and norms that are not stored as f32.
    pub vectors: [&'a mut [f32]; 2],
    /// For products with plain weights, and for attention.
    pub scratch: &'a mut [u8],
}

impl<'w> Linear<'w> {
    pub fn run(&self, x: MatRef<'_>, then: Then<'_>, out: MatMut<'_>, work: &mut Workspace<'_>) -> Result<()> {
        let bias = Some(as_f32(&work.engine, &self.bias, work.vectors[0])?);
        let epilogue = Epilogue { bias, activation: then.activation, residual: then.residual };
        work.engine.matmul(x, &self.weights, &epilogue, out, work.scratch)
    }

    /// Bytes of packed weights, on top of `sum`. Layers that are packed already need none.
    pub fn add_packed_bytes(&self, level: Level, sum: usize) -> Result<usize> {
        match &self.weights {
            Weights::Plain(plain) => Packed::add_bytes(level, plain, sum),
            Weights::Packed(_) => Ok(sum),
        }
    }

    /// Packs the weights into an arena of [`Self::add_packed_bytes`].
    pub fn pack(&mut self, level: Level, arena: &mut Arena<'w>) -> Result<()> {
        if let Weights::Plain(plain) = &self.weights {
            let packed = Packed::within(level, plain, arena)?.ok_or(Error::Overflow { arg: "memory" })?;
            self.weights = Weights::Packed(packed);
        }
        Ok(())
    }
}

/// Layer normalisation with learned scale and shift.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Norm<'w> {
    weight: Matrix<'w>,
    bias: Matrix<'w>,
}

impl Norm<'_> {
    pub fn run(&self, x: MatRef<'_>, eps: f32, out: MatMut<'_>, work: &mut Workspace<'_>) -> Result<()> {
        let [first, second] = &mut work.vectors;
        let engine = &work.engine;
        let (weight, bias) = (as_f32(engine, &self.weight, first)?, as_f32(engine, &self.bias, second)?);
        engine.layer_norm(x, weight, bias, eps, out)
    }
}

/// A vector as f32: in place if it is stored so, else widened into `memory`.
fn as_f32<'a>(engine: &Engine<'_>, vector: &Matrix<'a>, memory: &'a mut [f32]) -> Result<&'a [f32]> {
    if let Matrix::F32(view) = vector {
        return Ok(view.row(0));
    }
    let (got, expected) = (memory.len(), vector.cols());
    let memory = memory.get_mut(..expected).ok_or(Error::Shape { arg: "vectors", expected, got })?;
    engine.put_row(vector, 0, false, memory);
    Ok(memory)
}
