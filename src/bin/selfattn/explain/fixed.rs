//! Steps (a) and (b): the word table's vectors, which no sentence has touched.

use selfattn::block::Runner;
use selfattn::lecture::{cosine, parameter_free, parameter_free_scratch, similarity, similarity_scratch};
use selfattn::{MatMut, MatRef};

use super::report::{ParameterFree, Square};
use super::words::{Word, mean};
use crate::error::Result;
/// The words' vectors before any attention: one row a word, the mean of its pieces' rows in the word table.
pub fn table_rows(runner: &Runner<'_, '_, '_>, words: &[Word]) -> Result<Vec<f32>> {
    let mut rows = Vec::new();
    for word in words {
        rows.extend(table_row(runner, &word.ids)?);
    }
    Ok(rows)
}

/// The mean of the given rows of the word table.
pub fn table_row(runner: &Runner<'_, '_, '_>, ids: &[u32]) -> Result<Vec<f32>> {
    let table = runner.encoder().word_table();
    let mut rows = vec![0.0; ids.len() * table.cols()];
    for (&id, row) in ids.iter().zip(rows.chunks_exact_mut(table.cols())) {
        table.read_row(id as usize, row)?;
    }
    Ok(mean(rows.chunks_exact(table.cols()), table.cols()))
}

/// Step (a): the dot product of every word with every other.
pub fn similarities(runner: &Runner<'_, '_, '_>, rows: MatRef<'_>) -> Result<Vec<f32>> {
    let n = rows.rows();
    let mut out = vec![0.0; n * n];
    let mut scratch = vec![0; similarity_scratch(runner.engine(), rows)?];
    similarity(runner.engine(), rows, MatMut::new(&mut out, n, n)?, &mut scratch)?;
    Ok(out)
}

/// Step (b): what each word becomes as the mean of all, weighted by the softmax of the similarities.
pub fn new_representation(
    runner: &Runner<'_, '_, '_>,
    rows: MatRef<'_>,
    similarities: &[f32],
) -> Result<ParameterFree> {
    let (n, d) = (rows.rows(), rows.cols());
    let mut weights = similarities.to_vec();
    runner.engine().softmax(MatMut::new(&mut weights, n, n)?);
    let new = new_rows(runner, rows)?;
    let pairs = rows.iter_rows().zip(new.chunks_exact(d));
    let cosine = pairs.map(|(old, new)| cosine(old, new)).collect::<selfattn::Result<_>>()?;
    Ok(ParameterFree { weights: square(&weights, n), cosine })
}

/// softmax(X X^T) X
pub fn new_rows(runner: &Runner<'_, '_, '_>, rows: MatRef<'_>) -> Result<Vec<f32>> {
    let (n, d) = (rows.rows(), rows.cols());
    let mut new = vec![0.0; n * d];
    let mut scratch = vec![0; parameter_free_scratch(runner.engine(), rows)?];
    parameter_free(runner.engine(), rows, MatMut::new(&mut new, n, d)?, &mut scratch)?;
    Ok(new)
}

/// The rows of an `n x n` matrix.
pub fn square(values: &[f32], n: usize) -> Square {
    values.chunks_exact(n.max(1)).map(<[f32]>::to_vec).collect()
}
