//! The report as a table and the lines above it.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use super::{Report, Row};

/// The columns of an operation.
struct Layout {
    header: &'static [&'static str],
    /// Columns of text, before those of numbers.
    text: usize,
    /// The cells of a row, beside all rows of its shape.
    cells: fn(&Row, &[&Row]) -> Vec<String>,
}

fn layout(op: &str) -> Layout {
    match op {
        "softmax" => Layout {
            header: &["rows x cols", "contestant", "elements/ns", "best", "x best peer"],
            text: 2,
            cells: softmax,
        },
        "attention" => Layout {
            header: &[
                "heads x n x d",
                "contestant",
                "type",
                "GFLOP/s",
                "best",
                "% of peak",
                "x plain",
                "x same type",
                "x f32",
            ],
            text: 3,
            cells: attention,
        },
        "decode" => Layout {
            header: &[
                "heads x kv heads x keys x d",
                "contestant",
                "type",
                "GB/s",
                "best",
                "% of read",
                "x plain",
                "x same type",
                "x f32",
            ],
            text: 3,
            cells: decode,
        },
        _ => Layout {
            header: &[
                "m x k x n",
                "contestant",
                "type",
                "GFLOP/s",
                "best",
                "% of peak",
                "GB/s",
                "% of read",
                "x same type",
                "x f32",
            ],
            text: 3,
            cells: matmul,
        },
    }
}

/// What the table says of all rows: the machine, what took part and what did not.
pub fn heading(report: &Report) -> Vec<String> {
    let machine = &report.machine;
    let clock = if machine.processor_time { ", by processor time" } else { "" };
    let mut lines = vec![
        format!("{}, level {}, threads {}{}", machine.cpu, machine.level, machine.threads, clock),
        format!("FMA peak {:.1} GFLOP/s in f32, read {:.1} GB/s from memory", machine.peak, machine.read),
        machine.versions.join(", "),
    ];
    lines.extend(report.notes.iter().cloned());
    // Versions, if no other library takes part.
    lines.retain(|line| !line.is_empty());
    lines
}

/// The rows of one operation, of the peers the fastest of each type, in Markdown: it reads well on a terminal too.
pub fn table(report: &Report, op: &str, fastest: usize) -> Table {
    let rows: Vec<_> = report.rows.iter().filter(|row| row.op == op).collect();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let Layout { header, text, cells } = layout(op);
    table.set_header(header);
    let mut shapes: Vec<&str> = Vec::new();
    for row in &rows {
        if !shapes.contains(&row.shape.as_str()) {
            shapes.push(&row.shape);
        }
    }
    for shape in shapes {
        let group: Vec<&Row> = rows.iter().filter(|row| row.shape == shape).copied().collect();
        for row in shown(&group, fastest) {
            table.add_row(cells(row, &group));
        }
    }
    table.column_iter_mut().skip(text).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// Ours first, then the peers, the fastest first and no more of a type than asked for.
fn shown<'r>(group: &[&'r Row], fastest: usize) -> Vec<&'r Row> {
    let mut group = group.to_vec();
    group.sort_by(|a, b| b.ours.cmp(&a.ours).then(b.rate().total_cmp(&a.rate())));
    let mut of_type: BTreeMap<&str, usize> = BTreeMap::new();
    group.retain(|row| {
        let count = of_type.entry(&row.weights).or_default();
        *count += usize::from(!row.ours);
        row.ours || *count <= fastest
    });
    group
}

fn matmul(row: &Row, group: &[&Row]) -> Vec<String> {
    // Where weights are all there is to read, bytes count.
    let bytes = row.read.map(|_| row.bytes as f64 / row.median);
    vec![
        row.shape.clone(),
        row.contestant.clone(),
        format!("{} x {}", row.activations, row.weights),
        number(Some(row.rate() / 1e9), 1),
        number(Some(row.work / row.best / 1e9), 1),
        share(Some(row.rate()), row.peak),
        number(bytes.map(|bytes| bytes / 1e9), 1),
        share(bytes, row.read),
        number(ratio(row, group, &row.weights), 2),
        number(ratio(row, group, "f32"), 2),
    ]
}

fn softmax(row: &Row, group: &[&Row]) -> Vec<String> {
    vec![
        row.shape.clone(),
        row.contestant.clone(),
        number(Some(row.rate() / 1e9), 3),
        number(Some(row.work / row.best / 1e9), 3),
        number(ratio(row, group, "f32"), 2),
    ]
}

fn attention(row: &Row, group: &[&Row]) -> Vec<String> {
    let mut cells = vec![
        row.shape.clone(),
        row.contestant.clone(),
        row.weights.clone(),
        number(Some(row.rate() / 1e9), 1),
        number(Some(row.work / row.best / 1e9), 1),
        share(Some(row.rate()), row.peak),
    ];
    cells.extend(ratios(row, group));
    cells
}

fn decode(row: &Row, group: &[&Row]) -> Vec<String> {
    let bytes = row.bytes as f64;
    let mut cells = vec![
        row.shape.clone(),
        row.contestant.clone(),
        row.weights.clone(),
        number(Some(bytes / row.median / 1e9), 1),
        number(Some(bytes / row.best / 1e9), 1),
        share(Some(bytes / row.median), row.read),
    ];
    cells.extend(ratios(row, group));
    cells
}

/// To our plain algorithm, to the fastest peer of the same type, to the fastest in f32.
fn ratios(row: &Row, group: &[&Row]) -> [String; 3] {
    let plain = format!("{} plain", row.contestant);
    let plain = group.iter().find(|other| other.contestant == plain && other.weights == row.weights);
    let plain = plain.map(|plain| row.rate() / plain.rate());
    [plain, ratio(row, group, &row.weights), ratio(row, group, "f32")].map(|ratio| number(ratio, 2))
}

/// In percent.
fn share(rate: Option<f64>, roof: Option<f64>) -> String {
    number(rate.zip(roof).map(|(rate, roof)| 100.0 * rate / roof), 1)
}

/// Our speed to that of the fastest peer with weights of this type.
pub fn ratio(row: &Row, group: &[&Row], weights: &str) -> Option<f64> {
    let peers = group.iter().filter(|peer| !peer.ours && peer.weights == weights);
    let best = peers.map(|peer| peer.rate()).max_by(f64::total_cmp);
    best.filter(|_| row.ours).map(|best| row.rate() / best)
}

fn number(x: Option<f64>, digits: usize) -> String {
    x.map_or_else(String::new, |x| format!("{x:.digits$}"))
}
