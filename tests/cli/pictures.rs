//! Heat maps: the numbers and names that belong there, in pictures that can be read.

use std::fs;

use resvg::usvg::{Options, Tree};

use crate::support::{Tiny, fails, files, floats, json, json_lines, stderr, stdout};

/// An SVG as a program sees that draws it: refused if it is no SVG.
fn size(svg: &str) -> (f32, f32) {
    let size = Tree::from_str(svg, &Options::default()).unwrap().size();
    (size.width(), size.height())
}

/// Width and height of a PNG, from its header.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// The cells' tooltips, in order: from, to, value.
fn cells(svg: &str) -> Vec<(String, String, f64)> {
    let tooltips = svg.split("<title>").skip(2).map(|part| part.split("</title>").next().unwrap());
    let cell = |tooltip: &str| {
        let (names, value) = tooltip.rsplit_once(": ").unwrap();
        let (from, to) = names.split_once(" → ").unwrap();
        (from.to_owned(), to.to_owned(), value.parse().unwrap())
    };
    tooltips.map(cell).collect()
}

#[test]
fn a_head_has_the_weights_of_the_json() {
    let tiny = Tiny::new();
    let text = "I love minecraft, it lit the lamps.";
    let args = ["explain", text, "--layer", "0", "--head", "2"];
    let output = tiny.run(&[&args[..], &["--svg", "head.svg", "--png", "head.png"]].concat());
    assert_eq!(stdout(&output), "", "a picture stands in place of the text");
    assert!(stderr(&output).contains("wrote head.svg (") && stderr(&output).contains("wrote head.png ("));
    let report = json(&tiny.run(&[&args[..], &["--json"]].concat()));
    let svg = fs::read_to_string(tiny.path("head.svg")).unwrap();
    assert!(svg.contains("Attention: layer 0, head 2") && svg.contains("rest"));
    let words: Vec<&str> =
        report["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    let n = words.len();
    let cells = cells(&svg);
    assert_eq!(cells.len(), n * n);
    for (k, (from, to, value)) in cells.iter().enumerate() {
        assert_eq!((from.as_str(), to.as_str()), (words[k / n], words[k % n]));
        let expected = report["attention"]["weights"][k / n][k % n].as_f64().unwrap();
        assert!((value - expected).abs() <= 0.5e-4 + 1e-9, "{value} for {expected}");
    }
    let (width, height) = size(&svg);
    assert_eq!(png_size(&fs::read(tiny.path("head.png")).unwrap()), (2 * width as u32, 2 * height as u32));
}

#[test]
fn the_mean_is_named_so_and_the_json_is_there_on_demand() {
    let tiny = Tiny::new();
    let report = json(&tiny.run(&["explain", "I love apple juice", "--svg", "mean.svg", "--json"]));
    assert_eq!(report["words"].as_array().unwrap().len(), 4);
    assert!(fs::read_to_string(tiny.path("mean.svg")).unwrap().contains("Attention: layer 1, mean of 3 heads"));
}

#[test]
fn any_text_makes_a_picture() {
    let tiny = Tiny::new();
    let texts = [
        "</text><script>alert(1)</script>",
        "a & b < c > d \"e\" 'f'",
        "שלום العالم 東京 👩‍👩‍👧",
        "bell\u{7} \u{ffff} \u{1b}[31m",
        "a\nb\tc",
    ];
    stdout(&tiny.run(&[&["embed", "--plot", "all.svg"], &texts[..]].concat()));
    let svg = fs::read_to_string(tiny.path("all.svg")).unwrap();
    size(&svg);
    assert!(!svg.contains("<script") && svg.contains("&lt;/text&gt;&lt;script&gt;"));
    for text in texts {
        stdout(&tiny.run(&["explain", &format!("apple {text}"), "--svg", "one.svg", "--png", "one.png"]));
        size(&fs::read_to_string(tiny.path("one.svg")).unwrap());
    }
}

#[test]
fn a_large_matrix_is_one_image_of_bounded_size() {
    let tiny = Tiny::new();
    let lines = (0..300).map(|i| format!("apple {i}\n")).collect::<String>();
    stdout(&tiny.run_with(&["embed", "--plot", "all.svg"], lines.as_bytes()));
    let svg = fs::read_to_string(tiny.path("all.svg")).unwrap();
    assert_eq!((svg.matches("<image").count(), cells(&svg).len()), (1, 0));
    size(&svg);
    assert!(svg.len() < 1_000_000, "{}", svg.len());
}

#[test]
fn a_plot_has_the_cosines_of_the_vectors() {
    let tiny = Tiny::new();
    let texts = ["apple juice", "the bank of the river", "lamp"];
    let output = tiny.run(&[&["embed", "--plot", "plot.svg", "--out", "v.jsonl"], &texts[..]].concat());
    assert_eq!(stdout(&output), "");
    assert_eq!(files(&tiny.path(".")), ["model", "plot.svg", "v.jsonl"]);
    let vectors: Vec<Vec<f64>> =
        json_lines(&tiny.run(&[&["embed"], &texts[..]].concat())).iter().map(|row| floats(&row["embedding"])).collect();
    let cells = cells(&fs::read_to_string(tiny.path("plot.svg")).unwrap());
    assert_eq!(cells.len(), 9);
    for (k, (from, to, value)) in cells.iter().enumerate() {
        assert_eq!((from.as_str(), to.as_str()), (texts[k / 3], texts[k % 3]));
        let expected: f64 = vectors[k / 3].iter().zip(&vectors[k % 3]).map(|(a, b)| a * b).sum();
        assert!((value - expected).abs() <= 0.5e-4 + 1e-6, "{value} for {expected}");
    }
    // The PNG alone: no vectors on standard output.
    assert_eq!(stdout(&tiny.run(&[&["embed", "--plot", "PLOT.PNG"], &texts[..]].concat())), "");
    png_size(&fs::read(tiny.path("PLOT.PNG")).unwrap());
}

#[test]
fn what_cannot_be_drawn_leaves_no_file() {
    let tiny = Tiny::new();
    fails(&tiny.run(&["embed", "apple", "--plot", "plot.jpg"]), 2, &["--plot plot.jpg", ".png or .svg"]);
    fails(&tiny.run_with(&["embed", "--plot", "plot.svg"], b""), 1, &["--plot", "no text"]);
    let many = "apple\n".repeat(513);
    let args = ["embed", "--plot", "plot.svg", "--out", "v.jsonl"];
    fails(&tiny.run_with(&args, many.as_bytes()), 1, &["--plot", "at most 512"]);
    fails(&tiny.run(&["explain", "apple", "--html", "no/such/page.html"]), 1, &["no/such/page.html", "No such file"]);
    fails(&tiny.run(&["explain", "apple", "--svg", "a.svg", "--layer", "9"]), 2, &["--layer 9"]);
    fails(&tiny.run(&["explain", "apple", "--svg", "a.svg", "--png", "a.svg"]), 2, &["a.svg", "twice"]);
    fails(&tiny.run(&["embed", "apple", "--plot", "a.svg", "--out", "a.svg"]), 2, &["a.svg", "twice"]);
    assert_eq!(files(&tiny.path(".")), ["model"]);
}
