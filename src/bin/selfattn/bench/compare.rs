//! `selfattn bench --compare`: new times beside old ones.
//!
//! The ratio is that of the medians, which outliers of a shared machine do not move; its interval is a percentile bootstrap
//! (Efron 1979): both sides are drawn again from their own samples, with replacement.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;

use super::measure::Random;
use super::report::Measurement;
use crate::error::{Failure, Result, reason};

/// Resamples, and the share of them that the interval leaves out on each side.
const RESAMPLES: usize = 10_000;
const TAIL: f64 = 0.025;
const SEED: u64 = 1;

/// What is read of an old measurement.
#[derive(Debug, Deserialize)]
struct Old {
    test: String,
    threads: usize,
    level: String,
    dtype: String,
    model: String,
    cpu: String,
    samples_ms: Option<Vec<f64>>,
}

/// Measurements of an earlier run.
pub struct Before(Vec<Old>);

impl Before {
    /// Reads what `--output json` or `--output jsonl` wrote.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("cannot read {name}: {}", reason(&error))))?;
        let lines = || text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect();
        serde_json::from_str(&text).or_else(|_| lines()).map(Self).map_err(|error| {
            Failure::failed(format!("{name} is not what `selfattn bench --output json` writes: {error}"))
        })
    }

    fn of(&self, new: &Measurement) -> Option<&Old> {
        self.0.iter().find(|old| {
            (old.test.as_str(), old.threads, old.level.as_str(), old.dtype.as_str(), old.model.as_str())
                == (new.test.as_str(), new.threads, new.level.as_str(), new.dtype, new.model.as_str())
        })
    }

    /// The new measurements beside those of before.
    pub fn table(&self, measurements: &[Measurement]) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["test", "level", "threads", "old ms", "new ms", "old / new", "95%", ""]);
        for new in measurements {
            table.add_row(self.row(new));
        }
        table.column_iter_mut().skip(2).take(5).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        let other = measurements.first().and_then(|new| self.0.iter().find(|old| old.cpu != new.cpu));
        let warning = other.map_or_else(String::new, |old| format!("\nthe old CPU was another: {}\n", old.cpu));
        table.trim_fmt() + "\n\nmedians; above 1 is faster; 95% interval by bootstrap, within the runs\n" + &warning
    }

    fn row(&self, new: &Measurement) -> Vec<String> {
        let mut row = vec![new.test.clone(), new.level.clone(), new.threads.to_string()];
        let old = self.of(new).and_then(|old| old.samples_ms.as_deref());
        match (old, new.samples_ms.as_deref()) {
            (Some(old @ [_, ..]), Some(new @ [_, ..])) => {
                let [low, high] = interval(old, new);
                let (old, new) = (median(&mut old.to_vec()), median(&mut new.to_vec()));
                let verdict = if low > 1.0 {
                    "faster"
                } else if high < 1.0 {
                    "slower"
                } else {
                    ""
                };
                row.extend([format!("{old:.3}"), format!("{new:.3}"), format!("{:.3}", old / new)]);
                row.extend([format!("{low:.3} to {high:.3}"), verdict.to_owned()]);
            }
            (_, None) => row.push(format!("not run: {}", new.not_run.as_deref().unwrap_or_default())),
            (_, Some(_)) => row.push("not in the old file".to_owned()),
        }
        row
    }
}

fn median(samples: &mut [f64]) -> f64 {
    let middle = samples.len() / 2;
    *samples.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Where the ratio of the medians lies, old to new.
fn interval(old: &[f64], new: &[f64]) -> [f64; 2] {
    let mut random = Random(SEED);
    let mut drawn = Vec::new();
    let mut median_of = |samples: &[f64]| {
        drawn.clear();
        drawn.extend((0..samples.len()).map(|_| samples[random.below(samples.len()) as usize]));
        median(&mut drawn)
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| median_of(old) / median_of(new)).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((RESAMPLES - 1) as f64 * share).round() as usize];
    [at(TAIL), at(1.0 - TAIL)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers around a centre, evenly from 90 % to 110 % of it.
    fn around(center: f64, n: usize, seed: u64) -> Vec<f64> {
        let mut random = Random(seed);
        (0..n).map(|_| center * (0.9 + 0.2 * f64::from(random.below(1 << 20)) / f64::from(1 << 20))).collect()
    }

    #[test]
    fn the_interval_holds_the_ratio_and_narrows() {
        let mut width = f64::INFINITY;
        for n in [20, 200, 1000] {
            let [low, high] = interval(&around(2.0, n, 1), &around(1.0, n, 2));
            assert!(low < 2.0 && 2.0 < high, "{low} {high}");
            assert!(high - low < width);
            width = high - low;
        }
        // What does not vary has no width.
        assert_eq!(interval(&[3.0; 5], &[2.0; 7]), [1.5, 1.5]);
        // The same thing twice: 1 is inside.
        let [low, high] = interval(&around(1.0, 300, 3), &around(1.0, 300, 4));
        assert!(low <= 1.0 && 1.0 <= high);
    }
}
