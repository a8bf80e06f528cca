//! The model inside the program: it is there without a file, it tells senses, and it says what it does not know.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::{Tiny, fails, floats, json, json_lines, program, run, stderr, stdout};

/// The program without a model given, in a folder without one.
fn alone(args: &[&str]) -> Output {
    let empty = tempfile::tempdir().unwrap();
    run(program().args(args).current_dir(empty.path()), b"")
}

fn explain(text: &str) -> Value {
    json(&alone(&["explain", text, "--json"]))
}

#[track_caller]
fn sense<'r>(report: &'r Value, word: &str) -> &'r Value {
    let senses = report["senses"].as_array().unwrap();
    senses.iter().find(|sense| sense["word"] == word).unwrap_or_else(|| panic!("{word}: {senses:?}"))
}

#[test]
fn it_is_the_default_and_any_other_goes_before() {
    let rows = json_lines(&alone(&["embed", "I love apple juice"]));
    assert_eq!(floats(&rows[0]["embedding"]).len(), 96);
    let tiny = Tiny::new();
    assert_eq!(floats(&json_lines(&tiny.run(&["embed", "apple"]))[0]["embedding"]).len(), 36);
    let asked = run(tiny.command(&["embed", "apple", "--model", "model"]).env_remove("SELFATTN_MODEL"), b"");
    assert_eq!(floats(&json_lines(&asked)[0]["embedding"]).len(), 36);
}

#[test]
fn apple_is_what_its_sentence_makes_of_it() {
    let (watch, juice) = (explain("I love Apple Watch"), explain("I love apple juice"));
    let (company, fruit) = (sense(&watch, "Apple"), sense(&juice, "apple"));
    for (found, expected, decided) in [(company, "company", "Watch"), (fruit, "fruit", "juice")] {
        assert_eq!(found["sense"], expected);
        assert!(found["probability"].as_f64().unwrap() > 0.8, "{found}");
        assert_eq!(found["decided_by"]["word"], decided, "{found}");
        let without = found["decided_by"]["probability_without"].as_f64().unwrap();
        assert!(without < found["probability"].as_f64().unwrap(), "{found}");
    }
    // Alone the word is one thing, whatever the sentence.
    let without = |found: &Value, name: &str| {
        let senses = found["senses"].as_array().unwrap();
        senses.iter().find(|share| share["sense"] == name).unwrap()["without_attention"].as_f64().unwrap()
    };
    for name in ["company", "fruit"] {
        assert_eq!(without(company, name).to_bits(), without(fruit, name).to_bits());
    }
}

#[test]
fn a_word_is_decided_from_more_than_a_hundred_words_away() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/far.txt");
    let report = explain(fs::read_to_string(path).unwrap().trim());
    let found = sense(&report, "bank");
    assert_eq!(found["sense"], "river side", "{found}");
    assert_eq!(found["decided_by"]["word"], "fisherman", "{found}");
    assert!(found["decided_by"]["distance"].as_i64().unwrap() < -100, "{found}");
}

#[test]
fn the_story_is_told_in_words() {
    let text = stdout(&alone(&["explain", "I love Apple Watch"]));
    for part in
        ["For \"Apple\": scores", "softmax", "new Apple = ", "looks hardest at", "(e) ", "company", "without attention"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn unknown_words_are_said_in_every_command() {
    let text = "I love zyzzyva juice and Quux";
    assert!(stdout(&alone(&["explain", text])).contains("Not in the model's vocabulary: zyzzyva, Quux\n"));
    let notice = "has words that the model does not know: zyzzyva, Quux\n";
    assert_eq!(stderr(&alone(&["embed", "apple", text])), format!("selfattn: text 2 {notice}"));
    let tiny = Tiny::new();
    let lines = tiny.write("lines.txt", b"apple\n");
    let lines = lines.to_str().unwrap();
    assert_eq!(stderr(&alone(&["similar", text, "--in", lines])), format!("selfattn: the query {notice}"));
}

#[test]
fn a_model_that_labels_nothing_tells_no_senses() {
    let tiny = Tiny::new();
    assert_eq!(json(&tiny.run(&["explain", "apple", "--json"]))["senses"], Value::Null);
    assert!(!stdout(&tiny.run(&["explain", "apple"])).contains("(e) "));
}

#[test]
fn labels_and_classifier_must_be_of_one_model() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("model");
    let tiny = Tiny::new();
    for name in ["tokenizer.json", "model.safetensors"] {
        fs::copy(model.join(name), tiny.model().join(name)).unwrap();
    }
    let mut config: Value = serde_json::from_slice(&fs::read(model.join("config.json")).unwrap()).unwrap();
    let labels = config["id2label"].as_object_mut().unwrap();
    let last = (labels.len() - 1).to_string();
    labels.remove(&last);
    tiny.write("model/config.json", config.to_string().as_bytes());
    fails(&tiny.run(&["explain", "apple"]), 1, &["model.safetensors does not fit", "labels, id2label"]);
}
