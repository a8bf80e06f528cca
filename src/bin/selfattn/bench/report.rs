//! Measurements as a table, as Markdown, CSV and JSON. The JSON's field names are an interface: they stay.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Failure, Result};

/// One test, on so many threads, at one level.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// Batch x tokens, as `32x128`.
    pub test: String,
    pub batch: usize,
    pub tokens: usize,
    pub threads: usize,
    pub level: String,
    /// How the weights are stored.
    pub dtype: &'static str,
    pub model: String,
    pub cpu: String,
    /// How many threads can run at the same time.
    pub cores: usize,
    /// Of the last minute, before the first test.
    pub load_average: Option<f64>,
    /// GB/s of reading from memory on so many threads.
    pub memory_gbs: Option<f64>,
    /// Why there are no figures; null if there are.
    pub not_run: Option<String>,
    #[serde(flatten)]
    pub figures: Figures,
    /// Times in their order; of more than a thousand, every so many.
    pub samples_ms: Option<Vec<f64>>,
}

/// Null where the test was not run.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    pub repetitions: Option<usize>,
    pub mean_ms: Option<f64>,
    pub sd_ms: Option<f64>,
    pub min_ms: Option<f64>,
    pub sentences_per_s: Option<f64>,
    /// By the shortest time, as the peak is by its own.
    pub gflops: Option<f64>,
    /// Of one core, times the threads.
    pub peak_gflops: Option<f64>,
    pub peak_percent: Option<f64>,
}

const HEADER: [&str; 9] =
    ["test", "level", "threads", "mean ms", "+-", "min ms", "sentences/s", "GFLOP/s", "% of peak"];

/// What the measurements are of: the machine, the model, the roofs.
fn heading(measurements: &[Measurement]) -> Vec<String> {
    let Some(first) = measurements.first() else { return Vec::new() };
    let load = first.load_average.map_or_else(String::new, |load| format!(", load average {load:.2}"));
    let mut memory: Vec<(usize, f64)> = Vec::new();
    for one in measurements {
        if let (Some(gbs), false) = (one.memory_gbs, memory.iter().any(|(threads, _)| *threads == one.threads)) {
            memory.push((one.threads, gbs));
        }
    }
    let memory: Vec<String> = memory.iter().map(|(threads, gbs)| format!("{gbs:.1} GB/s on {threads}")).collect();
    vec![
        format!("{}, {} cores{load}", first.cpu, first.cores),
        format!("{}, {} weights", first.model, first.dtype),
        format!("FMA peak of one core: {}", peaks(measurements)),
        format!("reading from memory, by threads: {}", or_not_measured(memory.join(", "))),
    ]
}

/// The measurements as a table, below lines that say of what.
pub fn text(measurements: &[Measurement]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADER);
    measurements.iter().for_each(|one| {
        table.add_row(row(one));
    });
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    let heading = heading(measurements).join("\n");
    format!("{heading}\n\n{}\n\ntest: texts x tokens; GFLOP/s and % by the shortest time\n", table.trim_fmt())
}

/// The same in Markdown.
pub fn markdown(measurements: &[Measurement]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut out = heading(measurements).join("  \n") + "\n\n";
    out += &line(&HEADER.map(str::to_owned));
    out += &line(&std::array::from_fn::<_, 9, _>(|i| if i < 2 { "---" } else { "---:" }.to_owned()));
    for one in measurements {
        let mut cells = row(one);
        cells.resize(HEADER.len(), String::new());
        out += &line(&cells);
    }
    out
}

/// A line of names, and one of values for each measurement: the fields of the JSON, but for the samples.
pub fn csv(measurements: &[Measurement]) -> Result<String> {
    let mut out = String::new();
    for one in measurements {
        let value = serde_json::to_value(one).map_err(|error| Failure::failed(format!("no CSV of this: {error}")))?;
        let fields: Vec<_> =
            value.as_object().into_iter().flatten().filter(|(name, _)| *name != "samples_ms").collect();
        if out.is_empty() {
            out = fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",") + "\n";
        }
        out += &(fields.iter().map(|(_, value)| cell(value)).collect::<Vec<_>>().join(",") + "\n");
    }
    Ok(out)
}

/// As RFC 4180 has it: in quotes where it must be.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\n']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn or_not_measured(text: String) -> String {
    if text.is_empty() { "not measured".to_owned() } else { text }
}

fn row(one: &Measurement) -> Vec<String> {
    let number = |x: Option<f64>, decimals: usize| x.map_or_else(String::new, |x| format!("{x:.decimals$}"));
    let Figures { mean_ms, sd_ms, min_ms, sentences_per_s, gflops, peak_percent, .. } = one.figures;
    let mut row = vec![one.test.clone(), one.level.clone(), one.threads.to_string()];
    match &one.not_run {
        Some(why) => row.push(format!("not run: {why}")),
        None => row.extend([
            number(mean_ms, 3),
            number(sd_ms, 3),
            number(min_ms, 3),
            number(sentences_per_s, 1),
            number(gflops, 1),
            number(peak_percent, 1),
        ]),
    }
    row
}

/// "avx512 166.2 GFLOP/s, avx2 83.0 GFLOP/s"
fn peaks(measurements: &[Measurement]) -> String {
    let mut named: Vec<(&str, f64)> = Vec::new();
    for one in measurements {
        if let (Some(peak), false) = (one.figures.peak_gflops, named.iter().any(|(level, _)| *level == one.level)) {
            named.push((&one.level, peak / one.threads as f64));
        }
    }
    let parts: Vec<String> = named.iter().map(|(level, peak)| format!("{level} {peak:.1}")).collect();
    or_not_measured(parts.into_iter().map(|part| part + " GFLOP/s").collect::<Vec<_>>().join(", "))
}
