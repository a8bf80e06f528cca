use super::*;

extern crate std;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Reads every event. Loops on no input: each event takes at least a byte.
fn read(bytes: &[u8]) -> Result<usize> {
    let mut reader = Reader::new(bytes)?;
    let mut events = 0;
    while reader.next()? != Event::End {
        events += 1;
    }
    Ok(events)
}

fn syntax(at: usize) -> Result<usize> {
    Err(Fault { at, wrong: Wrong::Syntax })
}

#[test]
fn valid_texts_are_read_to_the_end() {
    let texts = [
        ("0", 1),
        ("-0", 1),
        ("-0.5e-07", 1),
        ("10E+2", 1),
        ("1e400", 1),
        ("true", 1),
        (" \t\r\nfalse\n", 1),
        ("null", 1),
        ("\"\"", 1),
        ("{}", 2),
        ("[]", 2),
        ("[ ]", 2),
        ("[1 , 2]", 4),
        ("{\"a\" : [ {} , \"b\" ] , \"a\":null}", 10),
        ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\u{7f}é😀\"", 1),
    ];
    for (text, events) in texts {
        assert_eq!(read(text.as_bytes()), Ok(events), "{text}");
    }
}

#[test]
fn invalid_texts_are_refused_at_the_first_wrong_byte() {
    let texts: [(&[u8], usize); 59] = [
        (b"", 0),
        (b" ", 1),
        (b"\xEF\xBB\xBF1", 0),
        (b"1 2", 2),
        (b"{} x", 3),
        (b"}", 0),
        (b"]", 0),
        (b",", 0),
        (b"[", 1),
        (b"[1", 2),
        (b"[1,", 3),
        (b"[1,]", 3),
        (b"[,1]", 1),
        (b"[1 2]", 3),
        (b"[1}", 2),
        (b"{]", 1),
        (b"{\"a\":1]", 6),
        (b"[{]}", 2),
        (b"{\"a\"}", 4),
        (b"{\"a\":}", 5),
        (b"{\"a\":1,}", 7),
        (b"{\"a\":1 \"b\":2}", 7),
        (b"{\"a\",1}", 4),
        (b"{1:2}", 1),
        (b"{,}", 1),
        (b"[\"a\":1]", 4),
        (b"+1", 0),
        (b"-", 1),
        (b"- 1", 1),
        (b"01", 1),
        (b"-01", 2),
        (b"1.", 2),
        (b".5", 0),
        (b"1.e5", 2),
        (b"1e", 2),
        (b"1e+", 3),
        (b"0x10", 1),
        (b"1_000", 1),
        (b"NaN", 0),
        (b"Infinity", 0),
        (b"-Infinity", 1),
        (b"tru", 0),
        (b"True", 0),
        (b"nulll", 4),
        (b"'a'", 0),
        (b"/**/1", 0),
        (b"\x0b1", 0),
        (b"\"", 1),
        (b"\"a", 2),
        (b"\"a\nb\"", 2),
        (b"\"\x00\"", 1),
        (b"\"\x1f\"", 1),
        (b"\"\\x\"", 1),
        (b"\"\\", 1),
        (b"\"\\u12\"", 1),
        (b"\"\\u+123\"", 1),
        (b"\"\\uD800\"", 1),
        (b"\"\\uD800\\u0041\"", 1),
        (b"\"a\\uDC00\\uD800\"", 2),
    ];
    for (text, at) in texts {
        assert_eq!(read(text), syntax(at), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn bytes_must_be_utf8() {
    for bytes in
        [&b"\"ab\xff\""[..], b"\"ab\xc0\x80\"", b"\"ab\xed\xa0\x80\"", b"\"ab\xf4\x90\x80\x80\"", b"\"ab\xe2\x82"]
    {
        assert_eq!(read(bytes), syntax(3));
    }
}

#[test]
fn depth_is_limited_and_exact() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(read(nested(64).as_bytes()), Ok(128));
    assert_eq!(read(nested(65).as_bytes()), syntax(64));
    assert_eq!(read("{\"a\":".repeat(1_000_000).as_bytes()), syntax(64 * 5));
    assert_eq!(read("[".repeat(1_000_000).as_bytes()), syntax(64));
    // Sixty-four kinds of container are all remembered.
    let mixed = "[{\"a\":".repeat(32) + "0" + &"}]".repeat(32);
    assert_eq!(read(mixed.as_bytes()), Ok(32 * 5 + 1));
    let crossed = "[{\"a\":".repeat(32) + "0" + &"}]".repeat(31) + "]";
    assert!(read(crossed.as_bytes()).is_err());
}

#[test]
fn skip_reads_one_value_with_all_in_it() {
    let mut reader = Reader::from_text("{\"a\":[{\"b\":[1,{}]},[]],\"c\":2,\"d\":3}");
    assert_eq!(reader.object(), Ok(()));
    for expected in ["a", "c"] {
        assert!(reader.member().is_ok_and(|key| key.is_some_and(|key| key == expected)));
        assert_eq!(reader.skip(), Ok(()));
    }
    assert!(reader.member().is_ok_and(|key| key.is_some_and(|key| key == "d")));
    assert_eq!(reader.integer(), Ok(3));
    assert_eq!(reader.member(), Ok(None));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn integers_are_exact() {
    let read = |text: &'static str| Reader::from_text(text).integer();
    assert_eq!(read("0"), Ok(0));
    assert_eq!(Reader::from_text(&usize::MAX.to_string()).integer(), Ok(usize::MAX));
    for text in ["18446744073709551616", "-1", "-0", "1.5", "1.0", "1e2", "1e400"] {
        assert_eq!(read(text), Err(Fault { at: 0, wrong: Wrong::Range }), "{text}");
    }
    for text in [" \"1\"", " null", " [1]"] {
        assert_eq!(read(text), Err(Fault { at: 1, wrong: Wrong::Kind }), "{text}");
    }
}

#[test]
fn floats_are_rounded_once() {
    let read = |text: &'static str| Reader::from_text(text).float();
    assert_eq!(read("1e-12"), Ok(1e-12));
    assert_eq!(read("1e-05"), Ok(1e-5));
    assert_eq!(read("0.00001"), Ok(1e-5));
    assert_eq!(read("-3"), Ok(-3.0));
    // Just above the midpoint of two f32: by way of f64 it would be rounded down to the even one.
    assert_eq!(read("1.000000059604644775390626"), Ok(f32::from_bits(0x3f80_0001)));
    for text in ["1e400", "-1e39"] {
        assert_eq!(read(text), Err(Fault { at: 0, wrong: Wrong::Range }), "{text}");
    }
    assert_eq!(read("\"1e-12\""), Err(Fault { at: 0, wrong: Wrong::Kind }));
}

fn string(text: &str) -> JsonStr<'_> {
    JsonStr::scan(text).unwrap_or_else(|at| panic!("{text} at {at}"))
}

#[test]
fn strings_are_compared_without_their_escapes() {
    let pairs = [
        ("\"abc\"", "abc"),
        ("\"a\\u0062c\"", "abc"),
        ("\"\\\\u0062\"", "\\u0062"),
        ("\"\\\"\\/\\b\\f\\n\\r\\t\"", "\"/\u{8}\u{c}\n\r\t"),
        ("\"\\u00e9\\ud83d\\ude00\\u0000\"", "é😀\0"),
        ("\"é😀\"", "é😀"),
    ];
    for (text, meaning) in pairs {
        let string = string(text);
        assert!(string == meaning, "{text}");
        assert_eq!(string.to_string(), meaning);
        assert_eq!(string.resolve(&mut [0; 16]), Some(meaning));
        assert_eq!(string.quoted_len(), text.len());
    }
    // As written the same, as meant not.
    assert!(string("\"\\\\n\"") != "\\\\n");
    assert!(string("\"a\\u0062\"") != "a");
    assert!(string("\"a\\u0062\"") != "abc");
    assert_eq!(string("\"\\u0061\\u0062\"").resolve(&mut [0; 1]), None);
    assert_eq!(format!("{:?}", string("\"a\\n\"")), "\"a\\n\"");
}

#[test]
fn order_is_that_of_the_meant_characters() {
    let mut texts = ["\"\u{ffff}\"", "\"\\ud83d\\ude00\"", "\"b\"", "\"\\u0061b\"", "\"\"", "\"a\""].map(string);
    texts.sort();
    let sorted: Vec<String> = texts.iter().map(ToString::to_string).collect();
    assert_eq!(sorted, ["", "a", "ab", "b", "\u{ffff}", "😀"]);
    assert_eq!(string("\"\\u0061\""), string("\"a\""));
    assert!(string("\"\\u0061\"") != string("\"b\""));
    assert!(string("\"a\"") != string("\"b\""));
}

#[test]
fn only_a_string_without_escapes_stands_in_the_text_as_it_is_meant() {
    assert_eq!(string("\"a/b\"").as_str(), Some("a/b"));
    assert_eq!(string("\"\"").as_str(), Some(""));
    assert_eq!(string("\"a\\/b\"").as_str(), None);
}
