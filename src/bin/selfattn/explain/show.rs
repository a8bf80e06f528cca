//! The report as text for people.

use std::collections::HashSet;

use comfy_table::{CellAlignment, Table, presets};
use console::Style;

use super::heat::Heat;
use super::learned::links;
use super::report::{Attention, Contextual, From, FromLayer, Link, Look, Nearness, Report, Sense};
use super::story;
use super::words::Word;
use super::{LONG, Shown};
use crate::terminal::{Terminal, left, right, rounded, two};

/// The whole report. `k` is how much to list where not all is shown.
pub fn text(report: &Report, words: &[Word], k: usize, terminal: Terminal) -> String {
    let names = words.iter().map(|word| word.text.clone()).collect();
    let view = View { report, words, names, focus: story::focus(report), k, terminal };
    let mut parts = vec![view.head()];
    parts.extend(report.from.as_ref().map(|from| view.looks_from(from)));
    parts.extend([view.similarity(), view.parameter_free(), view.attention(), view.contextual()]);
    parts.extend(report.senses.as_ref().map(|senses| view.senses(senses)));
    parts.join("\n")
}

struct View<'a> {
    report: &'a Report,
    words: &'a [Word],
    names: Vec<String>,
    /// The word that the steps are told for.
    focus: usize,
    k: usize,
    terminal: Terminal,
}

