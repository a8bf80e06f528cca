//! A tiny model in a folder of its own, and the program run on it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::model::{Model, Sizes, Spelling};

pub const CLS: u64 = 2;
pub const SEP: u64 = 3;
/// Tokens the tiny model takes.
pub const POSITIONS: usize = 32;

const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
const WORDS: &str = "i love apple juice watch it the bank of river money . , lamp lit story ##craft mine ##s";

/// The program, started through the emulator that the environment variable `SELFATTN_TEST_RUNNER` names, if any.
pub fn program() -> Command {
    let runner = env::var("SELFATTN_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().chain([env!("CARGO_BIN_EXE_selfattn")]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    // What the caller's shell has set is no part of a test.
    command.env_remove("SELFATTN_MODEL").env_remove("SELFATTN_LEVEL");
    command
}

/// A folder with a model, and with whatever else a test puts there. Gone when dropped.
pub struct Tiny {
    dir: TempDir,
}

impl Tiny {
    pub fn new() -> Self {
        let tiny = Self { dir: tempfile::tempdir().unwrap() };
        let vocab = vocabulary();
        let sizes = Sizes { vocab: vocab.len(), positions: POSITIONS, ..Sizes::default() };
        let model = Model::random(Spelling::Bert, sizes, 7);
        fs::create_dir(tiny.path("model")).unwrap();
        tiny.write("model/config.json", model.config_json().as_bytes());
        tiny.write("model/model.safetensors", &model.safetensors());
        tiny.write("model/tokenizer.json", tokenizer(&vocab).to_string().as_bytes());
        tiny
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub fn model(&self) -> PathBuf {
        self.path("model")
    }

    /// The program, to be run in this folder with this model.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(args).current_dir(self.dir.path()).env("SELFATTN_MODEL", self.model());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        run(&mut self.command(args), b"")
    }

    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Output {
        run(&mut self.command(args), input)
    }
}

pub fn run(command: &mut Command, input: &[u8]) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // From a thread: a large input and a large output would wait for each other. A program that stops reading is no
    // error.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The output of a run that must go well.
#[track_caller]
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
pub fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[track_caller]
pub fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A run that must fail with this exit code, and with a message that has all these parts.
#[track_caller]
pub fn fails(output: &Output, code: i32, parts: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

pub fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

pub fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn vocabulary() -> Vec<String> {
    let letters = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]);
    let words = WORDS.split(' ').map(str::to_owned).filter(|word| word != "i" && word != "##s");
    SPECIAL.iter().map(|word| (*word).to_owned()).chain(words).chain(letters).collect()
}

/// As published ones, with a truncation and a padding that the program has to leave aside.
fn tokenizer(vocab: &[String]) -> Value {
    let ids: serde_json::Map<String, Value> =
        vocab.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect();
    let special = |id: u64| {
        json!({"id": id, "content": SPECIAL[id as usize], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let piece = |word: &str| json!({"SpecialToken": {"id": word, "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let entry = |id: u64| json!({"id": SPECIAL[id as usize], "ids": [id], "tokens": [SPECIAL[id as usize]]});
    json!({
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0), special(1), special(2), special(3)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [piece("[CLS]"), text, piece("[SEP]")],
            "pair": [piece("[CLS]"), text, piece("[SEP]")],
            "special_tokens": {"[CLS]": entry(2), "[SEP]": entry(3)}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids}
    })
}
