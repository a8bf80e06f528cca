//! The report as a table and the lines above it.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use super::{Report, Row};

const MATMUL: [&str; 10] =
    ["m x k x n", "contestant", "type", "GFLOP/s", "best", "% of peak", "GB/s", "% of read", "x same type", "x f32"];
const SOFTMAX: [&str; 5] = ["rows x cols", "contestant", "elements/ns", "best", "x best peer"];

/// What the table says of all rows: the machine, what took part and what did not.
pub fn heading(report: &Report) -> Vec<String> {
    let machine = &report.machine;
    let mut lines = vec![
        format!("{}, level {}, threads {}", machine.cpu, machine.level, machine.threads),
        format!("FMA peak {:.1} GFLOP/s in f32, read {:.1} GB/s from memory", machine.peak, machine.read),
        machine.versions.join(", "),
    ];
    lines.extend(report.notes.iter().cloned());
    lines
}

/// The rows of one operation, of the peers the fastest of each type, in Markdown: it reads well on a terminal too.
pub fn table(report: &Report, op: &str, fastest: usize) -> Table {
    let rows: Vec<_> = report.rows.iter().filter(|row| row.op == op).collect();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    if op == "softmax" {
        table.set_header(SOFTMAX)
    } else {
        table.set_header(MATMUL)
    };
    let mut shapes: Vec<&str> = Vec::new();
    for row in &rows {
        if !shapes.contains(&row.shape.as_str()) {
            shapes.push(&row.shape);
        }
    }
    for shape in shapes {
        let group: Vec<&Row> = rows.iter().filter(|row| row.shape == shape).copied().collect();
        for row in shown(&group, fastest) {
            table.add_row(if op == "softmax" { softmax(row, &group) } else { matmul(row, &group) });
        }
    }
    let text = if op == "softmax" { 2 } else { 3 };
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
    let share =
        |rate: Option<f64>, roof: Option<f64>| number(rate.zip(roof).map(|(rate, roof)| 100.0 * rate / roof), 1);
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

/// Our speed to that of the fastest peer with weights of this type.
fn ratio(row: &Row, group: &[&Row], weights: &str) -> Option<f64> {
    let peers = group.iter().filter(|peer| !peer.ours && peer.weights == weights);
    let best = peers.map(|peer| peer.rate()).max_by(f64::total_cmp);
    best.filter(|_| row.ours).map(|best| row.rate() / best)
}

fn number(x: Option<f64>, digits: usize) -> String {
    x.map_or_else(String::new, |x| format!("{x:.digits$}"))
}
