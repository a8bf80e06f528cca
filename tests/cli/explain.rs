//! `selfattn explain`: words, not pieces; weights that add up; everything in the JSON.

use serde_json::Value;

use crate::support::{Tiny, floats, json, stdout};

const TEXT: &str = "I love minecraft, it lit the lamps.";
const WORDS: [&str; 7] = ["I", "love", "minecraft", "it", "lit", "the", "lamps"];

fn explain(args: &[&str]) -> Value {
    json(&Tiny::new().run(&[&["explain", TEXT, "--json"], args].concat()))
}

fn square(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(floats).collect()
}

#[track_caller]
fn add_up(weights: &Value, rest: &[f64]) {
    let rows = square(weights);
    assert_eq!(rows.len(), WORDS.len());
    for (row, rest) in rows.iter().zip(rest) {
        assert_eq!(row.len(), WORDS.len());
        let sum = row.iter().sum::<f64>() + rest;
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

#[test]
fn words_are_whole_and_marks_are_none() {
    let report = explain(&[]);
    let words = report["words"].as_array().unwrap();
    let texts: Vec<&str> = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(texts, WORDS);
    assert_eq!(words[2]["pieces"], serde_json::json!(["mine", "##craft"]));
    assert_eq!(words[2]["tokens"], serde_json::json!([3, 4]));
    // The comma is token 5.
    assert_eq!(words[3]["tokens"], serde_json::json!([6]));
    assert!(words.iter().all(|word| word["known"] == true));
}

#[test]
fn weights_add_up_to_one() {
    let report = explain(&[]);
    add_up(&report["parameter_free"]["weights"], &[0.0; 7]);
    let attention = &report["attention"];
    assert_eq!((&attention["layer"], &attention["head"]), (&1.into(), &Value::Null));
    add_up(&attention["weights"], &floats(&attention["rest"]));
    let heads = attention["per_head"].as_array().unwrap();
    assert_eq!(heads.len(), 6);
    for head in heads {
        add_up(&head["weights"], &floats(&head["rest"]));
        let entropy = head["entropy_bits"].as_f64().unwrap();
        assert!((0.0..=(report["tokens"].as_f64().unwrap().log2() + 1e-5)).contains(&entropy), "{entropy}");
    }
}

#[test]
fn the_similarity_is_symmetric_and_the_free_form_its_softmax() {
    let report = explain(&[]);
    let (similarity, weights) = (square(&report["similarity"]), square(&report["parameter_free"]["weights"]));
    for i in 0..WORDS.len() {
        let sum: f64 = similarity[i].iter().map(|x| x.exp()).sum();
        for j in 0..WORDS.len() {
            assert!((similarity[i][j] - similarity[j][i]).abs() < 1e-4);
            assert!((weights[i][j] - similarity[i][j].exp() / sum).abs() < 1e-5);
        }
    }
}

#[test]
fn a_head_and_the_mean_of_a_layer() {
    let attention = explain(&["--layer", "0"])["attention"].clone();
    let heads: Vec<&Value> =
        attention["per_head"].as_array().unwrap().iter().filter(|head| head["layer"] == 0).collect();
    let mean = square(&attention["weights"]);
    let parts: Vec<Vec<Vec<f64>>> = heads.iter().map(|head| square(&head["weights"])).collect();
    for i in 0..WORDS.len() {
        for j in 0..WORDS.len() {
            let sum: f64 = parts.iter().map(|part| part[i][j]).sum();
            assert!((mean[i][j] - sum / 3.0).abs() < 1e-6);
        }
    }
    let one = explain(&["--layer", "0", "--head", "2"])["attention"].clone();
    assert_eq!((&one["layer"], &one["head"]), (&0.into(), &2.into()));
    assert_eq!(one["weights"], heads[2]["weights"]);
    let link = &heads[2]["strongest"];
    let (from, to) = (link["from"].as_u64().unwrap() as usize, link["to"].as_u64().unwrap() as usize);
    assert_eq!(link["from_word"], WORDS[from]);
    assert_eq!(link["to_word"], WORDS[to]);
    assert_eq!(link["weight"], one["weights"][from][to]);
}

#[test]
fn nearness_before_and_after() {
    let report = explain(&["--near", "lamps, money,love"]);
    let contextual = &report["contextual"];
    assert_eq!(contextual["near"], serde_json::json!(["lamps", "money", "love"]));
    let love = &contextual["words"][1];
    let (before, after, change) = (floats(&love["before"]), floats(&love["after"]), floats(&love["change"]));
    assert!((before[2] - 1.0).abs() < 1e-5, "the word itself, in the table: {}", before[2]);
    assert!((after[2] - love["alone"].as_f64().unwrap()).abs() < 1e-6, "the word itself, alone");
    assert!(after[2] < 0.999, "the sentence changed it");
    for i in 0..3 {
        assert!((before[i] + change[i] - after[i]).abs() < 1e-6);
    }
    // A word that is the whole text is the word alone.
    let alone = json(&Tiny::new().run(&["explain", "minecraft", "--json", "--near", "minecraft"]));
    assert!((floats(&alone["contextual"]["words"][0]["after"])[0] - 1.0).abs() < 1e-5);
}

#[test]
fn where_a_word_looks() {
    let tiny = Tiny::new();
    let text = "It lit the lamp, the lamp lit it";
    let report = json(&tiny.run(&["explain", text, "--json", "--from", "IT", "-k", "3"]));
    let from = &report["from"];
    let about = (&from["word"], &from["index"], &from["nth"], &from["occurrences"]);
    assert_eq!(about, (&"it".into(), &7.into(), &2.into(), &2.into()));
    let layers = from["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        let looks = layer["mean"].as_array().unwrap();
        assert_eq!(looks.len(), 3);
        let weights: Vec<f64> = looks.iter().map(|look| look["weight"].as_f64().unwrap()).collect();
        assert!(weights.is_sorted_by(|a, b| a >= b));
        for look in looks {
            assert_eq!(look["distance"].as_i64().unwrap(), look["index"].as_i64().unwrap() - 7);
            assert_ne!(look["index"], 7);
        }
        assert!(
            layer["hardest"]["weight"].as_f64().unwrap() >= weights[0] - 1e-6,
            "a head cannot look less than the mean"
        );
    }
    let first = json(&tiny.run(&["explain", text, "--json", "--from", "it", "--nth", "1"]));
    assert_eq!(first["from"]["index"], 0);
    assert_eq!(explain(&[])["from"], Value::Null);
}

#[test]
fn the_report_for_people() {
    let tiny = Tiny::new();
    let text = stdout(&tiny.run(&["explain", TEXT, "--near", "money,lamp", "--from", "it"]));
    for part in
        ["(a) ", "(b) ", "(c) ", "(d) ", "Where \"it\" looks", "mine ##craft", "entropy", "before", "after", "change"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colours where there is no terminal");
    assert!(text.contains('█'));
    assert!(!text.contains("##craft  "), "words, not pieces");
}

#[test]
fn a_long_text_is_not_shown_as_a_matrix() {
    let tiny = Tiny::new();
    let text = "a b c d e f g h j k l m n o p q r s t u v w x lamp";
    assert!(stdout(&tiny.run(&["explain", text])).contains('█'), "24 words");
    let args = ["explain", &format!("{text} lit"), "-k", "2", "--near", "money"];
    let listed = stdout(&tiny.run(&args));
    assert!(!listed.contains('█'), "{listed}");
    // (a), (b) and (c) list two links each, besides the line for each of the three heads.
    assert_eq!(listed.matches(" -> ").count(), 3 * 2 + 3, "{listed}");
    assert_eq!(listed.matches("  before  ").count(), 2, "{listed}");
    let report = json(&tiny.run(&[&args[..], &["--json"]].concat()));
    assert_eq!(square(&report["attention"]["weights"]).len(), 25, "the JSON has it whole");
    assert_eq!(report["attention"]["per_head"][0]["weights"], Value::Null, "but not for every head");
}

#[test]
fn unknown_words_are_said_to_be_unknown() {
    let tiny = Tiny::new();
    let report = json(&tiny.run(&["explain", "I love 東京", "--json"]));
    let known: Vec<bool> = report["words"].as_array().unwrap().iter().map(|word| word["known"] == true).collect();
    assert_eq!(known, [true, true, false, false]);
    assert!(stdout(&tiny.run(&["explain", "I love 東京"])).contains("Not in the model's vocabulary: 東, 京\n"));
}
