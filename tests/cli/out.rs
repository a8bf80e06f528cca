//! Output files: whole or not at all, and .npy as NumPy reads it.

use std::fs;

use crate::support::{Tiny, fails, files, floats, json_lines, stdout};

/// The shape and the numbers of a .npy file, read as the format's description says.
fn read_npy(bytes: &[u8]) -> ((usize, usize), Vec<f32>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(end % 64, 0);
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.ends_with('\n') && header.is_ascii());
    let shape = header.trim_end().strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (").unwrap();
    let (rows, cols) = shape.strip_suffix("), }").unwrap().split_once(", ").unwrap();
    let data = bytes[end..].chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
    ((rows.parse().unwrap(), cols.parse().unwrap()), data)
}

#[test]
fn npy_has_the_vectors_of_the_json() {
    let tiny = Tiny::new();
    let texts = ["apple", "the bank of the river", ""];
    let output = tiny.run(&[&["embed", "--format", "npy", "--out", "v.npy"], &texts[..]].concat());
    assert_eq!(stdout(&output), "");
    let ((rows, cols), data) = read_npy(&fs::read(tiny.path("v.npy")).unwrap());
    let expected = json_lines(&tiny.run(&[&["embed"], &texts[..]].concat()));
    assert_eq!((rows, cols), (3, floats(&expected[0]["embedding"]).len()));
    let expected: Vec<f32> = expected.iter().flat_map(|row| floats(&row["embedding"])).map(|x| x as f32).collect();
    assert_eq!(data, expected);
}

#[test]
fn npy_of_nothing_has_no_rows() {
    let tiny = Tiny::new();
    stdout(&tiny.run_with(&["embed", "--format", "npy", "--out", "v.npy"], b""));
    let ((rows, _), data) = read_npy(&fs::read(tiny.path("v.npy")).unwrap());
    assert_eq!((rows, data.len()), (0, 0));
}

#[test]
fn a_file_has_what_standard_output_has() {
    let tiny = Tiny::new();
    stdout(&tiny.run(&["embed", "apple", "juice", "--out", "v.jsonl"]));
    let written = fs::read_to_string(tiny.path("v.jsonl")).unwrap();
    assert_eq!(written, stdout(&tiny.run(&["embed", "apple", "juice"])));
    assert_eq!(files(&tiny.path(".")), ["model", "v.jsonl"]);
}

#[test]
fn a_run_that_fails_leaves_the_old_file_and_no_other() {
    let tiny = Tiny::new();
    tiny.write("old.jsonl", b"old");
    // The second chunk cannot be read: the first is already written.
    let input = [b"apple\n".repeat(1500), b"\xff\n".to_vec()].concat();
    fails(&tiny.run_with(&["embed", "--out", "old.jsonl"], &input), 1, &["line 1501"]);
    fails(&tiny.run_with(&["embed", "--out", "new.jsonl"], &input), 1, &["line 1501"]);
    assert_eq!(fs::read(tiny.path("old.jsonl")).unwrap(), b"old");
    assert_eq!(files(&tiny.path(".")), ["model", "old.jsonl"]);
}

#[test]
fn where_nothing_can_be_written_it_says_so() {
    let tiny = Tiny::new();
    fails(&tiny.run(&["embed", "apple", "--out", "no/such/folder"]), 1, &["no/such/folder", "No such file"]);
    fails(&tiny.run(&["embed", "apple", "--out", "model"]), 1, &["cannot write to model", "folder"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_device_stays_a_device() {
        let tiny = Tiny::new();
        stdout(&tiny.run(&["embed", "apple", "--out", "/dev/null"]));
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let npy = tiny.run(&["embed", "apple", "--out", "/dev/null", "--format", "npy"]);
        fails(&npy, 1, &["/dev/null is not a regular file"]);
    }

    #[test]
    fn links_and_permissions_are_kept() {
        let tiny = Tiny::new();
        let file = tiny.write("file", b"");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("file", tiny.path("link")).unwrap();
        stdout(&tiny.run(&["embed", "apple", "--out", "link"]));
        assert!(fs::symlink_metadata(tiny.path("link")).unwrap().is_symlink());
        assert_ne!(fs::read(&file).unwrap(), b"");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn interrupted_it_leaves_nothing_and_dies_of_the_signal() {
        for (name, number) in [("INT", 2), ("TERM", 15)] {
            let tiny = Tiny::new();
            let mut command = tiny.command(&["embed", "-", "--out", "v.jsonl", "--plot", "p.svg"]);
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            // Held open: `wait` would close it, and the program might come to its own end before it sees the signal.
            let _input = child.stdin.take();
            let start = Instant::now();
            while files(&tiny.path(".")).len() < 3 {
                assert!(start.elapsed() < Duration::from_secs(60), "no temporary files");
                std::thread::sleep(Duration::from_millis(5));
            }
            // The file is there a moment before the thread that listens for signals.
            std::thread::sleep(Duration::from_millis(300));
            let kill = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
            assert!(kill.success());
            assert_eq!(child.wait().unwrap().signal(), Some(number));
            assert_eq!(files(&tiny.path(".")), ["model"]);
        }
    }
}
