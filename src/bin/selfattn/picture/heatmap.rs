//! A matrix as a labelled heat map, in SVG.

use maud::{Markup, PreEscaped, html};

use super::colour::{self, Rgb};
use super::font::{self, FAMILY};
use super::matrix_image;
use crate::error::{Failure, Result};
use crate::terminal::{clip, rounded};

/// Rows and columns up to which each cell is a shape of its own, with its value as a tooltip; above, one image has them all.
const SHAPES: usize = 48;
/// Rows and columns at most: at 6 pixels a cell, of 4 bytes each, a PNG takes 150 MB of memory while it is drawn.
const LARGEST: usize = 1024;
/// Characters of a label at most.
const LABEL: usize = 40;
/// Cells at least this wide have their number in them.
const NUMBERS: f32 = 36.0;
/// Sizes of text, in pixels as everything here.
const TEXT: f32 = 13.0;
const TITLE: f32 = 18.0;
/// Around the picture.
const MARGIN: f32 = 24.0;
const GAP: f32 = 8.0;
/// The colour bar's width, and its height at least.
const BAR: f32 = 14.0;
const BAR_HEIGHT: f32 = 110.0;
/// Column labels that do not fit above their columns lean by 45 degrees.
const LEAN: f32 = std::f32::consts::FRAC_1_SQRT_2;

pub(super) const PAPER: &str = "#ffffff";
pub(super) const INK: &str = "#1d2430";
pub(super) const FAINT: &str = "#5c6675";

/// What is drawn.
pub struct HeatMap<'a> {
    pub title: String,
    pub subtitle: String,
    pub rows: Vec<String>,
    /// The columns are named as the rows are; or else both are numbered, from 1.
    pub named_columns: bool,
    /// What a row and what a column stands for.
    pub axes: [&'a str; 2],
    pub values: &'a [Vec<f32>],
    /// The numbers that the ends of the scale stand for.
    pub scale: [f32; 2],
    /// What the numbers are.
    pub unit: &'a str,
    /// Numbers without a shade, right of the matrix.
    pub beside: Option<(&'a str, &'a [f32])>,
}

/// Where things stand.
struct Layout {
    cell: f32,
    /// Upper left corner of the matrix.
    left: f32,
    top: f32,
    lean: bool,
    /// Right of the columns' labels.
    beside: f32,
    bar: f32,
    size: [f32; 2],
    /// Right end of the rows' labels.
    label: f32,
}

