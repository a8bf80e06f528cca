use super::*;

extern crate std;
use std::string::ToString;

const FAMILIES: [Family; 3] = [Family::Bert, Family::Roberta, Family::DistilBert];

fn spellings(family: Family) -> impl Iterator<Item = Names> {
    [(false, false), (false, true), (true, false), (true, true)].into_iter().map(move |(prefixed, old_norms)| Names {
        family,
        prefixed,
        old_norms,
    })
}

/// Whether it is the name that a file writes as `text` between quotes.
fn is_written(name: TensorName, text: &str) -> bool {
    let quoted = std::format!("\"{text}\"");
    name.is(JsonStr::scan(&quoted).unwrap())
}

#[test]
fn every_name_is_known_to_its_spelling_and_fits_the_buffer() {
    for names in FAMILIES.into_iter().flat_map(spellings) {
        for part in Part::ALL {
            for layer in [0, 9, 10, usize::MAX] {
                let name = names.name(layer, part);
                let text = name.to_string();
                assert!(text.len() <= MAX_NAME && is_written(name, &text), "{text}");
                assert!(is_written(name, &text.replacen('.', "\\u002e", 1)), "{text}");
                assert!(!is_written(name, &(text.clone() + "x")) && !is_written(name, &text[1..]), "{text}");
                assert!(!part.in_layer() || text.contains(&layer.min(u32::MAX as usize).to_string()), "{text}");
            }

            let exists = part.module(names.family).is_some();
            let name = names.name(11, part).to_string();
            assert_eq!(names.knows(&name, 12), exists, "{name}");
            assert_eq!(names.knows(&name, 11), exists && !part.in_layer(), "{name}");
            assert!(!names.knows(&(name.clone() + "x"), 12), "{name}");
            assert!(!names.knows(&name.replacen('.', "", 1), 12), "{name}");
        }
    }
}

#[test]
fn all_names_of_a_spelling_differ() {
    for names in FAMILIES.into_iter().flat_map(spellings) {
        for (i, a) in Part::ALL.iter().enumerate() {
            for b in &Part::ALL[..i] {
                assert_ne!(names.name(3, *a).to_string(), names.name(3, *b).to_string());
            }
        }
    }
}

#[test]
fn layers_are_canonical_numbers() {
    for (digits, layer) in [("0", Some(0)), ("7", Some(7)), ("10", Some(10))] {
        assert_eq!(parse_layer(digits), layer);
    }
    for digits in ["", "00", "01", "+1", "-1", "1a", " 1", "99999999999999999999999"] {
        assert_eq!(parse_layer(digits), None, "{digits}");
    }
}
