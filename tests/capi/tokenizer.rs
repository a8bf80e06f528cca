//! Text to ids, as the reference library cuts and marks it.

use std::ptr::{null, null_mut};

use selfattn::capi::{self, Status, Tokenizer};

use super::support::{fails, works};

/// A tokenizer of a few words, with [CLS] and [SEP] around a text.
const JSON: &str = r###"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "i": 3, "love": 4, "apple": 5, "watch": 6, "##es": 7}}
}"###;

fn created() -> *mut Tokenizer {
    let mut tokenizer = null_mut();
    // SAFETY: what the header asks for.
    works(|error| unsafe { capi::tokenizer_create(JSON.as_ptr().cast(), JSON.len(), &raw mut tokenizer, error) });
    tokenizer
}

/// The ids of a text in room for `most`, and how many the whole text has.
fn encode(tokenizer: *const Tokenizer, text: &str, most: usize) -> (Vec<u32>, usize) {
    let (mut ids, mut count, mut whole) = (vec![99; most], 0, 0);
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        let (to, text) = (ids.as_mut_ptr(), (text.as_ptr().cast(), text.len()));
        capi::tokenizer_encode(tokenizer, text.0, text.1, to, most, &raw mut count, &raw mut whole, error)
    });
    assert!(ids[count..].iter().all(|id| *id == 99));
    ids.truncate(count);
    (ids, whole)
}

#[test]
fn a_text_becomes_ids() {
    let tokenizer = created();
    assert_eq!(encode(tokenizer, "I love Apple watches", 16), (vec![1, 3, 4, 5, 6, 7, 2], 7));
    assert_eq!(encode(tokenizer, "", 16), (vec![1, 2], 2));
    assert_eq!(encode(tokenizer, "zebra", 16), (vec![1, 0, 2], 3));
    // The end is left out, the special tokens stay.
    assert_eq!(encode(tokenizer, "I love Apple watches", 4), (vec![1, 3, 4, 2], 7));
    // SAFETY: created above.
    unsafe { capi::tokenizer_destroy(tokenizer) };
    // SAFETY: null is ignored.
    unsafe { capi::tokenizer_destroy(null_mut()) };
}

#[test]
fn what_cannot_be_tokenized_is_refused() {
    let tokenizer = created().cast_const();
    let (mut ids, mut count, mut whole) = ([99_u32; 8], 77, 77);
    let to = ids.as_mut_ptr();
    let mut call = |tokenizer: *const Tokenizer, text: (*const u8, usize), ids: (*mut u32, usize), error| {
        let text = (text.0.cast(), text.1);
        // SAFETY: what the header asks for, but for what is refused.
        unsafe {
            capi::tokenizer_encode(tokenizer, text.0, text.1, ids.0, ids.1, &raw mut count, &raw mut whole, error)
        }
    };
    let good = "apple";
    let text = (good.as_ptr(), good.len());
    let error = fails(Status::Utf8, "text", |error| call(tokenizer, (b"ab\xff".as_ptr(), 3), (to, 8), error));
    assert_eq!(error.index, 2);
    let error = fails(Status::Capacity, "ids", |error| call(tokenizer, text, (to, 2), error));
    assert_eq!((error.expected[0], error.got[0]), (3, 2));
    fails(Status::Capacity, "ids", |error| call(tokenizer, text, (null_mut(), 0), error));
    fails(Status::Null, "ids", |error| call(tokenizer, text, (null_mut(), 8), error));
    fails(Status::Null, "text", |error| call(tokenizer, (null(), 5), (to, 8), error));
    fails(Status::Null, "tokenizer", |error| call(null(), text, (to, 8), error));
    let nothing = [0_u64; 1024];
    fails(Status::Handle, "tokenizer", |error| call(nothing.as_ptr().cast(), text, (to, 8), error));
    fails(Status::Overlap, "ids", |error| call(tokenizer, (to.cast(), 8), (to, 8), error));
    assert_eq!((count, whole, ids), (77, 77, [99; 8]));
    let mut other = null_mut();
    // SAFETY: what the header asks for.
    fails(Status::Tokenizer, "", |error| unsafe {
        capi::tokenizer_create(b"{}".as_ptr().cast(), 2, &raw mut other, error)
    });
    // SAFETY: what the header asks for.
    let error =
        fails(Status::File, "", |error| unsafe { capi::tokenizer_open(c"nowhere".as_ptr(), &raw mut other, error) });
    assert!(super::support::message(&error).contains("tokenizer.json"));
    assert!(other.is_null());
    // SAFETY: created above.
    unsafe { capi::tokenizer_destroy(tokenizer.cast_mut()) };
}
