//! `selfattn explain --html`: the numbers are the report's, no text breaks the page, and it loads nothing.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::support::{Tiny, floats, json, stdout};

const TEXT: &str = "I love minecraft, it lit the lamps.";

fn page(tiny: &Tiny, args: &[&str]) -> String {
    stdout(&tiny.run(&[&["explain", "--html", "page.html"], args].concat()));
    fs::read_to_string(tiny.path("page.html")).unwrap()
}

/// What the scripts of the page read.
fn data(page: &str) -> Value {
    let start = "<script id=\"data\" type=\"application/json\">";
    let json = page.split_once(start).unwrap().1.split_once("</script>").unwrap().0;
    serde_json::from_str(json).unwrap()
}

/// Packed numbers as the page's scripts unpack them.
fn unpack(packed: &Value) -> Vec<f64> {
    let (low, high) = (packed["low"].as_f64().unwrap(), packed["high"].as_f64().unwrap());
    let bytes = BASE64_STANDARD.decode(packed["data"].as_str().unwrap()).unwrap();
    let steps = bytes.chunks_exact(2).map(|x| f64::from(u16::from_le_bytes([x[0], x[1]])));
    steps.map(|x| low + (high - low) / 65535.0 * x).collect()
}

fn rows(matrix: &Value) -> Vec<f64> {
    matrix.as_array().unwrap().iter().flat_map(floats).collect()
}

#[track_caller]
fn near(got: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= bound, "{got} for {expected}");
    }
}

#[test]
fn the_numbers_are_those_of_the_json() {
    let tiny = Tiny::new();
    let args = [TEXT, "--near", "money,lamp", "--layer", "0"];
    let report = json(&tiny.run(&[&["explain", "--json"], &args[..]].concat()));
    let data = data(&page(&tiny, &args));
    let span = data["similarity"]["high"].as_f64().unwrap() - data["similarity"]["low"].as_f64().unwrap();
    near(&unpack(&data["similarity"]), &rows(&report["similarity"]), span / 131_070.0 + 1e-6);
    let bound = 1.0 / 131_070.0 + 1e-7;
    near(&unpack(&data["free"]), &rows(&report["parameter_free"]["weights"]), bound);

    let (attention, expected) = (&data["attention"], &report["attention"]);
    assert_eq!((&attention["layers"], &attention["heads"], &attention["layer"]), (&2.into(), &3.into(), &0.into()));
    assert_eq!((&attention["head"], &attention["kept"], &attention["columns"]), (&3.into(), &7.into(), &Value::Null));
    let (weights, rest) = (unpack(&attention["weights"]), unpack(&attention["rest"]));
    assert_eq!((weights.len(), rest.len()), (2 * 4 * 49, 2 * 4 * 7));
    for head in expected["per_head"].as_array().unwrap() {
        let at = (4 * head["layer"].as_u64().unwrap() + head["head"].as_u64().unwrap()) as usize;
        near(&weights[at * 49..(at + 1) * 49], &rows(&head["weights"]), bound);
        near(&rest[at * 7..(at + 1) * 7], &floats(&head["rest"]), bound);
    }
    near(&weights[3 * 49..4 * 49], &rows(&expected["weights"]), bound);
    near(&rest[3 * 7..4 * 7], &floats(&expected["rest"]), bound);
    for (i, word) in data["words"].as_array().unwrap().iter().enumerate() {
        let expected = &report["contextual"]["words"][i];
        assert_eq!((&word["text"], &word["alone"]), (&expected["word"], &expected["alone"]));
        assert_eq!((&word["near"][0], &word["near"][1]), (&expected["before"], &expected["after"]));
    }
}

/// The cosines beside the vocabulary are those that `--near` gives for the same words.
#[test]
fn neighbours_are_the_nearest() {
    let tiny = Tiny::new();
    let found = data(&page(&tiny, &[TEXT]));
    let vocabulary = [
        "love", "apple", "juice", "watch", "it", "the", "bank", "of", "river", "money", "lamp", "lit", "story", "mine",
    ];
    assert_eq!(found["vocabulary"]["before"], vocabulary.len());
    assert_eq!(found["vocabulary"]["after"], vocabulary.len());
    let report = json(&tiny.run(&["explain", TEXT, "--json", "--near", &vocabulary.join(",")]));
    for (i, word) in found["words"].as_array().unwrap().iter().enumerate() {
        let own = word["text"].as_str().unwrap().to_lowercase();
        for state in ["before", "after"] {
            let cosines = floats(&report["contextual"]["words"][i][state]);
            let mut expected: Vec<(&str, f64)> =
                vocabulary.into_iter().zip(cosines).filter(|(word, _)| *word != own).collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1));
            let list = word["vocabulary"][state].as_array().unwrap();
            assert_eq!(list.len(), 6);
            for (got, expected) in list.iter().zip(expected) {
                assert_eq!(got[0], expected.0);
                assert!((got[1].as_f64().unwrap() - expected.1).abs() < 1e-5, "{got} for {expected:?}");
            }
        }
        let others: Vec<u64> =
            word["sentence"]["after"].as_array().unwrap().iter().map(|pair| pair[0].as_u64().unwrap()).collect();
        assert_eq!(others.len(), 6);
        assert!(!others.contains(&(i as u64)), "no word is its own neighbour");
    }
}

#[test]
fn the_text_is_there_whole_and_the_asked_word_is_chosen() {
    let tiny = Tiny::new();
    let text = "\u{201c}It lit\n\nthe lamp\u{201d}, it   lit the river...";
    let data = data(&page(&tiny, &[text, "--from", "it", "--nth", "1", "--layer", "0", "--head", "2"]));
    let word = |word: &Value| format!("{}{}", word["gap"].as_str().unwrap(), word["text"].as_str().unwrap());
    let words: String = data["words"].as_array().unwrap().iter().map(word).collect();
    assert_eq!(words + data["tail"].as_str().unwrap(), text);
    assert_eq!((&data["focus"], &data["left_out"]), (&0.into(), &0.into()));
    assert_eq!((&data["attention"]["layer"], &data["attention"]["head"]), (&0.into(), &2.into()));
}

#[test]
fn no_text_breaks_the_page() {
    let tiny = Tiny::new();
    let scripts = page(&tiny, &[TEXT]).matches("</script>").count();
    for text in [
        "lamp </script><script>alert(1)</script>",
        "lamp <!-- <script> --> ]]> </SCRIPT >",
        "lamp </title><img src=x onerror=alert(1)> & \"quoted\" 'single' \\u003c \u{2028}",
        "lamp שלום العالم 東京 👩‍👩‍👧 \u{202e}abc \u{1}\u{7}",
    ] {
        let page = page(&tiny, &[text, "--near", "</script><b>lamp"]);
        assert_eq!(page.matches("</script>").count(), scripts, "{text}");
        assert!(!page.contains("<script>alert") && !page.contains("<img") && !page.contains("<!--"), "{text}");
        assert_eq!(data(&page)["words"][0]["text"], "lamp");
    }
}

#[test]
fn it_loads_nothing() {
    let page = page(&Tiny::new(), &[TEXT]);
    assert!(page.contains("default-src 'none'"));
    for part in ["src=", "@import", "url(", "fetch(", "XMLHttpRequest", "https://", "import("] {
        assert!(!page.contains(part), "{part}");
    }
    let links: Vec<&str> = page.split("href=").skip(1).map(|part| &part[..8]).collect();
    assert_eq!(links, ["\"data:,\""]);
    // The name of SVG, which no browser asks for.
    assert_eq!(page.replace("http://www.w3.org/2000/svg", "").matches("http://").count(), 0);
}
