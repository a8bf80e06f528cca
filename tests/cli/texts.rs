//! Texts in: from where, in what encoding, and how long.

use crate::support::{POSITIONS, SEP, Tiny, fails, json_lines, stderr, stdout};

#[test]
fn arguments_files_and_standard_input_are_the_same() {
    let tiny = Tiny::new();
    tiny.write("texts", b"apple juice\n\nthe bank");
    let expected = stdout(&tiny.run(&["embed", "apple juice", "", "the bank"]));
    assert_eq!(stdout(&tiny.run(&["embed", "--in", "texts"])), expected);
    for args in [&["embed"][..], &["embed", "-"], &["embed", "--in", "-"]] {
        assert_eq!(stdout(&tiny.run_with(args, b"apple juice\n\nthe bank\n")), expected, "{args:?}");
    }
}

#[test]
fn line_ends_and_byte_order_marks_are_no_text() {
    let tiny = Tiny::new();
    let expected = stdout(&tiny.run(&["embed", "apple", "juice"]));
    assert_eq!(stdout(&tiny.run_with(&["embed"], b"\xef\xbb\xbfapple\r\njuice\r\n")), expected);
}

#[test]
fn no_text_no_output() {
    let tiny = Tiny::new();
    assert_eq!(stdout(&tiny.run_with(&["embed"], b"")), "");
}

#[test]
fn what_is_no_text_is_refused_with_its_line() {
    let tiny = Tiny::new();
    tiny.write("latin1", b"apple\ncaf\xe9\n");
    fails(&tiny.run(&["embed", "--in", "latin1"]), 1, &["line 2 of latin1", "UTF-8", "byte 3", "iconv"]);
    tiny.write("long", &[b"apple\n".to_vec(), vec![b'a'; (1 << 20) + 1]].concat());
    fails(&tiny.run(&["embed", "--in", "long"]), 1, &["line 2 of long", "longer than 1 MiB", "passages"]);
    fails(&tiny.run(&["embed", "--in", "missing"]), 1, &["missing", "No such file"]);
    fails(&tiny.run(&["embed", "--in", "."]), 1, &["cannot read ."]);
}

#[test]
fn too_long_texts_are_cut_with_a_notice_or_refused() {
    let tiny = Tiny::new();
    let text = "apple juice ".repeat(20);
    let output = tiny.run(&["embed", "apple", &text]);
    let rows = json_lines(&output);
    let ids = rows[1]["ids"].as_array().unwrap();
    assert_eq!((ids.len(), ids.last().unwrap()), (POSITIONS, &SEP.into()));
    assert_eq!(stderr(&output), "selfattn: text 2 has 42 tokens and was cut to 32 (--no-truncate refuses instead)\n");
    // What is left is the text's beginning.
    assert_eq!(rows[1]["embedding"], json_lines(&tiny.run(&["embed", &"apple juice ".repeat(15)]))[0]["embedding"]);
    let refused = tiny.run(&["embed", "--no-truncate", "apple", &text]);
    fails(&refused, 1, &["text 2 has 42 tokens, but 32 are allowed", "shorten it", "--no-truncate"]);

    let output = tiny.run(&["embed", "--max-tokens", "3", "apple juice"]);
    assert_eq!(json_lines(&output)[0]["ids"].as_array().unwrap().len(), 3);
    assert!(stderr(&output).contains("4 tokens and was cut to 3"));
}

#[test]
fn exactly_as_long_as_allowed_is_not_too_long() {
    let tiny = Tiny::new();
    let output = tiny.run(&["embed", "--no-truncate", &"apple ".repeat(POSITIONS - 2)]);
    assert_eq!(json_lines(&output)[0]["ids"].as_array().unwrap().len(), POSITIONS);
}

#[test]
fn many_notices_are_counted_instead() {
    let tiny = Tiny::new();
    let output = tiny.run_with(&["embed"], format!("{}\n", "apple ".repeat(40)).repeat(9).as_bytes());
    assert_eq!(stderr(&output).lines().count(), 6);
    assert!(stderr(&output).ends_with("selfattn: 9 texts were cut in all\n"));
}

/// Bytes of memory that a process has held at most.
#[cfg(target_os = "linux")]
fn peak_memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
#[cfg(target_os = "linux")]
fn endless_input_takes_no_endless_memory() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;

    let tiny = Tiny::new();
    let mut command = tiny.command(&["embed", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || while stdin.write_all(b"I love apple juice\n").is_ok() {});
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut after = |lines: usize| {
        assert_eq!(answers.by_ref().take(lines).count(), lines);
        peak_memory(child.id())
    };
    let early = after(10_000);
    let late = after(50_000);
    assert!(late - early < 4 << 20, "{early} {late}");
    // A vector alone has 144 bytes, its text and tokens far more: kept, they would be 20 MB at least.
    drop(answers);
    assert!(!child.wait().unwrap().success());
    writer.join().unwrap();
}
