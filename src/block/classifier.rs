//! The head of a model that labels tokens.

use crate::block::linear::{Linear, Then, Workspace};
use crate::element::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ops::same;
use crate::scratch;
use crate::view::{MatMut, MatRef, Matrix};
use crate::weights::SafeTensors;

const WEIGHT: &str = "classifier.weight";
const BIAS: &str = "classifier.bias";

/// A label for every token, as models for token classification have it (`BertForTokenClassification`): one linear layer on
/// the last hidden state. It borrows its weights (`'w`).
///
/// A file does not say whether its classifier is meant for tokens or for whole texts; `architectures` in `config.json`
/// does, and `id2label` there names the labels.
#[derive(Clone, Copy, Debug)]
pub struct TokenClassifier<'w> {
    linear: Linear<'w>,
}

impl<'w> TokenClassifier<'w> {
    /// Finds `classifier.weight`, `labels x hidden_size`, and `classifier.bias`. `None` if the file has neither.
    ///
    /// # Errors
    /// With the tensor's name: [`Error::Shape`] for another shape, [`Error::Value`] for one without the other or numbers
    /// that the engine does not compute with; [`Error::Misaligned`] and [`Error::BigEndian`] as
    /// [`SafeTensors::matrix`].
    pub fn bind(file: &SafeTensors<'w>, hidden_size: usize) -> Result<Option<Self>> {
        let (weight, bias) = match (file.find(WEIGHT), file.find(BIAS)) {
            (None, None) => return Ok(None),
            (Some(weight), Some(bias)) => (weight, bias),
            (None, _) => return Err(Error::Value { arg: WEIGHT }),
            (_, None) => return Err(Error::Value { arg: BIAS }),
        };
        let [labels, inputs] = weight.shape().as_matrix().unwrap_or_default();
        same(WEIGHT, hidden_size, inputs)?;
        let [rows, got] = bias.shape().as_matrix().unwrap_or_default();
        same(BIAS, labels, if rows == 1 { got } else { 0 })?;
        let weights: Matrix<'w> = weight.matrix(labels, inputs)?.ok_or(Error::Value { arg: WEIGHT })?;
        let bias = bias.matrix(1, labels)?.ok_or(Error::Value { arg: BIAS })?;
        Ok(Some(Self { linear: Linear { weights: weights.into(), bias } }))
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.linear.weights.n()
    }

    /// Bytes of scratch for [`Self::logits`] of `tokens` tokens.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the size does not fit in `usize`.
    pub fn scratch_bytes(&self, engine: &Engine<'_>, tokens: usize) -> Result<usize> {
        let product = engine.matmul_scratch(tokens, Dtype::F32, &self.linear.weights)?;
        scratch::checked_bytes_and([self.labels()], product).ok_or(Error::Overflow { arg: "tokens" })
    }

    /// The scores of all labels for every token; their softmax is the probabilities. `hidden` is `tokens x hidden_size`, the
    /// last hidden state, `out` is `tokens x labels`.
    ///
    /// # Errors
    /// [`Error::Shape`] names the argument that does not fit, [`Error::Scratch`] too little scratch.
    pub fn logits(&self, engine: &Engine<'_>, hidden: MatRef<'_>, out: MatMut<'_>, scratch: &mut [u8]) -> Result<()> {
        same("hidden", self.linear.weights.k(), hidden.cols())?;
        same("out", hidden.rows(), out.rows())?;
        same("out", self.labels(), out.cols())?;
        let product = engine.matmul_scratch(hidden.rows(), Dtype::F32, &self.linear.weights)?;
        let ([bias], scratch) = scratch::split_and(scratch, [self.labels()], product)?;
        let mut work = Workspace { engine: *engine, vectors: [bias, &mut []], scratch };
        self.linear.run(hidden, Then::default(), out, &mut work)
    }
}
