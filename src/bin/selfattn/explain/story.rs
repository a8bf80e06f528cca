//! The steps followed for one word: its numbers in a line, and what became of it.

use super::report::{Report, Sense, SenseShare};
use crate::terminal::left;

/// Terms of a sum that are written out.
const TERMS: usize = 4;

/// The word to follow: the one asked about, or the first that has several senses, or the one that the text changed most.
pub fn focus(report: &Report) -> usize {
    let asked = report.from.as_ref().map(|from| from.index);
    let ambiguous = || report.senses.iter().flatten().next().map(|sense| sense.index);
    let words = &report.contextual.words;
    let changed = || words.iter().min_by(|a, b| a.alone.total_cmp(&b.alone)).map(|word| word.index);
    asked.or_else(ambiguous).or_else(changed).unwrap_or(0)
}

/// Scores, softmax and the new representation of the word `index`, as sums of numbers.
pub fn new_representation(report: &Report, index: usize) -> String {
    let name = |i: usize| report.words[i].word.as_str();
    let (scores, weights) = (&report.similarity[index], &report.parameter_free.weights[index]);
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let shown = &order[..order.len().min(TERMS)];
    let list = |values: &[f32]| shown.iter().map(|&i| format!("{} {:.2}", name(i), values[i])).collect::<Vec<_>>();
    let sum: Vec<String> = shown.iter().map(|&i| format!("{:.2} {}", weights[i], name(i))).collect();
    let more = if order.len() > TERMS { " + ..." } else { "" };
    format!(
        "\n  For {:?}: scores   {}\n  {}  softmax  {}\n  {}  new {} = {}{more}\n",
        name(index),
        list(scores).join(", "),
        " ".repeat(name(index).len() + 6),
        list(weights).join(", "),
        " ".repeat(name(index).len() + 6),
        name(index),
        sum.join(" + "),
    )
}

/// Where the word `index` looks hardest, of all layers and heads; `None` if the report does not have them all.
pub fn hardest_look(report: &Report, index: usize) -> Option<String> {
    let mut best: Option<(f32, usize, usize, usize)> = None;
    for head in &report.attention.per_head {
        let row = head.weights.as_ref()?.get(index)?;
        for (to, &weight) in row.iter().enumerate().filter(|(to, _)| *to != index) {
            if best.is_none_or(|(other, ..)| weight > other) {
                best = Some((weight, to, head.layer, head.head));
            }
        }
    }
    let (weight, to, layer, head) = best?;
    let name = |i: usize| report.words[i].word.as_str();
    Some(format!(
        "\n  {:?} looks hardest at {:?}, {}: layer {layer}, head {head} takes {weight:.2} of its new value from there.\n",
        name(index),
        name(to),
        places(to as i64 - index as i64),
    ))
}

/// The senses read, a paragraph each.
pub fn senses(senses: &[Sense]) -> String {
    if senses.is_empty() {
        return "  No word of this text is one that the model knows several senses of.\n".to_owned();
    }
    senses.iter().map(sense).collect()
}

fn sense(sense: &Sense) -> String {
    let list = |value: fn(&SenseShare) -> f32| {
        let parts = sense.senses.iter().map(|share| format!("{} {:.2}", share.sense, value(share)));
        parts.collect::<Vec<_>>().join(", ")
    };
    let (here, alone) = (list(|share| share.probability), list(|share| share.without_attention));
    let mut out = format!("  {}  {here}\n  {}  without attention: {alone}\n", left(&sense.word, 16), left("", 16));
    if let Some(decided) = &sense.decided_by {
        let from = format!("decided by {:?}, {}", decided.word, places(decided.distance));
        let head = format!("layer {}, head {} looks there with {:.2}", decided.layer, decided.head, decided.weight);
        let without = format!("were it unknown: {} {:.2}", sense.sense, decided.probability_without);
        out += &format!("  {}  {from}\n  {}  ({head}); {without}\n", left("", 16), left("", 16));
    }
    out
}

/// How far away a word is, in words.
fn places(distance: i64) -> String {
    let unit = if distance.abs() == 1 { "word" } else { "words" };
    format!("{} {unit} {}", distance.abs(), if distance < 0 { "back" } else { "ahead" })
}
