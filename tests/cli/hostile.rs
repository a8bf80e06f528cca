//! Model files that are damaged in every way there is a word for: exit code 1, the word, and nothing on standard output.

use std::fs;

use crate::common::damage::weight_files;
use crate::support::{Tiny, fails};

#[track_caller]
fn refused(tiny: &Tiny, parts: &[&str]) {
    let output = tiny.run(&["embed", "apple"]);
    fails(&output, 1, parts);
    assert!(output.stdout.is_empty());
}

#[test]
fn damaged_weight_files_are_refused_by_what_is_wrong() {
    let tiny = Tiny::new();
    for damage in weight_files() {
        tiny.write("model/model.safetensors", &damage.file);
        refused(&tiny, &["model.safetensors is damaged", damage.words, "get it again"]);
    }
}

#[test]
fn damaged_configurations_are_refused() {
    let tiny = Tiny::new();
    let config = fs::read_to_string(tiny.model().join("config.json")).unwrap();
    let hidden = r#""hidden_size": 36"#;
    assert!(config.contains(hidden), "{config}");
    for size in ["1e400", "-1", "18446744073709551616", "0", "null", "\"36\""] {
        tiny.write("model/config.json", config.replace(hidden, &format!(r#""hidden_size": {size}"#)).as_bytes());
        refused(&tiny, &["config.json"]);
    }
    let deep = format!(r#"{{"a":{}"#, "[".repeat(1_000_000));
    for text in [&b""[..], b"{\"\xff\":1}", format!("{config} x").as_bytes(), deep.as_bytes()] {
        tiny.write("model/config.json", text);
        refused(&tiny, &["config.json", "not valid JSON"]);
    }
}

#[test]
fn damaged_tokenizers_are_refused() {
    let tiny = Tiny::new();
    let deep = "[".repeat(1_000_000);
    for text in [&b""[..], b"{", b"\xff", b"{\"version\":1e400}", deep.as_bytes()] {
        tiny.write("model/tokenizer.json", text);
        refused(&tiny, &["tokenizer.json"]);
    }
}
