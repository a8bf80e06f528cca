//! `selfattn embed`: vectors in order, whatever the lengths, threads and levels.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use selfattn::Level;

use crate::support::{CLS, SEP, Tiny, floats, json_lines, stdout};

const TEXTS: [&str; 5] =
    ["I love apple juice", "", "the bank of the river", "minecraft", "I love the apple. It lit the lamp,"];

#[test]
fn one_object_a_text_in_order() {
    let tiny = Tiny::new();
    let rows = json_lines(&tiny.run(&[&["embed"], &TEXTS[..]].concat()));
    assert_eq!(rows.len(), TEXTS.len());
    for (row, text) in rows.iter().zip(TEXTS) {
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["embedding", "ids", "text"]);
        assert_eq!(row["text"], text);
        let ids = row["ids"].as_array().unwrap();
        assert_eq!((&ids[0], ids.last().unwrap()), (&CLS.into(), &SEP.into()));
        let norm: f64 = floats(&row["embedding"]).iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
    assert_eq!(rows[1]["ids"].as_array().unwrap().len(), 2, "an empty text is [CLS] [SEP]");
    // The file says 8, with padding: neither is the model's.
    assert_eq!(rows[4]["ids"].as_array().unwrap().len(), 12);
}

#[test]
fn the_same_vectors_alone_and_together_and_on_any_number_of_threads() {
    let tiny = Tiny::new();
    let together = stdout(&tiny.run(&[&["embed", "--threads", "1"], &TEXTS[..]].concat()));
    let threaded = stdout(&tiny.run(&[&["embed", "--threads", "3"], &TEXTS[..]].concat()));
    assert_eq!(together, threaded);
    let alone: String = TEXTS.iter().map(|text| stdout(&tiny.run(&["embed", text]))).collect();
    assert_eq!(together, alone);
}

#[test]
fn every_level_gives_the_same_within_rounding() {
    let tiny = Tiny::new();
    let vectors = |level: &str| -> Vec<f64> {
        let rows = json_lines(&tiny.run(&[&["embed", "--level", level], &TEXTS[..]].concat()));
        rows.iter().flat_map(|row| floats(&row["embedding"])).collect()
    };
    let scalar = vectors("scalar");
    for level in Level::available() {
        let worst = vectors(level.name()).iter().zip(&scalar).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 2e-6, "{level}: {worst}");
    }
}

#[test]
fn more_texts_than_a_chunk_keep_their_order() {
    let tiny = Tiny::new();
    let texts: Vec<String> = (0..2500).map(|i| format!("apple {}", "juice ".repeat(i % 17))).collect();
    let rows = json_lines(&tiny.run_with(&["embed"], texts.join("\n").as_bytes()));
    assert_eq!(rows.len(), texts.len());
    for (i, (row, text)) in rows.iter().zip(&texts).enumerate() {
        assert_eq!(row["text"], *text);
        assert_eq!(row["ids"].as_array().unwrap().len(), 3 + i % 17);
        assert_eq!(row["embedding"], rows[i % 17]["embedding"], "line {i}");
    }
}

#[test]
fn lines_that_trickle_in_are_answered_as_they_come() {
    let tiny = Tiny::new();
    let mut command = tiny.command(&["embed", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for text in ["apple", "juice"] {
        writeln!(stdin, "{text}").unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert!(answer.starts_with(&format!(r#"{{"text":"{text}""#)), "{answer}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let tiny = Tiny::new();
    let mut command = tiny.command(&["embed", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    // An endless input: it ends because nobody reads the answers.
    let writer = std::thread::spawn(move || while stdin.write_all(b"I love apple juice\n").is_ok() {});
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