impl View<'_> {
    fn is_long(&self) -> bool {
        self.words.len() > LONG
    }

    fn head(&self) -> String {
        let Report { model, tokens, words, .. } = self.report;
        let mut out = format!("{} words, {tokens} tokens, {model}\n", words.len());
        let unknown: Vec<&str> = words.iter().filter(|word| !word.known).map(|word| word.word.as_str()).collect();
        if !unknown.is_empty() {
            out += &format!("Not in the model's vocabulary: {}\n", unknown.join(", "));
        }
        let cut: Vec<String> =
            words.iter().filter(|word| word.pieces.len() > 1).map(|word| word.pieces.join(" ")).collect();
        if !cut.is_empty() && !self.is_long() {
            out += &format!("Seen by the model in pieces: {}\n", cut.join(", "));
        }
        out
    }

    fn section(&self, title: &str, text: &str) -> String {
        format!("{}\n{text}\n", self.terminal.title(title))
    }

    fn heat(&self, values: &[Vec<f32>], beside: Option<(&str, &[f32])>) -> String {
        Heat { rows: &self.names, columns: &self.names, values, beside }.draw(self.terminal)
    }

    fn similarity(&self) -> String {
        let text = "Before attention a word is its row in the word table X. The dot product of two rows,\n\
                    X X^T, is their score: large where they point the same way.";
        let matrix = &self.report.similarity;
        let body = if self.is_long() { self.strongest_pairs(matrix) } else { self.heat(matrix, None) };
        self.section("(a) How similar are the words?", text) + &body
    }

    fn parameter_free(&self) -> String {
        let text = "Softmax turns each row of scores into weights that add up to 1. Each word becomes the\n\
                    mean of all words, so weighted: softmax(X X^T) X. Nothing is learned here, so each\n\
                    word mostly finds itself.";
        let step = &self.report.parameter_free;
        let title = "(b) A new representation without parameters";
        if self.is_long() {
            return self.section(title, text) + &self.strongest_pairs(&step.weights);
        }
        let text = format!("{text}\nLast column: the cosine of the word's old vector and its new one.");
        let heat = self.heat(&step.weights, Some(("cosine", &step.cosine)));
        self.section(title, &text) + &heat + &story::new_representation(self.report, self.focus)
    }

    fn attention(&self) -> String {
        let Attention { layers, heads, layer, head, weights, rest, .. } = &self.report.attention;
        let which = match head {
            Some(head) => format!("head {head}"),
            None => format!("the mean of its {heads} heads"),
        };
        let text = format!(
            "Three learned matrices make of each word a query (what it looks for), a key (what it\n\
             offers) and a value (what it hands over). The scores are now of queries with keys, so\n\
             a word can look for others than its like: softmax(Q K^T / sqrt(d)) V.\n\
             Layer {layer} of 0 to {}, {which}: each row shows what the word takes\n\
             from the others. rest: from [CLS], [SEP] and punctuation, where heads look that find\n\
             nothing of theirs.",
            layers - 1
        );
        let body = if self.is_long() {
            link_lines(&links(weights, self.words, self.k, |_, _| true))
        } else {
            self.heat(weights, Some(("rest", rest)))
        };
        let title = "(c) Attention with learned queries, keys and values";
        let hardest = story::hardest_look(self.report, self.focus).unwrap_or_default();
        self.section(title, &text) + &body + &self.heads(Shown { layer: *layer, head: *head }) + &hardest
    }

    /// One line for each head of the layer.
    fn heads(&self, shown: Shown) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["head", "entropy", "strongest link"]);
        for head in self.report.attention.per_head.iter().filter(|head| head.layer == shown.layer) {
            let mark = if shown.head == Some(head.head) { "*" } else { "" };
            let link = head.strongest.as_ref().map_or_else(String::new, link_text);
            table.add_row([format!("{mark}{}", head.head), format!("{:.2} bits", head.entropy_bits), link]);
        }
        for column in table.column_iter_mut().take(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("\n{}\n", table.trim_fmt())
    }

    fn contextual(&self) -> String {
        let Contextual { near, words } = &self.report.contextual;
        let title = "(d) What the words mean here";
        let mut order: Vec<&Nearness> = words.iter().collect();
        if self.is_long() {
            order = self.most_changed(words);
        }
        if near.is_empty() {
            let text = "The cosine of the word in this text and the same word standing alone: the lower,\n\
                        the more the text changed it. --near WORDS compares with words of your choice.";
            let line = |word: &&Nearness| format!("  {}  {}\n", left(&word.word, 16), two(word.alone, 5));
            return self.section(title, text) + &order.iter().map(line).collect::<String>();
        }
        let text = "Cosine to the words above the columns. before: between rows of the word table.\n\
                    after: between the word in this text and the other standing alone.";
        self.section(title, text) + &self.nearness_table(near, &order)
    }

    fn senses(&self, senses: &[Sense]) -> String {
        let text = "What a layer on top reads off each word that has several senses, as probabilities; the\n\
                    same when attention is off and each word sees itself alone; and the word that, made\n\
                    unknown, would change it most.";
        self.section("(e) Which sense each word has", text) + &story::senses(senses)
    }

    /// In a long text: the word of `--from`, then those that changed most, each spelling once.
    fn most_changed<'n>(&self, words: &'n [Nearness]) -> Vec<&'n Nearness> {
        let focus = self.report.from.as_ref().map(|from| from.index);
        let size = |word: &Nearness| {
            if focus == Some(word.index) {
                return f32::INFINITY;
            }
            word.change.iter().map(|x| x.abs()).fold(1.0 - word.alone, f32::max)
        };
        let mut order: Vec<&Nearness> = words.iter().collect();
        order.sort_by(|a, b| size(b).total_cmp(&size(a)));
        let mut seen = HashSet::new();
        order.retain(|word| seen.insert(word.word.to_lowercase()));
        order.truncate(self.k);
        order
    }

    fn nearness_table(&self, near: &[String], words: &[&Nearness]) -> String {
        let width =
            near.iter().map(|word| unicode_width::UnicodeWidthStr::width(word.as_str())).max().unwrap_or(0).max(6);
        let mut out = left("", 28);
        near.iter().for_each(|word| out += &format!("  {}", right(word, width)));
        out.push('\n');
        for word in words {
            out += &format!("  {}  before  {}\n", left(&word.word, 16), numbers(&word.before, width));
            out += &format!("  {}  after   {}\n", left("", 16), numbers(&word.after, width));
            let changes: String = word.change.iter().map(|x| self.change(*x, width)).collect();
            out += &format!("  {}  change  {changes}\n", left("", 16));
        }
        out
    }

    fn change(&self, x: f32, width: usize) -> String {
        let style = if x > 0.0 { Style::new().green() } else { Style::new().red() };
        format!("  {}", self.terminal.paint(&style, &right(&format!("{:+.2}", rounded(x)), width)))
    }

    /// The strongest pairs of words with different spellings, each pair once: in a long text words come again and
    /// again.
    fn strongest_pairs(&self, matrix: &[Vec<f32>]) -> String {
        let mut seen = HashSet::new();
        let lower: Vec<String> = self.names.iter().map(|name| name.to_lowercase()).collect();
        let wanted = |from: usize, to: usize| {
            let (a, b) = (&lower[from], &lower[to]);
            a != b && seen.insert((a.min(b).clone(), a.max(b).clone()))
        };
        link_lines(&links(matrix, self.words, self.k, wanted))
    }

    fn looks_from(&self, from: &From) -> String {
        let From { word, index, nth, occurrences, layers } = from;
        let which = match occurrences {
            1 => String::new(),
            _ => format!(", occurrence {nth} of {occurrences} (--nth chooses another)"),
        };
        let text = format!(
            "Word {index}{which}.\n\
             For each layer: the other words it gives most weight to, in the mean over heads,\n\
             and the head that looks hardest at one word. In brackets: how many words back (-)\n\
             or ahead (+).",
        );
        let body: String = layers.iter().map(|layer| self.looks_in_layer(layer)).collect();
        self.section(&format!("Where {word:?} looks"), &text) + &body
    }

    fn looks_in_layer(&self, layer: &FromLayer) -> String {
        let FromLayer { layer, mean, own, rest, hardest } = layer;
        let looks: Vec<String> = mean.iter().map(look_text).collect();
        let mut out = format!("  layer {layer}  {}\n", looks.join("  "));
        out += &format!("           itself {own:.2}, rest {rest:.2}");
        if let Some(hardest) = hardest {
            out += &format!("; hardest: head {} at {}", hardest.head, look_text(&hardest.look));
        }
        out.push('\n');
        out
    }
}

fn numbers(values: &[f32], width: usize) -> String {
    values.iter().map(|x| format!("  {}", two(*x, width))).collect()
}

fn look_text(look: &Look) -> String {
    let Look { word, distance, weight, .. } = look;
    format!("{word} [{distance:+}] {weight:.2}")
}

fn link_text(link: &Link) -> String {
    let Link { from, from_word, to, to_word, weight } = link;
    format!("{from_word} ({from}) -> {to_word} ({to})  {weight:.2}")
}

fn link_lines(links: &[Link]) -> String {
    links.iter().map(|link| format!("  {}\n", link_text(link))).collect()
}
