//! However it ends (killed, interrupted, no room, nobody reads), no line is cut and a file is the old one or the whole new one.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::data::Rng;
use crate::support::{Tiny, fails, files, program, stdout};

/// `selfattn embed` with these arguments, on the model inside the program.
fn embed(args: &[&str], dir: &Path) -> Command {
    let mut command = program();
    command.arg("embed").args(args).current_dir(dir).stderr(Stdio::piped());
    command
}

/// `selfattn embed -` on a tiny model, its input and output in our hands.
fn embedding(tiny: &Tiny) -> Child {
    let mut command = tiny.command(&["embed", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// All but files in the making, which a program that is killed cannot remove.
fn finished(dir: &Path) -> Vec<String> {
    files(dir).into_iter().filter(|name| !name.starts_with(".selfattn-")).collect()
}

#[track_caller]
fn whole_lines(bytes: &[u8]) -> usize {
    let end = bytes.len().saturating_sub(80);
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "cut: ...{}", String::from_utf8_lossy(&bytes[end..]));
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()).collect::<Vec<_>>().len()
}

#[test]
fn killed_at_any_moment_a_file_is_the_old_one_or_the_whole_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let texts: String = (0..300).map(|i| format!("I love apple juice number {i}\n")).collect();
    fs::write(path("texts"), &texts).unwrap();
    let start = Instant::now();
    stdout(&embed(&["--in", "texts", "--out", "whole"], dir.path()).output().unwrap());
    let took = start.elapsed();
    let whole = fs::read(path("whole")).unwrap();
    assert_eq!(whole_lines(&whole), 300);

    let mut rng = Rng::new(8);
    let mut moment = |longest: Duration| longest.mul_f64(rng.below(1000) as f64 / 1000.0);
    let (mut old, mut new) = (0, 0);
    for round in 0..40 {
        fs::write(path("out"), b"old").unwrap();
        let held_open = round % 2 == 0;
        let input = if held_open { "-" } else { "texts" };
        let mut command = embed(&["--in", input, "--out", "out"], dir.path());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if held_open {
            // It waits for more, so that it is killed before its end in any case.
            stdin.write_all(texts.as_bytes()).unwrap();
        }
        std::thread::sleep(moment(took.mul_f64(1.2)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let out = fs::read(path("out")).unwrap();
        match out == whole {
            true => new += 1,
            false if out == b"old" => old += 1,
            false => panic!("round {round}: {} of {} bytes", out.len(), whole.len()),
        }
        assert!(!(held_open && out == whole), "round {round}: {status}: the file is there before the input ended");
        assert!(!status.success() || out == whole, "round {round}");
        assert_eq!(finished(dir.path()), ["out", "texts", "whole"]);
    }
    println!("{old} times the old file, {new} times the new one");
    assert!(old >= 20);
}

#[test]
fn interrupted_it_ends_the_line_that_it_writes() {
    let tiny = Tiny::new();
    // Longer than a pipe holds: the program is in the middle of a line most of the time.
    let text = "apple juice ".repeat(10_000) + "\n";
    let mut rng = Rng::new(9);
    for round in 0..12 {
        let mut child = embedding(&tiny);
        let mut stdin = child.stdin.take().unwrap();
        let text = text.clone();
        let writer = std::thread::spawn(move || while stdin.write_all(text.as_bytes()).is_ok() {});
        let mut out = child.stdout.take().unwrap();
        let mut read = vec![0; 1 + rng.below(300_000)];
        out.read_exact(&mut read).unwrap();
        let (name, number) = [("INT", 2), ("TERM", 15)][round % 2];
        signal(&child, name);
        out.read_to_end(&mut read).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        writer.join().unwrap();
        assert!(whole_lines(&read) > 0);
    }
}

#[test]
fn a_reader_that_has_stopped_reading_does_not_keep_it_from_ending() {
    let tiny = Tiny::new();
    let text = "apple juice ".repeat(10_000);
    let mut child = embedding(&tiny);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    stdin.write_all(b"\n").unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1000]).unwrap();
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().signal(), Some(2));
}

