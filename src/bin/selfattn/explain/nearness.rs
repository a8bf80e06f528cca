//! Step (d): what a word means in its sentence, by how near it stands to chosen words.

use std::collections::HashMap;

use selfattn::block::{Batch, Runner};
use selfattn::lecture::cosine;

use super::fixed::table_row;
use super::report::{Contextual, Nearness};
use super::words::{Word, mean, word_vector};
use crate::error::{Failure, Result};
use crate::model::Model;
use crate::tokens::Tokens;
/// A word before any sentence, and as a sentence of its own.
pub struct Alone {
    pub table: Vec<f32>,
    pub hidden: Vec<f32>,
}

/// Compares every word, before (`rows`, from the word table) and after (`hidden`, one row a token), with the words
/// `near`.
pub fn contextual(
    model: &Model,
    runner: &mut Runner<'_, '_, '_>,
    words: &[Word],
    rows: &[f32],
    hidden: &[f32],
    near: &[String],
) -> Result<Contextual> {
    let width = model.config.hidden_size;
    let near: Vec<String> = near.iter().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect();
    let mut texts = near.clone();
    let mut place = HashMap::new();
    for word in words {
        place.entry(word.text.as_str()).or_insert_with(|| {
            texts.push(word.text.clone());
            texts.len() - 1
        });
    }
    let alone = alone(model, runner, &texts)?;
    let mut report = Contextual { near, words: Vec::new() };
    let to_near = |vector: &[f32], of: fn(&Alone) -> &[f32]| {
        let cosines = alone[..report.near.len()].iter().map(|other| cosine(vector, of(other)));
        cosines.collect::<selfattn::Result<Vec<f32>>>()
    };
    for (index, (word, row)) in words.iter().zip(rows.chunks_exact(width)).enumerate() {
        let here = word_vector(word, hidden, width);
        let before = to_near(row, |other| &other.table)?;
        let after = to_near(&here, |other| &other.hidden)?;
        let change = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let alone = cosine(&here, &alone[place[word.text.as_str()]].hidden)?;
        report.words.push(Nearness { word: word.text.clone(), index, alone, before, after, change });
    }
    Ok(report)
}

/// Each word as its own sentence, all in one batch.
pub fn alone(model: &Model, runner: &mut Runner<'_, '_, '_>, words: &[String]) -> Result<Vec<Alone>> {
    let width = model.config.hidden_size;
    let encode = |word: &String| model.tokenizer.encode(word, &format!("the word {word:?}"));
    let tokens: Vec<Tokens> = words.iter().map(encode).collect::<Result<_>>()?;
    let ids: Vec<u32> = tokens.iter().flat_map(Tokens::ids).copied().collect();
    let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.ids().len()).collect();
    let hidden = runner.forward(&Batch::new(&ids, &lengths)?)?;
    let mut rest = hidden.as_slice();
    let mut out = Vec::with_capacity(words.len());
    for (word, tokens) in words.iter().zip(&tokens) {
        let (rows, others) = rest.split_at(tokens.ids().len() * width);
        rest = others;
        let special = tokens.encoding.get_special_tokens_mask();
        let pieces: Vec<usize> = (0..special.len()).filter(|&at| special[at] == 0).collect();
        if pieces.is_empty() {
            return Err(Failure::usage(format!("--near: {word:?} is no word")));
        }
        let ids: Vec<u32> = pieces.iter().map(|&at| tokens.ids()[at]).collect();
        let hidden = mean(pieces.iter().map(|&at| &rows[at * width..(at + 1) * width]), width);
        out.push(Alone { table: table_row(runner, &ids)?, hidden });
    }
    Ok(out)
}
