//! What standard output can show: colours, and how wide.

use std::io::IsTerminal;

use console::{Style, Term};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns assumed where there is no terminal to ask.
const WIDTH: usize = 100;

#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    pub colour: bool,
    pub width: usize,
}

impl Terminal {
    /// Standard output as it is: colours on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
    pub fn stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| columns.into());
        Self { colour: terminal && !refused, width: if terminal { width } else { WIDTH } }
    }

    /// `text` in that style, if there are colours.
    pub fn paint(&self, style: &Style, text: &str) -> String {
        if self.colour { style.clone().force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }

    pub fn title(&self, text: &str) -> String {
        self.paint(&Style::new().bold(), text)
    }
}

/// `text` in exactly `width` columns: cut with an ellipsis, or filled up on the right.
pub fn left(text: &str, width: usize) -> String {
    let text = clip(text, width);
    let gap = width - text.width();
    text + &" ".repeat(gap)
}

/// `text` in exactly `width` columns: cut with an ellipsis, or filled up on the left.
pub fn right(text: &str, width: usize) -> String {
    let text = clip(text, width);
    " ".repeat(width - text.width()) + &text
}

/// A number with two decimals, filled up on the left.
pub fn two(x: f32, width: usize) -> String {
    format!("{:width$.2}", rounded(x))
}

/// `x` as two decimals show it, but never as "-0.00".
pub fn rounded(x: f32) -> f32 {
    if x.abs() < 0.005 { 0.0 } else { x }
}

/// `text` in at most `width` columns: cut with an ellipsis.
pub fn clip(text: &str, width: usize) -> String {
    // What a terminal would take as a command has no width, and has no place in a table.
    let shown: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.width() <= width {
        return shown;
    }
    let mut out = String::new();
    for c in shown.chars() {
        if out.width() + c.width().unwrap_or(0) + 1 > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_kept_for_wide_and_for_combining_characters() {
        for text in ["", "apple", "a very long word", "東京都庁舎", "e\u{301}e\u{301}e\u{301}", "a\x1b[31mb"] {
            for width in 0..9 {
                assert_eq!(left(text, width).width(), width, "{text:?}");
                assert_eq!(right(text, width).width(), width, "{text:?}");
            }
        }
    }
}
