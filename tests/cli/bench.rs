//! `selfattn bench`: its figures fit each other. How good they are is for a quiet machine to say.

use selfattn::Level;

use crate::support::{Tiny, json, stdout};

#[test]
fn the_json_has_what_it_must() {
    let tiny = Tiny::new();
    let rows = json(&tiny.run(&["bench", "--json", "--seconds", "0.05", "--threads", "1,2", "--level", "all"]));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), Level::NAMES.len() * 2 * 3);
    for row in rows {
        for field in
            ["test", "batch", "tokens", "threads", "level", "dtype", "model", "cpu", "not_run", "mean_ms", "sd_ms"]
        {
            assert!(row.get(field).is_some(), "{field}: {row}");
        }
        let has_level = Level::from_name(row["level"].as_str().unwrap()).is_ok();
        // The tiny model takes 32 tokens.
        if row["tokens"] == 128 || !has_level {
            assert!(row["not_run"].is_string() && row["mean_ms"].is_null() && row["gflops"].is_null(), "{row}");
            continue;
        }
        let number = |field: &str| row[field].as_f64().unwrap();
        assert_eq!((row["test"].as_str(), row["dtype"].as_str()), (Some("1x16"), Some("f32")));
        assert!(number("min_ms") > 0.0 && number("min_ms") <= number("mean_ms") && number("repetitions") >= 3.0);
        assert!((number("sentences_per_s") * number("mean_ms") / 1e3 - 1.0).abs() < 1e-9);
        assert!((number("gflops") / number("peak_gflops") * 100.0 - number("peak_percent")).abs() < 1e-9);
    }
}

#[test]
fn the_table_says_on_what() {
    let tiny = Tiny::new();
    let table = stdout(&tiny.run(&["bench", "--seconds", "0.05", "--threads", "1", "--level", "scalar"]));
    for part in ["model, f32 weights", "FMA peak of one core: scalar", "GFLOP/s", "% of peak", "1x16", "not run"] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
}
