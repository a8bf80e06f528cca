//! What the page shows. Its scripts read this as JSON; a square matrix is packed row by row.

use serde::Serialize;

use super::packed::{Packed, integers};

/// Words on a page at most, which bounds its size: the rest of a longer text is left out, and the page says so.
pub const WORDS: usize = 512;
/// Weights on a page at most. If all heads have more, of each word's weights only the largest are kept.
const WEIGHTS: usize = 1_500_000;

#[derive(Debug, Serialize)]
pub struct Page {
    pub model: String,
    pub tokens: usize,
    pub words: Vec<Word>,
    /// What follows the last word.
    pub tail: String,
    /// Words that are not on the page.
    pub left_out: usize,
    /// The word that is chosen at first.
    pub focus: usize,
    /// (a) X X^T
    pub similarity: Packed,
    /// (b) softmax(X X^T)
    pub free: Packed,
    /// (c)
    pub attention: Attention,
    /// (d)
    pub maps: Vec<Map>,
    pub vocabulary: Vocabulary,
    /// Words to compare with.
    pub near: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Word {
    /// What stands before it: blanks, marks.
    pub gap: String,
    pub text: String,
    pub pieces: Vec<String>,
    pub known: bool,
    /// The cosine of the word here and the same word standing alone.
    pub alone: f32,
    pub sentence: Nearest<usize>,
    pub vocabulary: Nearest<String>,
    /// Cosines to the words to compare with.
    pub near: [Vec<f32>; 2],
}

/// Other words and their cosines, nearest first.
#[derive(Debug, Serialize)]
pub struct Nearest<T> {
    pub before: Vec<(T, f32)>,
    pub after: Vec<(T, f32)>,
}

/// With how many words of the vocabulary a word was compared.
#[derive(Debug, Serialize)]
pub struct Vocabulary {
    pub before: usize,
    pub after: usize,
}

/// The words in the plane.
#[derive(Debug, Serialize)]
pub struct Map {
    pub name: &'static str,
    pub text: &'static str,
    /// What the hollow and the filled marks are.
    pub states: [&'static str; 2],
    pub before: Vec<[f32; 2]>,
    pub after: Vec<[f32; 2]>,
    pub near: Vec<[f32; 2]>,
    /// Each axis' share of the variance.
    pub shares: [f64; 2],
}

/// Who looks at whom: for each layer its heads and then their mean, for each of these a row for each word.
#[derive(Debug, Serialize)]
pub struct Attention {
    pub layers: usize,
    pub heads: usize,
    /// What is shown at first; `heads` is the mean.
    pub layer: usize,
    pub head: usize,
    /// In bits, for each layer and head.
    pub entropy: Vec<f32>,
    /// Weights in a row.
    pub kept: usize,
    /// Which words a row's weights are of, if they are not of all.
    pub columns: Option<String>,
    pub weights: Packed,
    /// What each word gives to what is no word.
    pub rest: Packed,
}

/// Takes one matrix of weights after the other.
pub struct Weights {
    words: usize,
    kept: usize,
    columns: Vec<u16>,
    weights: Vec<f32>,
    rest: Vec<f32>,
}

impl Weights {
    /// For so many words, and so many matrices.
    pub fn new(words: usize, matrices: usize) -> Self {
        let rows = words * matrices;
        // A weight that is not at its place costs as much again for its place.
        let fewer = (WEIGHTS / 2 / rows.max(1)).clamp(4, words.max(4));
        let kept = if rows * words <= WEIGHTS { words } else { fewer.min(words) };
        Self { words, kept, columns: Vec::new(), weights: Vec::new(), rest: Vec::new() }
    }

    /// The first words of a matrix with `row` columns.
    pub fn add(&mut self, weights: &[f32], row: usize, rest: &[f32]) {
        for (weights, &rest) in weights.chunks_exact(row.max(1)).zip(rest).take(self.words) {
            let (weights, left_out) = weights.split_at(self.words);
            self.rest.push(rest + left_out.iter().sum::<f32>());
            if self.kept == self.words {
                self.weights.extend(weights);
            } else {
                self.add_largest(weights);
            }
        }
    }

    fn add_largest(&mut self, weights: &[f32]) {
        let mut order: Vec<u16> = (0..=u16::MAX).take(weights.len()).collect();
        order.sort_by(|&a, &b| weights[usize::from(b)].total_cmp(&weights[usize::from(a)]));
        order.truncate(self.kept);
        self.weights.extend(order.iter().map(|&j| weights[usize::from(j)]));
        self.columns.extend(order);
    }

    /// For the model's number of layers and heads; `shown` is the layer and the head to begin with.
    pub fn finish(self, [layers, heads]: [usize; 2], shown: (usize, Option<usize>), entropy: Vec<f32>) -> Attention {
        let whole = self.kept == self.words;
        Attention {
            layers,
            heads,
            layer: shown.0,
            head: shown.1.unwrap_or(heads),
            entropy,
            kept: self.kept,
            columns: (!whole).then(|| integers(&self.columns)),
            weights: Packed::shares(&self.weights),
            rest: Packed::shares(&self.rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attention(words: usize, matrices: usize, row: usize) -> (Attention, Vec<f32>, Vec<f32>) {
        let mut weights = Weights::new(words, matrices);
        let matrix: Vec<f32> = (0..row * row).map(|k| ((k * 7919) % 1009) as f32 / 1009.0 / row as f32).collect();
        let rest = vec![0.25; row];
        for _ in 0..matrices {
            weights.add(&matrix, row, &rest);
        }
        let (kept, rest) = (weights.weights.clone(), weights.rest.clone());
        (weights.finish([1, matrices - 1], (0, None), Vec::new()), kept, rest)
    }

    #[test]
    fn few_weights_are_kept_whole() {
        let (attention, kept, rest) = attention(5, 2, 5);
        assert_eq!((attention.kept, attention.columns, kept.len(), rest), (5, None, 50, vec![0.25; 10]));
    }

    #[test]
    fn of_many_the_largest() {
        let (n, matrices) = (400, 20);
        let (attention, kept, _) = attention(n, matrices, n);
        let k = attention.kept;
        assert!(attention.columns.is_some() && kept.len() == n * matrices * k && 2 * kept.len() <= WEIGHTS, "{k}");
        let mut row: Vec<f32> = (0..n).map(|j| ((j * 7919) % 1009) as f32 / 1009.0 / n as f32).collect();
        row.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(kept[..k], row[..k]);
    }

    #[test]
    fn words_that_are_left_out_count_as_rest() {
        let (attention, kept, rest) = attention(3, 1, 5);
        assert_eq!((attention.kept, kept.len(), rest.len()), (3, 9, 3));
        let out = |i: usize| (3..5).map(|j| (((i * 5 + j) * 7919) % 1009) as f32 / 1009.0 / 5.0).sum::<f32>();
        (0..3).for_each(|i| assert!((rest[i] - 0.25 - out(i)).abs() < 1e-6));
    }
}
