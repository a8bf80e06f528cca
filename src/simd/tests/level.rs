//! The choice of a level.

use std::string::ToString;

use super::*;
use crate::error::Error;

#[test]
fn available_levels_go_up_from_scalar_to_the_highest() {
    let levels: Vec<Level> = Level::available().collect();
    assert_eq!(levels.first(), Some(&Level::SCALAR));
    assert_eq!(levels.last(), Some(&Level::highest()));
    assert!(levels.contains(&Level::detect()));
    assert!(levels.is_sorted_by_key(|level| level.lanes()));
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    assert_eq!(names, Level::NAMES[..levels.len()]);
}

#[test]
fn names_lead_back_to_their_levels() {
    for level in Level::available() {
        assert_eq!(Level::from_name(level.name()), Ok(level));
        assert_eq!(level.to_string(), level.name());
    }
    for name in ["", "AVX2", "avx2 ", "sse9", "\0"] {
        assert_eq!(Level::from_name(name), Err(Error::Level), "{name:?}");
    }
    assert_eq!(format!("{:>8}|", Level::SCALAR), "  scalar|");
}

#[test]
fn lanes_and_tiles_are_those_of_the_table() {
    for level in Level::available() {
        let expected = match level.name() {
            "scalar" => (4, (4, 4)),
            "wasm128" => (4, (4, 8)),
            "neon" | "neonbf16" => (4, (8, 12)),
            "avx2" => (8, (6, 16)),
            "avx512" | "avx512bf16" | "amxbf16" => (16, (8, 48)),
            other => panic!("{other} is not in the table"),
        };
        assert_eq!((level.lanes(), level.tile()), expected, "{level}");
    }
}

/// The override is one for the whole process, so it is tried in processes of its own.
#[cfg(all(feature = "std", not(any(miri, target_family = "wasm"))))]
mod process {
    use std::ffi::OsString;
    use std::process::Command;
    use std::string::String;

    use super::*;

    /// Runs `child` with the variable set to `value`; what it reports.
    fn child_with(value: Option<&str>) -> String {
        // Under an emulator, a program of this build is started as this one was.
        let runner = std::env::var("SELFATTN_TEST_RUNNER").unwrap_or_default();
        let mut words = runner.split_whitespace().map(OsString::from).chain([std::env::current_exe().unwrap().into()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command.args(["--exact", "simd::tests::level::process::child", "--ignored", "--nocapture"]);
        command.env_remove("SELFATTN_LEVEL").envs(value.map(|value| ("SELFATTN_LEVEL", value)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    #[ignore = "started by `environment_variable` in a process of its own"]
    fn child() {
        std::println!("<{}>", Level::current());
        for level in Level::available() {
            level.set_current();
            assert_eq!(Level::current(), level);
        }
    }

    #[test]
    fn environment_variable() {
        let best = format!("<{}>", Level::detect());
        for level in Level::available() {
            let report = child_with(Some(level.name()));
            assert!(report.contains(&format!("<{level}>")), "{level}: {report}");
        }
        for ignored in [None, Some(""), Some("no such level")] {
            let report = child_with(ignored);
            assert!(report.contains(&best), "{ignored:?}: {report}");
        }
        for name in Level::NAMES.iter().filter(|name| Level::from_name(name).is_err()) {
            let report = child_with(Some(name));
            assert!(report.contains(&best), "{name} is not on this CPU: {report}");
        }
    }
}
