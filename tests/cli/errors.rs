//! What is wrong, said with what to do, and the exit codes: 1 it could not be done, 2 the command line makes no sense.

use std::fs;

use selfattn::Level;

use crate::common::model::{Model, Sizes, Spelling};
use crate::support::{Tiny, fails, program, run, stdout};

#[test]
fn command_lines_that_make_no_sense() {
    let tiny = Tiny::new();
    let levels = Level::NAMES.join(", ");
    let cases: [(&[&str], &[&str]); 18] = [
        (&[], &["Usage"]),
        (&["embde"], &["embde", "embed"]),
        (&["embed", "--no-such-flag"], &["--no-such-flag"]),
        (&["embed", "apple", "--in", "file"], &["--in", "cannot be used"]),
        (&["embed", "apple", "--threads", "0"], &["--threads"]),
        (&["embed", "apple", "--level", "sse9"], &["sse9", &levels]),
        (&["embed", "apple", "--format", "npy"], &["--format npy needs --out FILE"]),
        (&["embed", "apple", "--max-tokens", "2"], &["--max-tokens 2", "2 special tokens"]),
        (&["embed", "apple", "--max-tokens", "33"], &["--max-tokens 33", "at most 32"]),
        (&["similar", " "], &["the query is empty"]),
        (&["explain", "apple", "--layer", "2"], &["--layer 2", "0 to 1"]),
        (&["explain", "apple", "--head", "3"], &["--head 3", "0 to 2"]),
        (&["explain", "apple", "--nth", "1"], &["--from"]),
        (&["bench", "--threads", "none"], &["none", "all"]),
        (&["bench", "--tokens", "0"], &["--tokens"]),
        (&["bench", "--batch", "9999", "--tokens", "16,99"], &["9999 texts of 16 tokens", "at most 131072"]),
        (&["bench", "--seconds", "1", "--repetitions", "3"], &["cannot be used with"]),
        (&["bench", "--compare", "old.json", "--output", "md"], &["cannot be used with"]),
    ];
    for (args, parts) in cases {
        fails(&tiny.run(args), 2, parts);
    }
}

#[test]
fn help_is_no_error_and_ends_with_examples() {
    for command in ["", "embed", "similar", "explain", "bench", "profile", "info"] {
        let args = [&[command, "--help"][usize::from(command.is_empty())..]].concat();
        let help = stdout(&run(program().args(&args), b""));
        let examples = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("no examples in {args:?}"));
        assert!(examples.starts_with("  selfattn "), "{examples}");
    }
    assert_eq!(stdout(&run(program().arg("--version"), b"")), format!("selfattn {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_model_that_is_not_there() {
    let tiny = Tiny::new();
    let embed = |model: &str| tiny.run(&["embed", "apple", "--model", model]);
    fails(&embed("nowhere"), 1, &["no model folder nowhere", "No such file", "scripts/get_minilm.py"]);
    fails(&embed("model/config.json"), 1, &["model/config.json is a file", "a model is a folder"]);
}

#[test]
fn a_file_of_the_model_that_is_not_there() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let tiny = Tiny::new();
        fs::remove_file(tiny.model().join(name)).unwrap();
        fails(&tiny.run(&["embed", "apple"]), 1, &[&format!("{name} is missing"), "a model folder has config.json"]);
    }
}

#[test]
fn files_that_are_something_else() {
    for (name, parts) in [
        ("config.json", &["config.json", "not valid JSON"][..]),
        ("tokenizer.json", &["tokenizer.json", "not a tokenizer"]),
        ("model.safetensors", &["model.safetensors is damaged, or no safetensors file", "get it again"]),
    ] {
        for content in [&b""[..], b"<html>404 not found</html>"] {
            let tiny = Tiny::new();
            tiny.write(&format!("model/{name}"), content);
            fails(&tiny.run(&["embed", "apple"]), 1, parts);
        }
    }
}