#[test]
fn a_reader_that_leaves_after_a_line_has_all_of_it() {
    let tiny = Tiny::new();
    let mut child = embedding(&tiny);
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || while stdin.write_all(b"apple juice\n").is_ok() {});
    let mut line = Vec::new();
    BufReader::new(child.stdout.take().unwrap()).read_until(b'\n', &mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
    writer.join().unwrap();
    assert_eq!(whole_lines(&line), 1);
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_whatever_is_written() {
    let tiny = Tiny::new();
    let lines = tiny.write("lines", b"apple\njuice\n");
    let lines = lines.to_str().unwrap();
    for args in [
        &["embed", "apple"][..],
        &["similar", "apple", "--in", lines],
        &["similar", "apple", "--in", lines, "--json"],
        &["explain", "apple juice"],
        &["explain", "apple juice", "--json"],
        &["info"],
        &["info", "--json"],
        &["--help"],
        &["--version"],
    ] {
        let output = tiny.command(args).stdin(Stdio::null()).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        fails(&output, 1, &["selfattn: cannot write to standard output: No space left on device"]);
    }
    let out = tiny.run(&["embed", "apple", "--out", "/dev/full"]);
    fails(&out, 1, &["selfattn: cannot write to /dev/full: No space left on device"]);
}

/// What is said on standard error is not the result.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_for_messages_changes_nothing_else() {
    let tiny = Tiny::new();
    let run = |args: &[&str]| tiny.command(args).stdin(Stdio::null()).stderr(full()).output().unwrap();
    let unknown = ["embed", "\u{2603} \u{2604}"];
    let expected = tiny.run(&unknown);
    assert!(!expected.stderr.is_empty());
    assert_eq!(run(&unknown).stdout, expected.stdout);
    assert_eq!(run(&["embed", "apple", "--model", "nowhere"]).status.code(), Some(1));
    assert_eq!(run(&["embed", "apple", "--threads", "0"]).status.code(), Some(2));
}

/// A disk that fills up in the middle of a file: no file may be longer than some kilobytes.
fn in_little_room(tiny: &Tiny, args: &[&str], out: Stdio) -> Output {
    let inner = tiny.command(args);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 20 && exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(tiny.path(".")).env("SELFATTN_MODEL", tiny.model()).env_remove("SELFATTN_LEVEL");
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_file_that_finds_no_room_is_not_there_by_halves() {
    let tiny = Tiny::new();
    tiny.write("texts", "apple juice\n".repeat(500).as_bytes());
    tiny.write("old", b"old");
    for out in ["old", "new"] {
        for format in ["jsonl", "npy"] {
            let args = ["embed", "--in", "texts", "--format", format, "--out", out];
            fails(
                &in_little_room(&tiny, &args, Stdio::piped()),
                1,
                &[&format!("cannot write to {out}: File too large")],
            );
        }
    }
    assert_eq!(fs::read(tiny.path("old")).unwrap(), b"old");
    assert_eq!(files(&tiny.path(".")), ["model", "old", "texts"]);
}

#[test]
fn standard_output_that_finds_no_room_has_whole_lines() {
    let tiny = Tiny::new();
    // Lines of many lengths, so that the room does not happen to end with one.
    let texts: String = (0..500).map(|i| "apple juice ".repeat(1 + i % 7).trim_end().to_owned() + "\n").collect();
    tiny.write("texts", texts.as_bytes());
    let out = tiny.write("out", b"");
    for append in [false, true] {
        let file = File::options().write(true).append(append).open(&out).unwrap();
        let output = in_little_room(&tiny, &["embed", "--in", "texts"], file.into());
        fails(&output, 1, &["cannot write to standard output: File too large"]);
        assert!(whole_lines(&fs::read(&out).unwrap()) > 1);
    }
}