impl HeatMap<'_> {
    /// The picture. Its size is bounded: by that of its labels, 2,304 cells and an image of the rest.
    pub fn svg(&self) -> Result<String> {
        let n = self.rows.len();
        if n > LARGEST {
            return Err(Failure::failed(format!(
                "a picture has room for {LARGEST} words, not for {n}: shorten the text"
            )));
        }
        let rows = labels(&self.rows);
        let columns = if self.named_columns { rows.clone() } else { (1..=rows.len()).map(|i| i.to_string()).collect() };
        let layout = self.layout(&rows, &columns)?;
        let [width, height] = layout.size;
        let picture = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
                font-family=(FAMILY) font-size=(TEXT) fill=(INK) role="img" {
                title { (printable(&self.title)) }
                rect width=(width) height=(height) fill=(PAPER) {}
                text x=(MARGIN) y=(MARGIN + TITLE * 0.8) font-size=(TITLE) { (printable(&self.title)) }
                text x=(MARGIN) y=(MARGIN + TITLE + GAP + TEXT * 0.8) fill=(FAINT) { (self.subtitle(width)) }
                (self.axis_names(&layout))
                (row_labels(&layout, &rows, layout.label))
                @if !self.named_columns { (row_labels(&layout, &columns, layout.left - GAP)) }
                (column_labels(&layout, &columns))
                @if self.is_large() { (self.image(&layout)?) } @else { (self.cells(&layout)) }
                (self.beside(&layout))
                (self.bar(&layout))
            }
        };
        Ok(picture.into_string() + "\n")
    }

    fn is_large(&self) -> bool {
        self.rows.len() > SHAPES
    }

    fn layout(&self, rows: &[String], columns: &[String]) -> Result<Layout> {
        let cell = cell(rows.len());
        let widest =
            |labels: &[String]| font::widths(labels, TEXT).map(|widths| widths.into_iter().fold(0.0, f32::max));
        let (row_label, column_label) = (widest(rows)?, widest(columns)?);
        let lean = column_label > cell - 4.0;
        let leaning = if lean { column_label * LEAN } else { 0.0 };
        let label = (MARGIN + TEXT * 1.8 + row_label).ceil();
        let left = label + if self.named_columns { GAP } else { (column_label + 2.0 * GAP).ceil() };
        let top = (MARGIN + TITLE + 2.0 * TEXT + 5.0 * GAP + if lean { leaning + TEXT * LEAN } else { TEXT }).ceil();
        let (wide, high) = (cell * columns.len() as f32, cell * rows.len() as f32);
        let beside = left + wide + GAP;
        let overhang = (leaning - cell / 2.0).max(if self.beside.is_some() { 4.0 * TEXT + GAP } else { 0.0 });
        let bar = left + wide + overhang + 3.0 * GAP;
        let title = font::widths(&[printable(&self.title)], TITLE)?.into_iter().fold(0.0, f32::max);
        let width = (bar + BAR + 5.5 * TEXT).max(title + MARGIN) + MARGIN;
        let size = [width.ceil(), (top + high.max(BAR_HEIGHT) + MARGIN).ceil()];
        Ok(Layout { cell, left, top, lean, beside, bar, size, label })
    }

    /// As much of the second line as has room.
    fn subtitle(&self, width: f32) -> String {
        let room = (width - 2.0 * MARGIN) / (TEXT * 0.56);
        clip(&printable(&self.subtitle), room as usize)
    }

    fn axis_names(&self, layout: &Layout) -> Markup {
        let [rows, columns] = self.axes;
        let y = MARGIN + TITLE + TEXT + 4.0 * GAP;
        let (x, middle) = (MARGIN + TEXT * 0.8, layout.top);
        html! {
            text x=(layout.left) y=(y) fill=(FAINT) { (columns) }
            text transform={ "translate(" (x) " " (middle) ") rotate(-90)" } text-anchor="end" fill=(FAINT) { (rows) }
        }
    }

    /// A number's place between the ends of the scale.
    fn colour(&self, ramp: &[Rgb], value: f32) -> Rgb {
        let [low, high] = self.scale;
        ramp[colour::step(if high > low { (value - low) / (high - low) } else { 0.0 })]
    }

    fn cells(&self, layout: &Layout) -> Markup {
        let ramp = colour::light();
        let Layout { cell, left, top, .. } = *layout;
        html! {
            g text-anchor="middle" font-size=(TEXT * 0.92) shape-rendering="crispEdges" {
                @for (i, row) in self.values.iter().enumerate() {
                    @for (j, &value) in row.iter().enumerate() {
                        @let (x, y) = (left + cell * j as f32, top + cell * i as f32);
                        @let colour = self.colour(&ramp, value);
                        rect x=(x) y=(y) width=(cell) height=(cell) fill=(colour::hex(colour)) stroke=(PAPER) {
                            title { (self.tooltip(i, j, value)) }
                        }
                        @if cell >= NUMBERS {
                            text x=(x + cell / 2.0) y=(y + cell / 2.0 + TEXT * 0.33) fill=(on(colour)) pointer-events="none" {
                                (two(value))
                            }
                        }
                    }
                }
            }
            (frame(layout, self.values.len(), self.rows.len()))
        }
    }

    fn tooltip(&self, i: usize, j: usize, value: f32) -> String {
        let name = |i: usize| self.rows.get(i).map(|name| printable(name)).unwrap_or_default();
        format!("{} → {}: {value:.4}", name(i), name(j))
    }

    fn image(&self, layout: &Layout) -> Result<Markup> {
        let ramp = colour::light();
        let cell = layout.cell as usize;
        let colours: Vec<Vec<Rgb>> =
            self.values.iter().map(|row| row.iter().map(|&value| self.colour(&ramp, value)).collect()).collect();
        let (width, height) = (self.rows.len() * cell, self.rows.len() * cell);
        let data = matrix_image::data_url(&colours, cell)?;
        Ok(html! {
            image x=(layout.left) y=(layout.top) width=(width) height=(height) href=(data) {}
            (frame(layout, self.rows.len(), self.rows.len()))
        })
    }

    fn beside(&self, layout: &Layout) -> Markup {
        let Some((name, values)) = self.beside else { return PreEscaped(String::new()) };
        let Layout { cell, beside, top, .. } = *layout;
        let x = beside + 3.0 * TEXT;
        let every = every(cell);
        html! {
            g text-anchor="end" fill=(FAINT) {
                text x=(x) y=(top - GAP) { (name) }
                @for (i, &value) in values.iter().enumerate().step_by(every) {
                    text x=(x) y=(top + cell * (i as f32 + 0.5) + TEXT * 0.35) { (two(value)) }
                }
            }
        }
    }

    /// The scale: what a colour stands for.
    fn bar(&self, layout: &Layout) -> Markup {
        let Layout { bar: x, top, cell, .. } = *layout;
        let height = (cell * self.rows.len() as f32).clamp(BAR_HEIGHT, 320.0);
        let ramp = colour::light();
        let [low, high] = self.scale;
        let (ticks, decimals) = ticks(low, high);
        html! {
            defs {
                linearGradient id="scale" x1="0" y1="1" x2="0" y2="0" {
                    @for (i, &rgb) in ramp.iter().enumerate().step_by(colour::STEPS / 32) {
                        stop offset=(i as f32 / (colour::STEPS - 1) as f32) stop-color=(colour::hex(rgb)) {}
                    }
                    stop offset="1" stop-color=(colour::hex(ramp[colour::STEPS - 1])) {}
                }
            }
            text x=(x) y=(top - TEXT) fill=(FAINT) { (self.unit) }
            rect x=(x) y=(top) width=(BAR) height=(height) fill="url(#scale)" stroke=(FAINT) stroke-width="0.5" {}
            @for tick in ticks {
                @let y = top + height * (high - tick) / (high - low);
                path d={ "M" (x + BAR) " " (y) "h4" } stroke=(FAINT) {}
                text x=(x + BAR + 7.0) y=(y + TEXT * 0.33) { (format!("{tick:.decimals$}")) }
            }
        }
    }
}

