//! A matrix on the terminal: numbers on a coloured ground, or beside blocks that grow darker.

use console::Style;

use crate::terminal::{Terminal, left, right, two};

/// Columns of a cell with a number in it, the gap before it included.
const CELL: usize = 7;
/// Columns of a cell that is only a shade.
const SHADE: usize = 3;
/// Columns of a row's name at most.
const NAME: usize = 16;

/// From dark to light: colours of the 256-colour palette along viridis, with readable text on them.
const RAMP: [u8; 10] = [54, 60, 61, 67, 73, 72, 78, 114, 150, 186];
/// From which step of the ramp black text reads better than white.
const BLACK_FROM: usize = 4;
const BLOCKS: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// A matrix with names, and a column beside it that has no shade.
pub struct Heat<'a> {
    pub rows: &'a [String],
    pub columns: &'a [String],
    pub values: &'a [Vec<f32>],
    pub beside: Option<(&'a str, &'a [f32])>,
}

impl Heat<'_> {
    /// Lines of text, each with its line end. Shades go from the smallest to the largest value.
    pub fn draw(&self, terminal: Terminal) -> String {
        let name = self.rows.iter().map(|row| unicode_width::UnicodeWidthStr::width(row.as_str())).max().unwrap_or(0);
        let name = name.min(NAME);
        let beside = if self.beside.is_some() { CELL + 2 } else { 0 };
        let cell = if name + 2 + self.columns.len() * CELL + beside <= terminal.width { CELL } else { SHADE };
        let mut out = self.header(name, cell);
        for (i, row) in self.values.iter().enumerate() {
            out += &self.row_name(i, name, cell);
            row.iter().for_each(|&value| out += &self.cell(value, cell, terminal));
            if let Some((_, values)) = self.beside {
                out += &format!("  {}", two(values[i], CELL));
            }
            out.push('\n');
        }
        out
    }

    fn header(&self, name: usize, cell: usize) -> String {
        let mut out = left("", if cell == CELL { name + 2 } else { name + 5 });
        for (j, column) in self.columns.iter().enumerate() {
            // There is no room for words over shades: the rows carry the numbers.
            out += &if cell == CELL { right(column, CELL - 1) + " " } else { right(&j.to_string(), SHADE) };
        }
        if let Some((title, _)) = self.beside {
            out += &format!("  {}", right(title, CELL));
        }
        out.trim_end().to_owned() + "\n"
    }

    fn row_name(&self, i: usize, name: usize, cell: usize) -> String {
        let text = left(self.rows.get(i).map_or("", String::as_str), name);
        if cell == CELL { format!("  {text}") } else { format!("{i:>3}  {text}") }
    }

    fn cell(&self, value: f32, cell: usize, terminal: Terminal) -> String {
        let share = self.share(value);
        let number = if cell == CELL { two(value, CELL - 1) } else { " ".repeat(SHADE) };
        if terminal.colour {
            let step = step(share, RAMP.len());
            let style = Style::new().on_color256(RAMP[step]);
            let style = if step < BLACK_FROM { style.color256(255) } else { style.color256(16) };
            let gap = if cell == CELL { " " } else { "" };
            return terminal.paint(&style, &(number + gap));
        }
        let block = BLOCKS[step(share, BLOCKS.len())];
        if cell == CELL { format!("{number}{block}") } else { format!(" {block}{block}") }
    }

    /// Where a value lies between the smallest and the largest, from 0 to 1.
    fn share(&self, value: f32) -> f32 {
        let values = || self.values.iter().flatten().copied();
        let (low, high) = (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max));
        if high > low { (value - low) / (high - low) } else { 0.0 }
    }
}

fn step(share: f32, steps: usize) -> usize {
    // A NaN becomes 0.
    ((share * steps as f32) as usize).min(steps - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(n: usize, width: usize, colour: bool) -> String {
        let names: Vec<String> = (0..n).map(|i| format!("word{i}")).collect();
        let values: Vec<Vec<f32>> = (0..n).map(|i| (0..n).map(|j| (i * n + j) as f32).collect()).collect();
        Heat { rows: &names, columns: &names, values: &values, beside: None }.draw(Terminal { colour, width })
    }

    #[test]
    fn numbers_where_they_fit_and_shades_where_not() {
        assert!(draw(3, 80, false).contains("8.00█"));
        let narrow = draw(20, 80, false);
        assert!(!narrow.contains('.') && narrow.contains('█'));
        assert!(narrow.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= 80));
    }

    #[test]
    fn colour_only_on_demand() {
        assert!(draw(3, 80, true).contains("\x1b[48;5;186m") || draw(3, 80, true).contains("48;5;186"));
        assert!(!draw(3, 80, false).contains('\x1b'));
    }
}
