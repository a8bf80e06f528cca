//! Which words stand near others: in the text and in the model's vocabulary.

use std::collections::HashSet;

use selfattn::block::Runner;
use selfattn::{Dtype, Engine, MatMut, MatRef, Weights};

use super::nearness::alone;
use crate::error::Result;
use crate::model::Model;

/// Words of the vocabulary that are run through the model, each alone, to compare words in their text with: enough for a
/// good choice, few enough for a second.
const POOL: usize = 2048;
/// Rows compared at once.
const CHUNK: usize = 1024;

/// The places of the nearest rows and their cosines, nearest first.
pub type Ranking = Vec<(usize, f32)>;

/// Rows of numbers that are read when they are wanted.
pub struct Rows<'a> {
    pub count: usize,
    pub read: &'a dyn Fn(usize, &mut [f32]) -> Result<()>,
}

/// For each row of `vectors`, all `width` long: the `k` nearest of `others`.
pub fn nearest(
    engine: &Engine<'_>,
    vectors: &[f32],
    width: usize,
    others: &Rows<'_>,
    k: usize,
) -> Result<Vec<Ranking>> {
    let n = vectors.len() / width;
    let mut vectors = vectors.to_vec();
    engine.normalize(MatMut::new(&mut vectors, n, width)?);
    let vectors = MatRef::new(&vectors, n, width)?;
    let mut best = vec![Ranking::new(); n];
    for start in (0..others.count).step_by(CHUNK) {
        let rows = CHUNK.min(others.count - start);
        let mut chunk = vec![0.0; rows * width];
        for (i, row) in chunk.chunks_exact_mut(width).enumerate() {
            (others.read)(start + i, row)?;
        }
        engine.normalize(MatMut::new(&mut chunk, rows, width)?);
        let chunk = Weights::from(MatRef::new(&chunk, rows, width)?);
        let mut cosines = vec![0.0; n * rows];
        let mut scratch = vec![0; engine.matmul_scratch(n, Dtype::F32, &chunk)?];
        let out = MatMut::new(&mut cosines, n, rows)?;
        engine.matmul(vectors, &chunk, &selfattn::Epilogue::default(), out, &mut scratch)?;
        for (best, cosines) in best.iter_mut().zip(cosines.chunks_exact(rows)) {
            best.extend(cosines.iter().enumerate().map(|(i, &cosine)| (start + i, cosine)));
            // Stable: of equals, the earlier comes first.
            best.sort_by(|a, b| b.1.total_cmp(&a.1));
            best.truncate(k);
        }
    }
    Ok(best)
}

/// The whole words of the vocabulary, and what stands near given words among them.
pub struct Vocabulary {
    ids: Vec<u32>,
    words: Vec<String>,
}

impl Vocabulary {
    pub fn new(model: &Model) -> Self {
        let (ids, words) = model.tokenizer.whole_words().into_iter().unzip();
        Self { ids, words }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn word(&self, at: usize) -> &str {
        &self.words[at]
    }

    /// By the rows of the word table.
    pub fn before(&self, runner: &Runner<'_, '_, '_>, rows: &[f32], width: usize, k: usize) -> Result<Vec<Ranking>> {
        let table = runner.encoder().word_table();
        let read = |i: usize, row: &mut [f32]| Ok(table.read_row(self.ids[i] as usize, row)?);
        nearest(runner.engine(), rows, width, &Rows { count: self.len(), read: &read }, k)
    }

    /// The words nearest to any in `before`, at most [`POOL`] of them, each alone through the model, beside `here`. The
    /// second result is how many they are.
    pub fn after(
        &self,
        model: &Model,
        runner: &mut Runner<'_, '_, '_>,
        before: &[Ranking],
        here: &[f32],
        k: usize,
    ) -> Result<(Vec<Ranking>, usize)> {
        let width = model.config.hidden_size;
        let pool = pool(before);
        let words: Vec<String> = pool.iter().map(|&at| self.words[at].clone()).collect();
        let alone = alone(model, runner, &words)?;
        let read = |i: usize, row: &mut [f32]| {
            row.copy_from_slice(&alone[i].hidden);
            Ok(())
        };
        let mut found = nearest(runner.engine(), here, width, &Rows { count: pool.len(), read: &read }, k)?;
        found.iter_mut().flatten().for_each(|(at, _)| *at = pool[*at]);
        Ok((found, pool.len()))
    }
}

/// How many neighbours each of so many words brings to the pool: more than its share, since words have some in common.
pub fn share_of_pool(words: usize) -> usize {
    (4 * POOL / words.max(1)).clamp(16, POOL)
}

/// The nearest of all, then the second nearest of all, and so on.
fn pool(before: &[Ranking]) -> Vec<usize> {
    let deepest = before.iter().map(Vec::len).max().unwrap_or(0);
    let mut seen = HashSet::new();
    let all = (0..deepest).flat_map(|depth| before.iter().filter_map(move |ranking| ranking.get(depth)));
    all.map(|&(at, _)| at).filter(|&at| seen.insert(at)).take(POOL).collect()
}
