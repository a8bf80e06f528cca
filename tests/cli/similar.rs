//! `selfattn similar`: the nearest lines, nearest first.

use crate::support::{Tiny, floats, json, json_lines, stdout};

const LINES: [&str; 6] = ["the bank of the river", "apple juice", "", "money", "I love apple", "the lamp"];

#[test]
fn the_order_is_that_of_the_cosines() {
    let tiny = Tiny::new();
    let vectors = json_lines(&tiny.run(&[&["embed", "apple"], &LINES[..]].concat()));
    let vectors: Vec<Vec<f64>> = vectors.iter().map(|row| floats(&row["embedding"])).collect();
    let cosine = |line: usize| vectors[0].iter().zip(&vectors[line + 1]).map(|(a, b)| a * b).sum::<f64>();
    let mut expected: Vec<usize> = (0..LINES.len()).filter(|&line| !LINES[line].is_empty()).collect();
    expected.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)));

    let found = json(&tiny.run_with(&["similar", "apple", "--json"], LINES.join("\n").as_bytes()));
    assert_eq!(found["query"], "apple");
    let found = found["matches"].as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    for (i, (found, line)) in found.iter().zip(expected).enumerate() {
        assert_eq!((&found["rank"], &found["line"]), (&(i + 1).into(), &(line + 1).into()));
        assert_eq!(found["text"], LINES[line]);
        assert!((found["cosine"].as_f64().unwrap() - cosine(line)).abs() < 1e-5);
    }
}

#[test]
fn only_so_many_and_readable() {
    let tiny = Tiny::new();
    tiny.write("lines", LINES.join("\n").as_bytes());
    let found = stdout(&tiny.run(&["similar", "apple juice", "--in", "lines", "-k", "2"]));
    assert_eq!(found.lines().count(), 2);
    assert_eq!(found.lines().next().unwrap(), " 1.0000  2  apple juice");
}

#[test]
fn of_equals_the_earlier_comes_first() {
    let tiny = Tiny::new();
    let found = json(&tiny.run_with(&["similar", "apple", "--json", "-k", "2"], b"money\napple\nApple\nAPPLE\n"));
    let lines: Vec<u64> =
        found["matches"].as_array().unwrap().iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3]);
}
