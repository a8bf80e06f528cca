//! The page: one file that loads nothing. Its text and style are written here, its drawings by its scripts from the data.

pub mod data;
mod packed;

use std::fmt::Write;

use maud::{DOCTYPE, Markup, PreEscaped, html};
pub use packed::Packed;

use super::colour::{self, Rgb};
use crate::error::{Failure, Result};
use data::Page;

const STYLE: &str = include_str!("page.css");
/// One script after the other, in one scope.
const SCRIPTS: [&str; 7] = [
    include_str!("base.js"),
    include_str!("weights.js"),
    include_str!("matrix.js"),
    include_str!("sentence.js"),
    include_str!("heads.js"),
    include_str!("words.js"),
    include_str!("main.js"),
];
/// Nothing may be loaded, from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The page as HTML.
pub fn html(page: &Page) -> Result<String> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| Failure::failed(format!("the page's data cannot be written: {error}")))
    };
    // Nothing in it can end the script element.
    let data = json(serde_json::to_string(page))?.replace('<', "\\u003c");
    let title = title(page);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "selfattn " (env!("CARGO_PKG_VERSION")) };
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(page))
                noscript { p.note { "This page draws with JavaScript, which is switched off here. It loads nothing from anywhere." } }
                main { (sentence(page)) (matrices()) (words(page)) }
                footer { (footer(page)) }
                div #tip role="status" aria-live="polite" hidden {}
                script #data type="application/json" { (PreEscaped(data)) }
                script #ramps type="application/json" { (PreEscaped(ramps())) }
                script { (PreEscaped("\"use strict\";\n")) (PreEscaped(SCRIPTS.concat())) }
            }
        }
    };
    Ok(markup.into_string())
}

fn title(page: &Page) -> String {
    let mut title = String::new();
    for word in page.words.iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(title, "{}{}", word.gap, word.text);
    }
    let more = if page.words.len() > 8 { "…" } else { "" };
    format!("{}{more} · self-attention", title.trim())
}

fn header(page: &Page) -> Markup {
    let (words, tokens) = (page.words.len() + page.left_out, page.tokens);
    let [layers, heads] = [page.attention.layers, page.attention.heads];
    html! {
        header {
            div {
                h1 { "What attention does to words" }
                p.meta { (words) " words · " (tokens) " tokens · " (page.model) ", " (layers) " layers of " (heads) " heads" }
            }
            div #theme role="radiogroup" aria-label="Colours" {
                @for (value, name) in [("", "Auto"), ("light", "Light"), ("dark", "Dark")] {
                    label { input type="radio" name="theme" value=(value) checked[value.is_empty()]; span { (name) } }
                }
            }
        }
        @if page.left_out > 0 {
            p.note { "The text has " (words) " words. This page shows the first " (page.words.len()) "; what a word gives to the others is in its rest." }
        }
        @if let Some(unknown) = unknown(page) {
            p.note { "Not in the model's vocabulary: " bdi { (unknown) } "." }
        }
    }
}

fn unknown(page: &Page) -> Option<String> {
    let unknown: Vec<&str> = page.words.iter().filter(|word| !word.known).map(|word| word.text.as_str()).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}

fn sentence(page: &Page) -> Markup {
    html! {
        section.wide {
            div.hero {
                div {
                    h2 { "Where does a word look?" }
                    p.hint { "Point at a word, or tap it. With the keyboard: arrow keys." }
                    p #looks aria-live="polite" {}
                    div #words role="toolbar" aria-label="The words of the text" {}
                }
                div.beside {
                    h2 #chosen {}
                    p.hint { "Every head at a glance: its rows look, its columns are looked at. Choose one." }
                    div #heads role="radiogroup" aria-label="Layer and head" {}
                    @if page.attention.columns.is_some() {
                        p.note { "A long text: of each word's weights in a head, the " (page.attention.kept) " largest are on this page." }
                    }
                }
            }
        }
    }
}

fn matrices() -> Markup {
    html! {
        section {
            h2 { "How similar are the words?" }
            div #kinds.choice role="radiogroup" aria-label="What to show" {
                label { input type="radio" name="kind" value="similarity" checked; span { "Dot products" } }
                label { input type="radio" name="kind" value="free"; span { "Their softmax" } }
            }
            p #kind.hint {}
            div #similarity.matrix {}
        }
        section {
            h2 { "Who looks at whom?" }
            p #head.hint {}
            div #attention.matrix {}
        }
    }
}

fn words(page: &Page) -> Markup {
    let (before, after) = (page.vocabulary.before, page.vocabulary.after);
    html! {
        section {
            h2 { "Before and after, in the plane" }
            div #maps.choice role="radiogroup" aria-label="Which vectors" {}
            p #maptext.hint {}
            div #plane {}
        }
        section {
            h2 { "What stands near " bdi #near-word {} "?" }
            p.hint { "Cosine of the vectors: 1 is the same direction, 0 is unrelated." }
            div #near {}
            p.hint {
                "Before: rows of the word table (" (thousands(before)) " whole words of the vocabulary). "
                "After: the word in this text; in the vocabulary, beside the " (thousands(after))
                " words whose rows stand nearest to the text's, each standing alone."
            }
        }
    }
}

/// With commas, as English has them.
fn thousands(x: usize) -> String {
    if x < 1000 { x.to_string() } else { format!("{},{:03}", thousands(x / 1000), x % 1000) }
}

fn footer(page: &Page) -> Markup {
    html! {
        p {
            "Words and heads are counted from 0. A word's pieces are added up where they are looked at and averaged where they look. "
            "Rest: what goes to [CLS], [SEP] and marks. Weights are rounded to 1/65,535; "
            code { "--json" } " has them in full."
        }
        p { "Made by selfattn " (env!("CARGO_PKG_VERSION")) " with " (page.model) ". This page loads nothing and sends nothing." }
    }
}

/// Both ramps, each as one string of hexadecimal digits.
fn ramps() -> String {
    let digits = |ramp: Vec<Rgb>| ramp.into_iter().map(|rgb| colour::hex(rgb)[1..].to_owned()).collect::<String>();
    format!("{{\"light\":\"{}\",\"dark\":\"{}\"}}", digits(colour::light()), digits(colour::dark()))
}
