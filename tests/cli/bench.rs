//! `selfattn bench`: its figures fit each other. How good they are is for a quiet machine to say.

use selfattn::Level;
use serde_json::Value;

use crate::support::{Tiny, fails, json, json_lines, stdout};

#[test]
fn the_json_has_what_it_must() {
    let tiny = Tiny::new();
    let args = ["bench", "--output", "json", "--seconds", "0.05", "--threads", "1,2", "--level", "all"];
    let rows = json(&tiny.run(&args));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), Level::NAMES.len() * 2 * 3);
    for row in rows {
        for field in [
            "test",
            "batch",
            "tokens",
            "threads",
            "level",
            "dtype",
            "model",
            "cpu",
            "cores",
            "load_average",
            "not_run",
            "mean_ms",
            "sd_ms",
            "memory_gbs",
            "samples_ms",
        ] {
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
        assert!(number("memory_gbs") > 0.0);
        let samples = row["samples_ms"].as_array().unwrap().len();
        assert!(samples <= 1000 && samples as f64 <= number("repetitions"));
    }
}

#[test]
fn the_table_says_on_what() {
    let tiny = Tiny::new();
    let table = stdout(&tiny.run(&["bench", "--seconds", "0.05", "--threads", "1", "--level", "scalar"]));
    for part in [
        "model, f32 weights",
        "cores",
        "FMA peak of one core: scalar",
        "reading from memory",
        "GB/s on 1",
        "GFLOP/s",
        "% of peak",
        "1x16",
        "not run",
    ] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
}

#[test]
fn tests_are_the_users_to_choose() {
    let tiny = Tiny::new();
    let run = |more: &[&str]| {
        let quick = ["bench", "--repetitions", "4", "--threads", "1", "--level", "scalar", "--output", "jsonl"];
        json_lines(&tiny.run(&[&quick[..], more].concat()))
    };
    let names = |rows: &[Value]| rows.iter().map(|row| row["test"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let rows = run(&["--tokens", "3,8", "--batch", "1,2"]);
    assert_eq!(names(&rows), ["1x3", "1x8", "2x3", "2x8"]);
    assert!(rows.iter().all(|row| row["repetitions"] == 4 && row["samples_ms"].as_array().unwrap().len() == 4));
    assert_eq!(names(&run(&["--tokens", "5"])), ["1x5"]);
    assert_eq!(names(&run(&["--batch", "2"])), ["2x128"]);
}

#[test]
fn every_output_has_the_same_rows() {
    let tiny = Tiny::new();
    let run = |output: &str| {
        let args = ["bench", "--repetitions", "2", "--threads", "1", "--tokens", "4,6,999", "--output", output];
        stdout(&tiny.run(&args))
    };
    let markdown = run("md");
    let lines: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(lines.len(), 2 + 3, "{markdown}");
    assert!(lines.iter().all(|line| line.matches('|').count() == 10), "{markdown}");
    assert!(lines[1].starts_with("| --- |") && lines[4].contains("not run"), "{markdown}");
    let csv = run("csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 3);
    let column = lines[0].split(',').position(|name| name == "test").unwrap();
    assert!(!lines[0].contains("samples_ms"));
    let tests: Vec<_> = lines[1..].iter().map(|line| line.split(',').nth(column).unwrap().to_owned()).collect();
    // Columns before the test have no commas in them.
    assert_eq!(tests, ["1x4", "1x6", "1x999"], "{csv}");
}

#[test]
fn an_old_run_is_compared_with() {
    let tiny = Tiny::new();
    let args = ["bench", "--repetitions", "5", "--threads", "1", "--level", "scalar", "--tokens", "4,8"];
    let mut old = json(&tiny.run(&[&args[..], &["--output", "json"]].concat()));
    // Far slower, and far faster: whatever the machine does.
    let samples = |ms: f64| serde_json::json!([ms, ms, ms]);
    old[0]["samples_ms"] = samples(1e7);
    old[1]["samples_ms"] = samples(1e-7);
    let lines: Vec<String> = old.as_array().unwrap().iter().map(|row| row.to_string() + "\n").collect();
    tiny.write("old.json", old.to_string().as_bytes());
    tiny.write("old.jsonl", lines.concat().as_bytes());
    for name in ["old.json", "old.jsonl"] {
        let table = stdout(&tiny.run(&[&args[..], &["--compare", name]].concat()));
        let line = |test: &str| table.lines().find(|line| line.trim_start().starts_with(test)).unwrap().to_owned();
        assert!(line("1x4").ends_with("faster") && line("1x8").ends_with("slower"), "{table}");
        assert!(table.contains("bootstrap"));
    }
    let table =
        stdout(&tiny.run(&["bench", "--repetitions", "2", "--threads", "1", "--tokens", "5", "--compare", "old.json"]));
    assert!(table.contains("not in the old file"), "{table}");
    tiny.write("wrong.json", b"{}");
    fails(&tiny.run(&["bench", "--compare", "wrong.json"]), 1, &["wrong.json is not what", "--output json"]);
    fails(&tiny.run(&["bench", "--compare", "nowhere.json"]), 1, &["cannot read nowhere.json"]);
}
