//! Measurements as a table and as JSON. The JSON's field names are an interface: they stay.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

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
    /// Why there are no figures; null if there are.
    pub not_run: Option<String>,
    #[serde(flatten)]
    pub figures: Figures,
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

/// The measurements as a table, below a line that says of what.
pub fn table(measurements: &[Measurement]) -> String {
    let Some(first) = measurements.first() else { return String::new() };
    let peaks = peaks(measurements);
    let out = format!("{}\n{}, {} weights\nFMA peak of one core: {peaks}\n\n", first.cpu, first.model, first.dtype);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["test", "level", "threads", "mean ms", "+-", "min ms", "sentences/s", "GFLOP/s", "% of peak"]);
    measurements.iter().for_each(|one| {
        table.add_row(row(one));
    });
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    out + &table.trim_fmt() + "\n\ntest: texts x tokens; GFLOP/s and % by the shortest time\n"
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

/// "avx512 166.2, avx2 83.0 GFLOP/s"
fn peaks(measurements: &[Measurement]) -> String {
    let mut named: Vec<(&str, f64)> = Vec::new();
    for one in measurements {
        if let (Some(peak), false) = (one.figures.peak_gflops, named.iter().any(|(level, _)| *level == one.level)) {
            named.push((&one.level, peak / one.threads as f64));
        }
    }
    let parts: Vec<String> = named.iter().map(|(level, peak)| format!("{level} {peak:.1}")).collect();
    if parts.is_empty() { "not measured".to_owned() } else { parts.join(", ") + " GFLOP/s" }
}
