//! The real model: the reference's ids and vectors, the lecture's example, a story of 400 words.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{floats, json, json_lines, program, run};

/// Absolute error of a sentence vector's element with f32 weights; the reference library's own f32 run errs by 1.7e-7.
const BOUND: f64 = 5e-7;

fn model() -> PathBuf {
    match std::env::var_os("SELFATTN_MODEL") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2"),
    }
}

/// A float64 run of the reference implementation.
fn goldens() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/minilm.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str::<Value>(&text).unwrap()["rows"].as_array().unwrap().clone()
}

fn selfattn(args: &[&str]) -> std::process::Output {
    run(program().args(args).env("SELFATTN_MODEL", model()), b"")
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn ids_and_vectors_are_the_reference_s() {
    let goldens = goldens();
    let texts: Vec<&str> = goldens.iter().map(|row| row["text"].as_str().unwrap()).collect();
    for level in selfattn::Level::available() {
        let rows = json_lines(&selfattn(&[&["embed", "--level", level.name(), "--"], &texts[..]].concat()));
        assert_eq!(rows.len(), goldens.len());
        for (row, golden) in rows.iter().zip(&goldens) {
            assert_eq!((&row["text"], &row["ids"]), (&golden["text"], &golden["ids"]));
            let errors =
                floats(&row["embedding"]).into_iter().zip(floats(&golden["embedding"])).map(|(a, b)| (a - b).abs());
            let worst = errors.fold(0.0, f64::max);
            assert!(worst <= BOUND, "{level}, {}: {worst}", row["text"]);
        }
    }
}

/// Mean nearness of a word to smart, technology, gadget, less that to juice, fruit: before and after.
fn towards_technology(text: &str, word: &str) -> [f64; 2] {
    let report = json(&selfattn(&["explain", text, "--json", "--near", "juice,fruit,smart,technology,gadget"]));
    let words = report["contextual"]["words"].as_array().unwrap();
    let word = words.iter().find(|other| other["word"] == word).unwrap();
    ["before", "after"].map(|when| {
        let near = floats(&word[when]);
        near[2..].iter().sum::<f64>() / 3.0 - near[..2].iter().sum::<f64>() / 2.0
    })
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn apple_is_what_its_sentence_makes_of_it() {
    let [before, watch] = towards_technology("I love Apple Watch", "Apple");
    let [same, juice] = towards_technology("I love apple juice", "apple");
    assert_eq!(before, same, "before any sentence a word is one thing");
    for (got, expected) in [(before, -0.17), (watch, -0.08), (juice, -0.43)] {
        assert!((got - expected).abs() < 0.01, "{got} for {expected}");
    }
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn a_story_of_400_words_goes_through_whole() {
    let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/story.txt");
    let story = story.to_str().unwrap();
    let report = json(&selfattn(&["explain", "--in", story, "--no-truncate", "--from", "it", "--json"]));
    let words = report["words"].as_array().unwrap().len();
    assert!(words >= 400, "{words}");
    let from = &report["from"];
    assert_eq!(from["index"].as_u64().unwrap() as usize, words - 1, "\"it\" is the last word");
    let layers = from["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 6);
    let farthest = layers.iter().map(|layer| layer["hardest"]["distance"].as_i64().unwrap()).min().unwrap();
    assert!(farthest < -300, "some head looks back to the beginning, where the word is decided: {farthest}");

    let output = selfattn(&["explain", "--in", story, "--from", "it"]);
    let text = crate::support::stdout(&output);
    assert_eq!(crate::support::stderr(&output), "", "nothing was cut");
    assert!(text.lines().count() < 100 && !text.contains('█'), "of a long text only the strongest is listed");
}