#[test]
fn a_weight_file_that_is_cut_off() {
    let tiny = Tiny::new();
    let path = tiny.model().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in [7, 8, 100, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        fails(&tiny.run(&["embed", "apple"]), 1, &["model.safetensors is damaged"]);
    }
}

#[test]
fn more_layers_than_memory_has_room_for() {
    let tiny = Tiny::new();
    let config = fs::read_to_string(tiny.model().join("config.json")).unwrap();
    let layers = r#""num_hidden_layers": 100000000000000000"#;
    tiny.write("model/config.json", config.replace(r#""num_hidden_layers": 2"#, layers).as_bytes());
    fails(&tiny.run(&["embed", "apple"]), 1, &["config.json", "num_hidden_layers"]);
}

#[test]
fn another_kind_of_model() {
    let tiny = Tiny::new();
    let config = fs::read_to_string(tiny.model().join("config.json")).unwrap();
    tiny.write("model/config.json", config.replace(r#""bert""#, r#""gpt2""#).as_bytes());
    fails(&tiny.run(&["embed", "apple"]), 1, &["config.json", "model_type", "bert, distilbert, roberta"]);
}

#[test]
fn weights_and_configuration_of_two_models() {
    let tiny = Tiny::new();
    let config = fs::read_to_string(tiny.model().join("config.json")).unwrap();
    let parts = ["model.safetensors does not fit the config.json beside it", "get both again"];
    tiny.write(
        "model/config.json",
        config.replace(r#""num_hidden_layers": 2"#, r#""num_hidden_layers": 3"#).as_bytes(),
    );
    fails(&tiny.run(&["embed", "apple"]), 1, &[&parts[..], &["encoder.layer.2."]].concat());
    tiny.write(
        "model/config.json",
        config.replace(r#""num_hidden_layers": 2"#, r#""num_hidden_layers": 1"#).as_bytes(),
    );
    fails(&tiny.run(&["embed", "apple"]), 1, &[&parts[..], &["no place", "encoder.layer.1."]].concat());
    let longer = config.replace(r#""max_position_embeddings": 32"#, r#""max_position_embeddings": 512"#);
    tiny.write("model/config.json", longer.as_bytes());
    fails(&tiny.run(&["embed", "apple"]), 1, &[&parts[..], &["position_embeddings"]].concat());
}

#[test]
fn a_tokenizer_of_another_model() {
    let tiny = Tiny::new();
    let sizes = Sizes { vocab: 5, positions: 32, ..Sizes::default() };
    let small = Model::random(Spelling::Bert, sizes, 1);
    tiny.write("model/config.json", small.config_json().as_bytes());
    tiny.write("model/model.safetensors", &small.safetensors());
    fails(&tiny.run(&["embed", "apple juice"]), 1, &["the vocabulary has 5 entries", "tokenizer.json"]);
}

#[test]
fn a_weight_file_whose_data_is_not_aligned_is_read_all_the_same() {
    let tiny = Tiny::new();
    let expected = stdout(&tiny.run(&["embed", "apple juice"]));
    let path = tiny.model().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let length = u64::from_le_bytes(*length);
    let (header, data) = rest.split_at(length as usize);
    for padding in 1..8 {
        let length = (length + padding as u64).to_le_bytes();
        fs::write(&path, [&length, header, &b"       "[..padding], data].concat()).unwrap();
        assert_eq!(stdout(&tiny.run(&["embed", "apple juice"])), expected, "{padding}");
    }
}

#[test]
fn words_that_the_text_does_not_have() {
    let tiny = Tiny::new();
    fails(&tiny.run(&["explain", "I love juice", "--from", "it"]), 1, &["\"it\" is not in the text", "I, love, juice"]);
    fails(&tiny.run(&["explain", "it is it", "--from", "it", "--nth", "3"]), 1, &["--nth 3", "occurs 2 times"]);
    fails(&tiny.run(&["explain", " . , "]), 1, &["no word in the text"]);
    fails(&tiny.run_with(&["explain"], b""), 1, &["no word in the text"]);
}