/// Round numbers between the ends of a scale, four to nine of them, and how many decimals they need.
fn ticks(low: f32, high: f32) -> (Vec<f32>, usize) {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return (Vec::new(), 0);
    }
    let power = (span / 4.0).log10().floor();
    let unit = 10_f32.powf(power);
    let step = [5.0, 2.0, 1.0].into_iter().map(|x| x * unit).find(|step| span / step >= 4.0).unwrap_or(unit);
    // The ends are computed: a tick on one of them must not be lost to rounding.
    let (first, last) = ((low / step - 1e-3).ceil() as i64, (high / step + 1e-3).floor() as i64);
    ((first..=last).map(|i| i as f32 * step).collect(), (-power).max(0.0) as usize)
}

fn frame(layout: &Layout, rows: usize, columns: usize) -> Markup {
    let Layout { cell, left, top, .. } = *layout;
    let (width, height) = (cell * columns as f32, cell * rows as f32);
    html! { rect x=(left) y=(top) width=(width) height=(height) fill="none" stroke=(FAINT) stroke-width="0.5" {} }
}

fn row_labels(layout: &Layout, labels: &[String], right: f32) -> Markup {
    let Layout { cell, top, .. } = *layout;
    html! {
        g text-anchor="end" {
            @for (i, label) in labels.iter().enumerate().step_by(every(cell)) {
                text x=(right) y=(top + cell * (i as f32 + 0.5) + TEXT * 0.35) { (label) }
            }
        }
    }
}

fn column_labels(layout: &Layout, labels: &[String]) -> Markup {
    let Layout { cell, left, top, lean, .. } = *layout;
    let y = top - GAP;
    html! {
        g text-anchor=(if lean { "start" } else { "middle" }) {
            @for (j, label) in labels.iter().enumerate().step_by(every(if lean { cell * LEAN } else { cell })) {
                @let x = left + cell * (j as f32 + 0.5) + if lean { TEXT * 0.3 } else { 0.0 };
                @if lean { text transform={ "translate(" (x) " " (y) ") rotate(-45)" } { (label) } }
                @else { text x=(x) y=(y) { (label) } }
            }
        }
    }
}

/// Pixels of a cell in a matrix of `n`.
fn cell(n: usize) -> f32 {
    match n {
        0..=8 => 60.0,
        9..=14 => 44.0,
        15..=24 => 36.0,
        25..=48 => 20.0,
        49..=100 => 14.0,
        101..=200 => 6.0,
        _ => 3.0,
    }
}

/// One label in how many has room.
fn every(cell: f32) -> usize {
    ((TEXT * 1.1 / cell).ceil() as usize).max(1)
}

fn on(colour: Rgb) -> &'static str {
    if colour::wants_dark_text(colour) { "#000000" } else { "#ffffff" }
}

fn two(value: f32) -> String {
    format!("{:.2}", rounded(value))
}

fn labels(names: &[String]) -> Vec<String> {
    names.iter().map(|name| clip(&printable(name), LABEL)).collect()
}

/// Without the characters that XML forbids.
fn printable(text: &str) -> String {
    let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars()
        .map(|c| {
            if c == '\n' || c == '\t' {
                ' '
            } else if forbidden(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_round_numbers() {
        let texts = |low, high| {
            let (ticks, decimals) = ticks(low, high);
            ticks.into_iter().map(|tick| format!("{tick:.decimals$}")).collect::<Vec<_>>()
        };
        assert_eq!(texts(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(-0.08, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(0.0, 0.213), ["0.00", "0.05", "0.10", "0.15", "0.20"]);
        assert_eq!(texts(-30.0, 50.0), ["-20", "0", "20", "40"]);
        for (low, high) in [(0.0, 0.0), (1.0, 0.0), (0.0, f32::NAN), (0.0, f32::INFINITY)] {
            assert!(texts(low, high).is_empty());
        }
    }
}
