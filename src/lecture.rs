//! The steps by which self-attention is taught, as calls: how similar words are, what each becomes as the mean of the others,
//! and how near two vectors stand. The learned step is the [encoder](crate::block::Encoder).

use crate::element::Dtype;
use crate::engine::Engine;
use crate::error::Result;
use crate::kernel::output::Epilogue;
use crate::ops::attention::Attention;
use crate::ops::rows::dot_f64;
use crate::ops::same;
use crate::ops::weights::Weights;
use crate::view::{MatMut, MatRef};

/// Bytes of scratch for [`similarity`].
///
/// # Errors
/// [`Error::Overflow`](crate::Error::Overflow) if that does not fit in `usize`.
pub fn similarity_scratch(engine: &Engine<'_>, words: MatRef<'_>) -> Result<usize> {
    engine.matmul_scratch(words.rows(), Dtype::F32, &Weights::from(words))
}

/// Dot-product similarity: `out[i][j]` is the dot product of words `i` and `j`. `words` is `n x d`, `out` is `n x n`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) names the argument that does not fit, [`Error::Scratch`](crate::Error::Scratch) too little scratch.
pub fn similarity(engine: &Engine<'_>, words: MatRef<'_>, out: MatMut<'_>, scratch: &mut [u8]) -> Result<()> {
    engine.matmul(words, &Weights::from(words), &Epilogue::default(), out, scratch)
}

/// The parameter-free form of self-attention: one head, no projections, no scale.
fn parameter_free_form(words: MatRef<'_>) -> Attention<'static> {
    Attention::new(1, words.cols()).scale(1.0)
}

/// Bytes of scratch for [`parameter_free`].
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) if the words have no dimensions, [`Error::Overflow`](crate::Error::Overflow) if the size does not fit in `usize`.
pub fn parameter_free_scratch(engine: &Engine<'_>, words: MatRef<'_>) -> Result<usize> {
    engine.attention_scratch(&parameter_free_form(words))
}

/// A new representation of each word without any parameter: the mean of all words, weighted by the softmax of their
/// dot-product similarities, `softmax(X X^T) X`. `words` and `out` are `n x d`.
///
/// # Errors
/// As [`parameter_free_scratch`]; [`Error::Shape`](crate::Error::Shape) names the argument that does not fit, [`Error::Scratch`](crate::Error::Scratch) too little scratch.
pub fn parameter_free(engine: &Engine<'_>, words: MatRef<'_>, out: MatMut<'_>, scratch: &mut [u8]) -> Result<()> {
    engine.attention(&parameter_free_form(words), words, words, words, out, scratch)
}

/// The cosine of the angle between two vectors: 1 for one direction, 0 for right angles. 0 if either is zero.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if their lengths differ.
pub fn cosine(a: &[f32], b: &[f32]) -> Result<f32> {
    same("b", a.len(), b.len())?;
    let norms = libm::sqrt(dot_f64(a, a)) * libm::sqrt(dot_f64(b, b));
    Ok(if norms == 0.0 { 0.0 } else { (dot_f64(a, b) / norms) as f32 })
}
