//! The report as a page: every head, the words in the plane, their neighbours.

use std::collections::{HashMap, HashSet};

use selfattn::MatRef;
use selfattn::block::Runner;

use super::attention::Trace;
use super::fixed::new_rows;
use super::learned::Mean;
use super::nearness::{Alone, alone};
use super::neighbours::{Ranking, Rows, Vocabulary, nearest, share_of_pool};
use super::report::Report;
use super::words::{Word, word_vector};
use crate::error::Result;
use crate::model::Model;
use crate::picture::page::Packed;
use crate::picture::page::data::{self, Attention, Map, Nearest, Page, WORDS, Weights};
use crate::picture::pca::plane;
use crate::terminal::clip;

/// Neighbours to list.
const NEIGHBOURS: usize = 6;
/// Characters of a word, and of what stands between two, at most.
const LONG: usize = 80;

/// What was found out about a text.
pub struct Study<'a> {
    pub model: &'a Model,
    pub report: &'a Report,
    pub words: &'a [Word],
    /// The words' rows in the word table.
    pub rows: &'a [f32],
    pub trace: &'a Trace,
}

/// Vectors of the words on the page, one row a word.
struct Vectors {
    table: Vec<f32>,
    /// In their text, after the last layer.
    here: Vec<f32>,
    /// As sentences of their own, after the last layer.
    alone: Vec<f32>,
    /// The words of `--near`.
    near: Vec<Alone>,
}

/// In the text, and in the vocabulary.
type Neighbours = (Nearest<usize>, Nearest<String>);

