//! `selfattn profile`: its table, its trace and its picture fit each other. What the times are is for a quiet machine to say.

use std::fs;

use serde_json::Value;

use crate::support::{Tiny, fails, files, json, stdout};

const TEXT: &str = "i love apple juice";
const QUICK: [&str; 4] = ["profile", TEXT, "--seconds", "0.05"];

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field}: {value}"))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[test]
fn the_json_fits_itself() {
    let tiny = Tiny::new();
    for threads in ["1", "2"] {
        let report = json(&tiny.run(&[&QUICK[..], &["--json", "--threads", threads, "--level", "scalar"]].concat()));
        assert_eq!((report["tokens"].as_u64(), report["dtype"].as_str()), (Some(6), Some("f32")));
        assert_eq!((report["threads"].to_string().as_str(), report["level"].as_str()), (threads, Some("scalar")));
        let (wall, peak) = (number(&report, "wall_us"), number(&report["roofs"], "peak_gflops"));
        let memory = number(&report["roofs"], "memory_gbs");
        let operations = report["operations"].as_array().unwrap();
        let sum: f64 = operations.iter().map(|row| number(row, "time_us")).sum();
        assert!(sum <= wall, "operations do not overlap: {sum} of {wall}");
        assert!(close(sum / wall * 100.0, number(&report, "covered_percent")));
        for row in operations {
            let (gflops, gbs) = (number(row, "gflops"), number(row, "gbs"));
            assert!(close(number(row, "share_percent"), number(row, "time_us") / wall * 100.0));
            assert!(close(number(row, "peak_percent"), gflops / peak * 100.0));
            assert!(close(number(row, "memory_percent"), gbs / memory * 100.0));
            assert!(close(number(row, "intensity") * gbs, gflops), "{row}");
            let expected = match (number(row, "intensity") >= peak / memory, gbs > memory) {
                (true, _) => "compute",
                (false, true) => "cache",
                (false, false) => "memory",
            };
            assert_eq!(row["roof"], expected);
        }
        // The tiny model: 2 layers of hidden size 36, inner 70, 3 heads of 12.
        let calls = |name: &str, shape: &str| {
            let row = operations.iter().find(|row| row["operation"] == name && row["shape"] == shape);
            row.unwrap_or_else(|| panic!("no {name} {shape}"))["calls"].as_u64().unwrap()
        };
        assert_eq!(calls("matmul packed", "6x36x36"), 8);
        assert_eq!([calls("matmul packed", "6x36x70"), calls("matmul packed", "6x70x36")], [2, 2]);
        assert_eq!([calls("attention", "6x6x3x12"), calls("layer norm", "6x36"), calls("embed", "6x36x3")], [2, 5, 1]);
        let layers = report["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for layer in layers {
            let parts = ["self_attention_us", "feed_forward_us", "norms_us"].map(|field| number(layer, field));
            assert!(parts.iter().all(|&part| part > 0.0) && parts.iter().sum::<f64>() <= number(layer, "time_us"));
        }
    }
}

#[test]
fn the_table_says_on_what() {
    let tiny = Tiny::new();
    let table = stdout(&tiny.run(&[&QUICK[..], &["--threads", "1"]].concat()));
    for part in [
        "6 tokens",
        "1 thread",
        "FMA peak",
        "reading from memory",
        "of that, spans cost",
        "matmul packed",
        "FLOP/byte",
        "% of peak",
        "self-attention",
        "feed-forward",
    ] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
}

/// What a viewer relies on: complete events, each within the one around it on its thread.
#[test]
fn the_trace_is_closed_and_nested() {
    let tiny = Tiny::new();
    stdout(&tiny.run(&[&QUICK[..], &["--trace", "trace.json", "--threads", "2"]].concat()));
    let trace: Value = serde_json::from_slice(&fs::read(tiny.path("trace.json")).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let (meta, spans): (Vec<_>, Vec<_>) = events.iter().partition(|event| event["ph"] == "M");
    assert!(spans.iter().all(|event| event["ph"] == "X" && event["pid"] == 1), "every span is closed");
    let mut threads: Vec<u64> = spans.iter().map(|event| event["tid"].as_u64().unwrap()).collect();
    threads.sort_unstable();
    threads.dedup();
    let named: Vec<u64> = meta
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| event["tid"].as_u64().unwrap())
        .collect();
    assert_eq!(named, threads, "a track for each thread");
    for thread in threads {
        let on_thread = spans.iter().filter(|event| event["tid"] == thread);
        // In nanoseconds, whole ones.
        let mut times: Vec<[i64; 2]> = on_thread
            .map(|event| {
                let [start, length] = ["ts", "dur"].map(|field| (number(event, field) * 1e3).round() as i64);
                [start, start + length]
            })
            .collect();
        times.sort_by_key(|&[start, end]| (start, -end));
        let mut open: Vec<i64> = Vec::new();
        for [start, end] in times {
            open.retain(|&outer| outer > start);
            assert!(start <= end && open.last().is_none_or(|&outer| end <= outer), "{start} to {end} in {open:?}");
            open.push(end);
        }
    }
    let product = spans.iter().find(|event| event["name"] == "matmul packed").unwrap();
    assert_eq!(product["args"]["shape"], serde_json::json!([6, 36, 36]));
    assert_eq!(product["args"]["flops"], 2 * 6 * 36 * 36);
    assert_eq!((&product["args"]["layer"], &product["args"]["types"]), (&0.into(), &"f32 f32".into()));
    let layers = spans.iter().filter(|event| event["name"] == "layer");
    assert_eq!(layers.map(|event| event["args"]["layer"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1)]);
}

#[test]
fn the_roofline_is_a_picture() {
    let tiny = Tiny::new();
    stdout(&tiny.run(&[&QUICK[..], &["--roofline", "roofs.svg"]].concat()));
    let svg = fs::read_to_string(tiny.path("roofs.svg")).unwrap();
    for part in ["FMA peak", "memory", "GB/s", "matmul packed 6x36x70", "attention 6x6x3x12", "FLOPs for each byte"] {
        assert!(svg.contains(part), "{part}");
    }
    // Each point twice: in the plot and in the list.
    assert!(svg.matches("<circle").count() >= 10 && svg.matches("<circle").count().is_multiple_of(2));
    stdout(&tiny.run(&[&QUICK[..], &["--roofline", "roofs.png"]].concat()));
    assert!(fs::read(tiny.path("roofs.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn what_it_refuses() {
    let tiny = Tiny::new();
    let before = files(&tiny.path("."));
    fails(&tiny.run(&["profile", TEXT, "--seconds", "0"]), 2, &["--seconds 0"]);
    fails(&tiny.run(&["profile", TEXT, "--roofline", "roofs.txt"]), 2, &["--roofline roofs.txt", ".svg"]);
    fails(&tiny.run(&["profile", TEXT, "--roofline", "a.svg", "--trace", "a.svg"]), 2, &["a.svg is named twice"]);
    fails(&tiny.run(&["profile", TEXT, "--trace", "no/trace.json"]), 1, &["cannot write to no/trace.json"]);
    assert_eq!(files(&tiny.path(".")), before, "nothing is left behind");
}
