//! The rows of all shapes side by side, a line a contestant: lengths that differ in nothing else share a column.

use comfy_table::{Table, presets};

use super::FLASH;
use crate::report::Row;
use crate::report::table::ratio;

/// What stands above the table.
pub const SUMMARY: &str = "In % of the FMA peak; the last lines are our speed to that of the fastest peer of a type:";

pub fn summary(rows: &[Row]) -> Table {
    let columns = columns(rows);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let texts = ["contestant", "type"].map(str::to_owned).into_iter();
    table.set_header(texts.chain(columns.iter().map(|column| column.title.clone())));
    let mut line = |name: String, dtype: &str, cell: &dyn Fn(&str) -> Option<String>| {
        let cells = columns.iter().map(|column| {
            let cells: Vec<_> = column.shapes.iter().map(|shape| cell(shape).unwrap_or("-".to_owned())).collect();
            cells.join(" / ")
        });
        table.add_row([name, dtype.to_owned()].into_iter().chain(cells).collect::<Vec<_>>());
    };
    for (name, dtype) in distinct(rows.iter().map(|row| (row.contestant.as_str(), row.weights.as_str()))) {
        line(name.to_owned(), dtype, &|shape| {
            let row = rows.iter().find(|row| (&*row.shape, &*row.contestant, &*row.weights) == (shape, name, dtype))?;
            Some(format!("{:.0}", 100.0 * row.rate() / row.peak?))
        });
    }
    for row in distinct(rows.iter().filter(|row| row.contestant == FLASH).map(|row| row.weights.as_str())) {
        for peer in distinct([row, "f32"].into_iter()) {
            line(format!("{FLASH} / fastest peer in {peer}"), row, &|shape| {
                let group: Vec<_> = rows.iter().filter(|row| row.shape == shape).collect();
                let ours = group.iter().find(|other| other.contestant == FLASH && other.weights == row)?;
                ratio(ours, &group, peer).map(|ratio| format!("{ratio:.2}"))
            });
        }
    }
    table
}

struct Column<'r> {
    title: String,
    shapes: Vec<&'r str>,
}

fn columns(rows: &[Row]) -> Vec<Column<'_>> {
    let shapes = distinct(rows.iter().map(|row| row.shape.as_str()));
    let split = |shape: &str| {
        let (heads, rest) = shape.split_once('x').unwrap_or_default();
        let (n, rest) = rest.split_once('x').unwrap_or_default();
        (format!("{heads}xnx{rest}"), n.to_owned())
    };
    let kinds = distinct(shapes.iter().map(|shape| split(shape).0));
    let column = |kind: String| {
        let shapes: Vec<_> = shapes.iter().copied().filter(|shape| split(shape).0 == kind).collect();
        let lengths: Vec<_> = shapes.iter().map(|shape| split(shape).1).collect();
        Column { title: format!("{kind}, n = {}", lengths.join(" / ")), shapes }
    };
    kinds.into_iter().map(column).collect()
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut out = Vec::new();
    for one in all {
        if !out.contains(&one) {
            out.push(one);
        }
    }
    out
}