impl Study<'_> {
    pub fn page(&self, runner: &mut Runner<'_, '_, '_>) -> Result<Page> {
        let vectors = self.vectors(runner)?;
        let vocabulary = Vocabulary::new(self.model);
        let (neighbours, compared) = self.neighbours(runner, &vectors, &vocabulary)?;
        let corner = |rows: &[Vec<f32>]| -> Vec<f32> {
            rows.iter().take(self.shown()).flat_map(|row| &row[..self.shown()]).copied().collect()
        };
        let (gaps, tail) = self.gaps();
        let words = self.words(gaps, neighbours);
        Ok(Page {
            model: self.report.model.clone(),
            tokens: self.report.tokens,
            left_out: self.words.len() - words.len(),
            focus: self.focus(),
            words,
            tail,
            similarity: Packed::new(&corner(&self.report.similarity)),
            free: Packed::shares(&corner(&self.report.parameter_free.weights)),
            attention: self.attention(runner)?,
            maps: self.maps(runner, &vectors)?,
            vocabulary: data::Vocabulary { before: vocabulary.len(), after: compared },
            near: self.report.contextual.near.iter().map(|word| clip(word, LONG)).collect(),
        })
    }

    fn width(&self) -> usize {
        self.model.config.hidden_size
    }

    /// How many words the page shows.
    fn shown(&self) -> usize {
        self.words.len().min(WORDS)
    }

    /// The word of `--from`; or else the one that `--near` shows to have changed most; or else the one that the others look at
    /// most.
    fn focus(&self) -> usize {
        let n = self.shown();
        let asked = self.report.from.as_ref().map(|from| from.index).filter(|&index| index < n);
        let compared = !self.report.contextual.near.is_empty();
        let change = |i: usize| self.report.contextual.words[i].change.iter().map(|x| x.abs()).fold(0.0, f32::max);
        let weights = &self.report.attention.weights;
        let looks = |i: usize| (0..n).filter(|&j| j != i).map(|j| weights[j][i]).sum();
        let largest = |of: &dyn Fn(usize) -> f32| (0..n).max_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(0);
        asked.unwrap_or_else(|| if compared { largest(&change) } else { largest(&looks) })
    }

    fn vectors(&self, runner: &mut Runner<'_, '_, '_>) -> Result<Vectors> {
        let words = &self.words[..self.shown()];
        let mut places = HashMap::new();
        let mut texts = self.report.contextual.near.clone();
        for word in words {
            places.entry(word.text.as_str()).or_insert_with(|| {
                texts.push(word.text.clone());
                texts.len() - 1
            });
        }
        let mut near = alone(self.model, runner, &texts)?;
        let alone = words.iter().flat_map(|word| near[places[word.text.as_str()]].hidden.clone()).collect();
        near.truncate(self.report.contextual.near.len());
        let here = words.iter().flat_map(|word| word_vector(word, &self.trace.hidden, self.width())).collect();
        Ok(Vectors { table: self.rows[..words.len() * self.width()].to_vec(), here, alone, near })
    }

    /// Every head and the mean of every layer.
    fn attention(&self, runner: &Runner<'_, '_, '_>) -> Result<Attention> {
        let (trace, n) = (self.trace, self.words.len());
        let (layers, heads) = (trace.layers(), trace.heads());
        let mut weights = Weights::new(self.shown(), layers * (heads + 1));
        for layer in 0..layers {
            let mut mean = Mean::new(n);
            for head in 0..heads {
                let one = trace.between_words(runner, layer, head, self.words, self.words)?;
                weights.add(&one.weights, n, &one.rest);
                mean.add(&one, heads);
            }
            weights.add(&mean.weights, n, &mean.rest);
        }
        let report = &self.report.attention;
        let entropy = report.per_head.iter().map(|head| head.entropy_bits).collect();
        Ok(weights.finish([layers, heads], (report.layer, report.head), entropy))
    }

    fn maps(&self, runner: &Runner<'_, '_, '_>, vectors: &Vectors) -> Result<Vec<Map>> {
        let free = new_rows(runner, MatRef::new(&vectors.table, self.shown(), self.width())?)?;
        let near = |of: fn(&Alone) -> &Vec<f32>| vectors.near.iter().flat_map(of).copied().collect::<Vec<f32>>();
        Ok(vec![
            Map {
                name: "Learned",
                text: "After the last layer: the word standing alone, with nobody to look at, and the word in this text.",
                states: ["alone", "in this text"],
                ..self.map([&vectors.alone, &vectors.here, &near(|word| &word.hidden)])
            },
            Map {
                name: "Without parameters",
                text: "The word's row in the word table, X, and what it becomes as a mean of all rows, softmax(X Xᵀ) X.",
                states: ["X", "softmax(X Xᵀ) X"],
                ..self.map([&vectors.table, &free, &near(|word| &word.table)])
            },
        ])
    }

    /// Both states and the words of `--near` on the same axes.
    fn map(&self, [before, after, near]: [&Vec<f32>; 3]) -> Map {
        let plane = plane(&[&before[..], after, near].concat(), self.width());
        let n = self.shown();
        let part = |range: std::ops::Range<usize>| plane.points[range].to_vec();
        let (before, after, near) = (part(0..n), part(n..2 * n), part(2 * n..plane.points.len()));
        Map { name: "", text: "", states: ["", ""], before, after, near, shares: plane.shares }
    }

    /// For each word its neighbours in the text and in the vocabulary, and with how many of the latter it was compared.
    fn neighbours(
        &self,
        runner: &mut Runner<'_, '_, '_>,
        vectors: &Vectors,
        vocabulary: &Vocabulary,
    ) -> Result<(Vec<Neighbours>, usize)> {
        let (n, width) = (self.shown(), self.width());
        let in_text = |runner: &Runner<'_, '_, '_>, rows: &[f32]| {
            let read = |i: usize, row: &mut [f32]| {
                row.copy_from_slice(&rows[i * width..(i + 1) * width]);
                Ok(())
            };
            nearest(runner.engine(), rows, width, &Rows { count: n, read: &read }, n)
        };
        let sentence = [in_text(runner, &vectors.table)?, in_text(runner, &vectors.here)?];
        let depth = share_of_pool(n);
        let before = vocabulary.before(runner, &vectors.table, width, depth)?;
        let (after, compared) = vocabulary.after(self.model, runner, &before, &vectors.here, 2 * NEIGHBOURS)?;
        let text = |j: usize| self.words[j].text.as_str();
        let row = |i: usize| {
            let pick = |ranking: &Ranking| -> Ranking {
                let mut seen = HashSet::new();
                first(ranking, |j| j != i && seen.insert(text(j).to_lowercase())).collect()
            };
            let other = |j: usize| vocabulary.word(j).to_lowercase() != text(i).to_lowercase();
            let name = |ranking: &Ranking| {
                first(ranking, other).map(|(j, cosine)| (vocabulary.word(j).to_owned(), cosine)).collect()
            };
            let sentence = Nearest { before: pick(&sentence[0][i]), after: pick(&sentence[1][i]) };
            (sentence, Nearest { before: name(&before[i]), after: name(&after[i]) })
        };
        Ok(((0..n).map(row).collect(), compared))
    }

    /// What stands before each word, and after the last.
    fn gaps(&self) -> (Vec<String>, String) {
        let mut rest = self.report.text.as_str();
        let mut gaps = Vec::new();
        for word in &self.words[..self.shown()] {
            let (gap, after) = rest.split_at(rest.find(&word.text).unwrap_or(0));
            rest = after.strip_prefix(word.text.as_str()).unwrap_or(after);
            gaps.push(short(gap));
        }
        (gaps, short(rest))
    }

    fn words(&self, gaps: Vec<String>, neighbours: Vec<Neighbours>) -> Vec<data::Word> {
        let mut words = Vec::new();
        for (i, (gap, (sentence, vocabulary))) in gaps.into_iter().zip(neighbours).enumerate() {
            let (info, nearness) = (&self.report.words[i], &self.report.contextual.words[i]);
            words.push(data::Word {
                gap,
                text: clip(&info.word, LONG),
                pieces: info.pieces.clone(),
                known: info.known,
                alone: nearness.alone,
                sentence,
                vocabulary,
                near: [nearness.before.clone(), nearness.after.clone()],
            });
        }
        words
    }
}

/// The first few of a ranking that `wanted` lets through.
fn first(ranking: &Ranking, mut wanted: impl FnMut(usize) -> bool) -> impl Iterator<Item = (usize, f32)> {
    ranking.iter().copied().filter(move |&(j, _)| wanted(j)).take(NEIGHBOURS)
}

/// At most so much of it, blank lines kept.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(4 * LONG).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
