//! Step (c): who looks at whom, by layer and head, between words.

use std::ops::Range;

use selfattn::block::{Batch, Runner};
use selfattn::{Attention, AttentionWeights, Inspection, MatRef};

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

    /// One head's attention from some words to some: over a word's pieces the weights are summed where it is looked at, and
    /// averaged where it looks.
    pub fn between_words(
        &self,
        runner: &Runner<'_, '_, '_>,
        layer: usize,
        head: usize,
        from: &[Word],
        to: &[Word],
    ) -> Result<WordAttention> {
        let n = to.len();
        let mut out = WordAttention { weights: vec![0.0; from.len() * n], rest: Vec::new(), entropy: 0.0 };
        let (looking, seen) = (self.words_of_tokens(from), self.words_of_tokens(to));
        let is_word = Option::is_some;
        let queries =
            looking.iter().position(is_word).unwrap_or(0)..looking.iter().rposition(is_word).map_or(0, |i| i + 1);
        self.weights(runner, [layer, head], queries, &mut |piece| {
            let Some(i) = looking[piece.query] else { return };
            out.entropy += entropy(piece.weights);
            for (key, weight) in piece.keys.zip(piece.weights) {
                if let Some(j) = seen[key] {
                    out.weights[i * n + j] += weight / from[i].tokens.len() as f32;
                }
            }
        })?;
        out.rest = out.weights.chunks(n.max(1)).map(|row| (1.0 - row.iter().sum::<f32>()).max(0.0)).collect();
        out.entropy /= looking.iter().flatten().count().max(1) as f32;
        Ok(out)
    }

    /// The word of each token, if it has one among these.
    fn words_of_tokens(&self, words: &[Word]) -> Vec<Option<usize>> {
        let mut of = vec![None; self.tokens];
        for (i, word) in words.iter().enumerate() {
            word.tokens.iter().for_each(|&token| of[token] = Some(i));
        }
        of
    }

    /// The weights that some tokens give in one head of one layer.
    fn weights(
        &self,
        runner: &Runner<'_, '_, '_>,
        [layer, head]: [usize; 2],
        queries: Range<usize>,
        each: &mut dyn FnMut(AttentionWeights<'_>),
    ) -> Result<()> {
        let [q, k] = &self.layers[layer];
        let matrix = |data| MatRef::new(data, self.tokens, self.width);
        let attention = Attention::new(self.heads, self.width / self.heads);
        let inspection = Inspection::new(&attention, matrix(q)?, matrix(k)?).queries(queries).heads(head..head + 1);
        let mut scratch = vec![0; runner.engine().inspection_scratch(&attention)?];
        Ok(runner.engine().attention_weights(&inspection, &mut scratch, each)?)
    }
}

fn entropy(weights: &[f32]) -> f32 {
    -weights.iter().filter(|&&p| p > 0.0).map(|&p| p * p.log2()).sum::<f32>()
}
