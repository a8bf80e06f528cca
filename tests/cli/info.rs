//! `selfattn info`: what it says is what the library says.

use selfattn::{Engine, Level};

use crate::support::{Tiny, fails, json, stdout};

#[test]
fn levels_and_the_model() {
    let tiny = Tiny::new();
    let info = json(&tiny.run(&["info", "--json", "--tokens", "16"]));
    assert_eq!(info["level"], Level::detect().name());
    let levels = info["levels"].as_array().unwrap();
    assert_eq!(levels.len(), Level::NAMES.len());
    for (level, &name) in levels.iter().zip(Level::NAMES) {
        assert_eq!(level["level"], name);
        let why = level["why"].as_str().unwrap();
        let memory = &level["memory"];
        match Level::from_name(name) {
            Ok(known) => {
                assert_eq!(memory["tile"], serde_json::json!([known.tile().0, known.tile().1]));
                let expected = if known == Level::detect() { "chosen" } else { "slower than" };
                assert!(why.starts_with(expected), "{name}: {why}");
                let [scratch, packed, less] =
                    ["scratch", "packed", "packed_scratch"].map(|field| memory[field].as_u64().unwrap());
                assert!(less <= scratch && packed > 0, "{level}");
            }
            Err(_) => assert!(memory.is_null() && why.contains("lack"), "{name}: {why}"),
        }
    }
    let model = &info["model"];
    let file = std::fs::metadata(tiny.model().join("model.safetensors")).unwrap().len();
    assert_eq!(
        (model["flash"].as_u64(), model["layers"].as_u64(), model["tokens"].as_u64()),
        (Some(file), Some(2), Some(16))
    );
    // Words, positions and types; per layer four projections, two inner layers and their biases, four vectors of norms.
    let vocab = model["vocab_size"].as_u64().unwrap();
    let layer = 4 * (36 * 36 + 36) + 2 * 36 * 70 + 70 + 36 + 4 * 36;
    assert_eq!(model["parameters"].as_u64(), Some((vocab + 32 + 2) * 36 + 2 * 36 + 2 * layer));
}

#[test]
fn a_level_that_is_asked_for() {
    let tiny = Tiny::new();
    let text = stdout(&crate::support::run(tiny.command(&["info"]).env("SELFATTN_LEVEL", "scalar"), b""));
    let line =
        |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("scalar").contains("chosen"), "{text}");
    if Engine::new().level() != Level::SCALAR {
        assert!(line(Level::detect().name()).contains("but SELFATTN_LEVEL=scalar"), "{text}");
    }
    assert!(text.contains("RAM: for a text of 32 tokens"), "{text}");
    fails(&tiny.run(&["info", "--tokens", "33"]), 2, &["--tokens 33", "at most 32"]);
}
