//! Step (c) as a report: the chosen layer and head, a line for every head, and where one word looks.

use selfattn::block::Runner;

use super::attention::{Trace, WordAttention};
use super::fixed::square;
use super::report::{Attention, From, FromLayer, Head, HeadLook, Link, Look};
use super::words::Word;
use super::{LONG, Shown};
use crate::error::Result;
/// The word that `--from` asks about.
#[derive(Clone, Copy, Debug)]
pub struct Focus {
    pub index: usize,
    /// From 1.
    pub nth: usize,
    pub occurrences: usize,
}

/// A mean over heads, in the making.
pub struct Mean {
    pub weights: Vec<f32>,
    pub rest: Vec<f32>,
}

impl Mean {
    pub fn new(words: usize) -> Self {
        Self { weights: vec![0.0; words * words], rest: vec![0.0; words] }
    }

    pub fn add(&mut self, head: &WordAttention, heads: usize) {
        let scale = 1.0 / heads as f32;
        self.weights.iter_mut().zip(&head.weights).for_each(|(sum, x)| *sum += x * scale);
        self.rest.iter_mut().zip(&head.rest).for_each(|(sum, x)| *sum += x * scale);
    }
}

/// Goes through all layers and heads once. `k` is how many words to list for the focus.
pub fn attention(
    runner: &Runner<'_, '_, '_>,
    trace: &Trace,
    words: &[Word],
    shown: Shown,
    focus: Option<Focus>,
    k: usize,
) -> Result<(Attention, Option<From>)> {
    let n = words.len();
    let mut report = Attention {
        layers: trace.layers(),
        heads: trace.heads(),
        layer: shown.layer,
        head: shown.head,
        weights: Vec::new(),
        rest: Vec::new(),
        per_head: Vec::new(),
    };
    let mut looks = Vec::new();
    for layer in 0..trace.layers() {
        let mut mean = Mean::new(n);
        let mut hardest: Option<HeadLook> = None;
        for head in 0..trace.heads() {
            let weights = trace.between_words(runner, layer, head, words, words)?;
            mean.add(&weights, trace.heads());
            if shown == (Shown { layer, head: Some(head) }) {
                (report.weights, report.rest) = (square(&weights.weights, n), weights.rest.clone());
            }
            if let Some(focus) = focus {
                harder(&mut hardest, head, strongest_looks(&weights.weights, words, focus.index, 1));
            }
            report.per_head.push(head_report(layer, head, weights, words));
        }
        if shown == (Shown { layer, head: None }) {
            (report.weights, report.rest) = (square(&mean.weights, n), mean.rest.clone());
        }
        if let Some(Focus { index, .. }) = focus {
            let (own, rest) = (mean.weights[index * n + index], mean.rest[index]);
            looks.push(FromLayer { layer, mean: strongest_looks(&mean.weights, words, index, k), own, rest, hardest });
        }
    }
    let from = focus.map(|Focus { index, nth, occurrences }| {
        let word = words[index].text.clone();
        From { word, index, nth, occurrences, layers: looks }
    });
    Ok((report, from))
}

fn head_report(layer: usize, head: usize, attention: WordAttention, words: &[Word]) -> Head {
    let n = words.len();
    let strongest = links(&square(&attention.weights, n), words, 1, |_, _| true).pop();
    let all = (n <= LONG).then(|| (square(&attention.weights, n), attention.rest));
    let (weights, rest) = all.unzip();
    Head { layer, head, entropy_bits: attention.entropy, strongest, weights, rest }
}

/// Replaces the hardest look so far by a harder one.
fn harder(hardest: &mut Option<HeadLook>, head: usize, looks: Vec<Look>) {
    for look in looks {
        if hardest.as_ref().is_none_or(|other| look.weight > other.look.weight) {
            *hardest = Some(HeadLook { head, look });
        }
    }
}

/// The `k` other words that word `index` gives most weight to, heaviest first.
fn strongest_looks(weights: &[f32], words: &[Word], index: usize, k: usize) -> Vec<Look> {
    let n = words.len();
    let row = &weights[index * n..(index + 1) * n];
    let mut order: Vec<usize> = (0..n).filter(|&to| to != index).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order.truncate(k);
    let look = |to: usize| Look {
        word: words[to].text.clone(),
        index: to,
        distance: to as i64 - index as i64,
        weight: row[to],
    };
    order.into_iter().map(look).collect()
}

/// The `k` strongest links between different words that `wanted` lets through, strongest first.
pub fn links(matrix: &[Vec<f32>], words: &[Word], k: usize, mut wanted: impl FnMut(usize, usize) -> bool) -> Vec<Link> {
    let mut pairs: Vec<(usize, usize, f32)> = Vec::new();
    for (from, row) in matrix.iter().enumerate() {
        pairs.extend(row.iter().enumerate().filter(|(to, _)| *to != from).map(|(to, &weight)| (from, to, weight)));
    }
    pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
    let text = |i: usize| words[i].text.clone();
    let link = |(from, to, weight)| Link { from, from_word: text(from), to, to_word: text(to), weight };
    pairs.into_iter().filter(|&(from, to, _)| wanted(from, to)).take(k).map(link).collect()
}
