//! Other kinds of tokenizer than BERT's: byte-level BPE as RoBERTa has it, Unigram as XLM-RoBERTa has it.

use serde_json::{Value, json};

use crate::support::{Tiny, json, json_lines};

const TEXT: &str = "I love apple juice, it lit";

/// Encodes and explains the text with this tokenizer: ids and words.
fn read(tokenizer: &Value) -> (Vec<u64>, Vec<String>) {
    let tiny = Tiny::new();
    tiny.write("model/tokenizer.json", tokenizer.to_string().as_bytes());
    let row = &json_lines(&tiny.run(&["embed", TEXT]))[0];
    let ids = row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    let report = json(&tiny.run(&["explain", TEXT, "--json"]));
    let words =
        report["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap().to_owned()).collect();
    (ids, words)
}

fn file(pre_tokenizer: Value, post_processor: Value, model: Value) -> Value {
    let special = |id: u64, word: &str| {
        json!({"id": id, "content": word, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
               "special": true})
    };
    json!({"version": "1.0", "truncation": null, "padding": null,
           "added_tokens": [special(0, "<s>"), special(1, "</s>"), special(2, "<unk>")],
           "normalizer": null, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": null,
           "model": model})
}

#[test]
fn byte_level_bpe() {
    // In this spelling of bytes, a space is a letter.
    let letters = ["<s>", "</s>", "<unk>", "\u{120}", ","].map(str::to_owned).into_iter();
    let letters = letters.chain(('a'..='z').chain('A'..='Z').map(String::from));
    let mut vocab: serde_json::Map<String, Value> = letters.enumerate().map(|(id, c)| (c, json!(id))).collect();
    vocab.insert("\u{120}l".to_owned(), json!(57));
    let (ids, words) = read(&file(
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
        json!({"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": true,
               "add_prefix_space": false}),
        json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
               "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocab,
               "merges": ["\u{120} l"]}),
    ));
    // Two merges, and a token for each other byte.
    assert_eq!(ids.len(), 2 + TEXT.len() - 2);
    assert_eq!((ids[0], ids[2], *ids.last().unwrap()), (0, 57, 1));
    assert_eq!(words, ["I", "love", "apple", "juice", "it", "lit"]);
}

#[test]
fn unigram() {
    let pieces = ["\u{2581}I", "\u{2581}love", "\u{2581}app", "le", "\u{2581}juice", ",", "\u{2581}it", "\u{2581}lit"];
    let vocab: Vec<Value> = ["<s>", "</s>", "<unk>"].iter().chain(&pieces).map(|piece| json!([piece, -1.0])).collect();
    let template = |word: &str, id: u64| json!({"id": word, "ids": [id], "tokens": [word]});
    let single = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "</s>", "type_id": 0}}]);
    let (ids, words) = read(&file(
        json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true}),
        json!({"type": "TemplateProcessing", "single": single, "pair": single,
               "special_tokens": {"<s>": template("<s>", 0), "</s>": template("</s>", 1)}}),
        json!({"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": false}),
    ));
    assert_eq!(ids, [0, 3, 4, 5, 6, 7, 8, 9, 10, 1]);
    // The comma belongs to the word before it: this tokenizer only splits at spaces.
    assert_eq!(words, ["I", "love", "apple", "juice,", "it", "lit"]);
}
