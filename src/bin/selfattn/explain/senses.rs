//! Step (e): the sense of each word that has several, what decided it, and what is left of it without attention.

use selfattn::MatMut;
use selfattn::MatRef;
use selfattn::block::{Batch, Runner, TokenClassifier};

use super::attention::Trace;
use super::report::{Decided, Sense, SenseShare};
use super::words::Word;
use crate::error::Result;
use crate::labels::Labels;
use crate::model::Model;

/// Words that are hidden one by one, to see which decides: those that the word looks at hardest.
const CANDIDATES: usize = 8;

/// What labels the tokens.
struct Reader<'m> {
    classifier: TokenClassifier<'m>,
    labels: &'m Labels,
}

/// Where a word looks at another hardest.
#[derive(Clone, Copy)]
struct Hardest {
    word: usize,
    layer: usize,
    head: usize,
    weight: f32,
}

/// The senses of the words that the model has labels for; `None` if it labels nothing.
pub fn senses(
    model: &Model,
    runner: &mut Runner<'_, '_, '_>,
    words: &[Word],
    ids: &[u32],
    trace: &Trace,
) -> Result<Option<Vec<Sense>>> {
    let Some((classifier, labels)) = model.classifier()? else { return Ok(None) };
    let reader = Reader { classifier, labels };
    let here = reader.probabilities(runner, &trace.hidden)?;
    // A text of its own for every token: it sees itself alone, and attention has nothing to do.
    let alone = runner.forward(&Batch::new(ids, &vec![1; ids.len()])?)?;
    let alone = reader.probabilities(runner, &alone)?;
    let mut out = Vec::new();
    for (index, word) in words.iter().enumerate() {
        // A word's label is that of its first token, as usual.
        let token = word.tokens[0];
        let label = highest(reader.row(&here, token));
        if labels.is_none(label) {
            continue;
        }
        let (now, without) = (reader.row(&here, token), reader.row(&alone, token));
        let share = |other: usize| SenseShare {
            sense: labels.sense(other).to_owned(),
            probability: now[other],
            without_attention: without[other],
        };
        let mut senses: Vec<SenseShare> = labels.rivals(label).into_iter().map(share).collect();
        senses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let decided_by = match model.tokenizer.unknown() {
            Some(unknown) => reader.decided_by(runner, words, ids, trace, (index, label, now[label]), unknown)?,
            None => None,
        };
        out.push(Sense {
            word: word.text.clone(),
            index,
            label: labels.name(label).to_owned(),
            sense: labels.sense(label).to_owned(),
            probability: now[label],
            senses,
            decided_by,
        });
    }
    Ok(Some(out))
}

impl Reader<'_> {
    /// The probability of every label for every token, `tokens x labels`.
    fn probabilities(&self, runner: &Runner<'_, '_, '_>, hidden: &[f32]) -> Result<Vec<f32>> {
        let engine = runner.engine();
        let width = runner.encoder().config().hidden_size;
        let (tokens, labels) = (hidden.len() / width, self.labels.len());
        let mut out = vec![0.0; tokens * labels];
        let mut scratch = vec![0; self.classifier.scratch_bytes(engine, tokens)?];
        let hidden = MatRef::new(hidden, tokens, width)?;
        self.classifier.logits(engine, hidden, MatMut::new(&mut out, tokens, labels)?, &mut scratch)?;
        engine.softmax(MatMut::new(&mut out, tokens, labels)?);
        Ok(out)
    }

    fn row<'p>(&self, probabilities: &'p [f32], token: usize) -> &'p [f32] {
        &probabilities[token * self.labels.len()..][..self.labels.len()]
    }

    /// Of the words that word `index` looks at hardest, the one without which its label is least likely: the word is
    /// replaced by the unknown token, and the text read again. `None` if the label does not suffer.
    fn decided_by(
        &self,
        runner: &mut Runner<'_, '_, '_>,
        words: &[Word],
        ids: &[u32],
        trace: &Trace,
        (index, label, probability): (usize, usize, f32),
        unknown: u32,
    ) -> Result<Option<Decided>> {
        let candidates = hardest_looks(runner, words, trace, index)?;
        let mut texts = Vec::with_capacity(candidates.len() * ids.len());
        for look in &candidates {
            let hidden = &words[look.word].tokens;
            texts.extend(ids.iter().enumerate().map(|(at, &id)| if hidden.contains(&at) { unknown } else { id }));
        }
        let hidden = runner.forward(&Batch::new(&texts, &vec![ids.len(); candidates.len()])?)?;
        let read = self.probabilities(runner, &hidden)?;
        let token = words[index].tokens[0];
        let without = |text: usize| self.row(&read, text * ids.len() + token)[label];
        let all = candidates.iter().enumerate().map(|(text, look)| (look, without(text)));
        let decisive = all.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, without)| *without < probability);
        Ok(decisive.map(|(look, without)| Decided {
            word: words[look.word].text.clone(),
            index: look.word,
            distance: look.word as i64 - index as i64,
            probability_without: without,
            layer: look.layer,
            head: look.head,
            weight: look.weight,
        }))
    }
}

/// The other words that word `index` looks at hardest, and where.
fn hardest_looks(runner: &Runner<'_, '_, '_>, words: &[Word], trace: &Trace, index: usize) -> Result<Vec<Hardest>> {
    let nowhere = |word| Hardest { word, layer: 0, head: 0, weight: 0.0 };
    let mut looks: Vec<Hardest> = (0..words.len()).map(nowhere).collect();
    for layer in 0..trace.layers() {
        for head in 0..trace.heads() {
            let row = trace.between_words(runner, layer, head, &words[index..=index], words)?;
            for (look, &weight) in looks.iter_mut().zip(&row.weights) {
                if weight > look.weight {
                    *look = Hardest { layer, head, weight, ..*look };
                }
            }
        }
    }
    looks.retain(|look| look.word != index);
    looks.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    looks.truncate(CANDIDATES);
    Ok(looks)
}

fn highest(row: &[f32]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
}
