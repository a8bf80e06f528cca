//! Step (c): who looks at whom, by layer and head, between words.

use selfattn::block::{Batch, Runner};
use selfattn::{Attention, MatRef};

use super::words::Word;
use crate::error::Result;
/// Queries and keys of every layer, and the last hidden state, of one text.
pub struct Trace {
    layers: Vec<[Vec<f32>; 2]>,
    tokens: usize,
    width: usize,
    heads: usize,
    pub hidden: Vec<f32>,
}

/// The attention of one head between the words of a text.
pub struct WordAttention {
    /// `words x words`
    pub weights: Vec<f32>,
    /// What each word gives to tokens that belong to no word.
    pub rest: Vec<f32>,
    /// Mean over the words' tokens, in bits.
    pub entropy: f32,
}

impl Trace {
    /// Runs the text, and keeps what attention saw.
    pub fn record(runner: &mut Runner<'_, '_, '_>, ids: &[u32]) -> Result<Self> {
        let config = runner.encoder().config();
        let (width, heads) = (config.hidden_size, config.heads);
        let mut layers = vec![[Vec::new(), Vec::new()]; config.layers];
        let flat = |matrix: MatRef<'_>| matrix.iter_rows().flatten().copied().collect::<Vec<f32>>();
        let hidden = runner.forward_with(&Batch::new(ids, &[ids.len()])?, &mut |probe| {
            if let Some(layer) = layers.get_mut(probe.layer) {
                *layer = [flat(probe.q), flat(probe.k)];
            }
        })?;
        Ok(Self { layers, tokens: ids.len(), width, heads, hidden })
    }

    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    pub fn heads(&self) -> usize {
        self.heads
    }

    /// One head's attention between words: over a word's pieces the weights are summed where it is looked at, and
    /// averaged where it looks.
    pub fn between_words(
        &self,
        runner: &Runner<'_, '_, '_>,
        layer: usize,
        head: usize,
        words: &[Word],
    ) -> Result<WordAttention> {
        let n = words.len();
        let mut out = WordAttention { weights: Vec::with_capacity(n * n), rest: Vec::with_capacity(n), entropy: 0.0 };
        let mut looking = 0;
        let mut row = vec![0.0; self.tokens];
        for word in words {
            let mut mean = vec![0.0; self.tokens];
            for &token in &word.tokens {
                self.token_row(runner, layer, head, token, &mut row)?;
                out.entropy += entropy(&row);
                mean.iter_mut().zip(&row).for_each(|(mean, x)| *mean += x / word.tokens.len() as f32);
            }
            looking += word.tokens.len();
            let start = out.weights.len();
            out.weights.extend(words.iter().map(|word| word.tokens.iter().map(|&at| mean[at]).sum::<f32>()));
            out.rest.push((1.0 - out.weights[start..].iter().sum::<f32>()).max(0.0));
        }
        out.entropy /= looking.max(1) as f32;
        Ok(out)
    }

    /// What one head gives from a word to each word.
    pub fn word_row(
        &self,
        runner: &Runner<'_, '_, '_>,
        layer: usize,
        head: usize,
        from: &Word,
        words: &[Word],
    ) -> Result<Vec<f32>> {
        let mut mean = vec![0.0; self.tokens];
        let mut row = vec![0.0; self.tokens];
        for &token in &from.tokens {
            self.token_row(runner, layer, head, token, &mut row)?;
            mean.iter_mut().zip(&row).for_each(|(mean, x)| *mean += x / from.tokens.len() as f32);
        }
        Ok(words.iter().map(|word| word.tokens.iter().map(|&at| mean[at]).sum()).collect())
    }

    /// The weights that one token gives to all.
    fn token_row(
        &self,
        runner: &Runner<'_, '_, '_>,
        layer: usize,
        head: usize,
        token: usize,
        out: &mut [f32],
    ) -> Result<()> {
        let [queries, keys] = &self.layers[layer];
        let dim = self.width / self.heads;
        let columns = head * dim..(head + 1) * dim;
        let query = MatRef::new(queries, self.tokens, self.width)?.cols_range(columns.clone())?.row(token);
        let keys = MatRef::new(keys, self.tokens, self.width)?.cols_range(columns)?;
        Ok(runner.engine().attention_weights(&Attention::new(self.heads, dim), query, keys, out)?)
    }
}

fn entropy(weights: &[f32]) -> f32 {
    -weights.iter().filter(|&&p| p > 0.0).map(|&p| p * p.log2()).sum::<f32>()
}
