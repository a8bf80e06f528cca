//! A real model, all-MiniLM-L6-v2, against a float64 run of the reference implementation (tests/goldens/minilm.json).
//!
//! The bounds are those that the project promises: PyTorch's own f32 run errs by 1.7e-7 in sentence vectors, 2.3e-6 in hidden
//! states and 5e-7 in attention. Each test prints what it measured.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs};

use common::bound::max_error;
use common::every_level;
use common::memory::Bytes;
use common::model::{Tensor, safetensors};
use common::oracle::{Mat, dot};
use common::pools::every_pool;
use common::run::{Text, embed, hidden, scratch_for, with_encoder};
use selfattn::block::{Encoder, Probe};
use selfattn::{Attention, AttentionWeights, Dtype, Engine, Inspection, MatMut};
use serde_json::Value;

const SENTENCE_VECTOR: f64 = 5e-7;
const HIDDEN_STATE: f64 = 7e-6;
const ATTENTION_ROW: f64 = 1e-6;
/// Cosine to the reference with weights rounded to f16.
const F16_COSINE: f64 = 0.9999;
/// With weights rounded to bf16: PyTorch's tolerance for it is 1.6e-2, relatively. Vectors that differ by so much are at an
/// angle of at most as much, whose cosine is this.
const BF16_COSINE: f64 = 1.0 - 1.6e-2 * 1.6e-2 / 2.0;

/// The model's configuration and weights.
struct Files {
    config: String,
    weights: Bytes,
}

fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = env::var_os("SELFATTN_MODEL").map_or_else(|| "models/all-MiniLM-L6-v2".into(), PathBuf::from);
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read(&path).unwrap_or_else(|error| {
                panic!("{}: {error}\nget the model by: python3 scripts/get_minilm.py", path.display())
            })
        };
        let config = String::from_utf8(read("config.json")).unwrap();
        Files { config, weights: Bytes::copy(&read("model.safetensors")) }
    })
}

/// A sentence of the goldens.
struct Row {
    text: Text,
    embedding: Vec<f64>,
    /// The second token's: the first is the same [CLS] in all.
    hidden: Vec<f64>,
    /// Layer, head and the attention of the second token.
    attention: Vec<(usize, usize, Vec<f64>)>,
}

fn goldens() -> Vec<Row> {
    let goldens: Value = serde_json::from_str(include_str!("goldens/minilm.json")).unwrap();
    let numbers = |x: &Value| x.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    let row = |row: &Value| Row {
        text: Text::of(
            &row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect::<Vec<_>>(),
        ),
        embedding: numbers(&row["embedding"]),
        hidden: numbers(&row["last_hidden_state_token_1"]),
        attention: row["attention"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, row)| {
                let (layer, head) = name.strip_prefix("layer").unwrap().split_once("_head").unwrap();
                let head = head.strip_suffix("_row1").unwrap();
                (layer.parse().unwrap(), head.parse().unwrap(), numbers(row))
            })
            .collect(),
    };
    goldens["rows"].as_array().unwrap().iter().map(row).collect()
}

/// All sentences in one batch.
fn all(rows: &[Row]) -> Text {
    let mut all = Text::default();
    rows.iter().for_each(|row| all.push(&row.text));
    all
}

fn embeddings(rows: &[Row]) -> Mat {
    let data: Vec<f64> = rows.iter().flat_map(|row| row.embedding.clone()).collect();
    Mat { rows: rows.len(), cols: 384, data }
}

/// Calls `test` at every level with plain and with packed weights.
fn every_encoder(test: impl Fn(&Encoder, Engine<'_>, &str)) {
    let Files { config, weights } = files();
    every_level(|engine| {
        for (name, pack_for) in [("plain", None), ("packed", Some(engine.level()))] {
            let what = format!("{} {name}", engine.level());
            with_encoder(config, weights, pack_for, |encoder| test(encoder, engine, &what));
        }
    });
}

#[track_caller]
fn within(what: &str, error: f64, allowed: f64) {
    println!("{what}: off by {error:.1e}, allowed {allowed:.1e}");
    assert!(error <= allowed, "{what}: off by {error:e}, allowed {allowed:e}");
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn sentence_vectors_are_the_references() {
    let rows = goldens();
    every_encoder(|encoder, engine, what| {
        let error = max_error(&embed(encoder, engine, &all(&rows)).mat(), &embeddings(&rows));
        within(&format!("{what}, sentence vectors"), error, SENTENCE_VECTOR);
    });
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn hidden_states_are_the_references() {
    let rows = goldens();
    every_encoder(|encoder, engine, what| {
        let error = rows.iter().map(|row| {
            let states = hidden(encoder, engine, &row.text).mat();
            max_error(&states.rows(1, 1), &Mat { rows: 1, cols: 384, data: row.hidden.clone() })
        });
        within(&format!("{what}, hidden states"), error.fold(0.0, f64::max), HIDDEN_STATE);
    });
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn attention_rows_are_the_references() {
    let rows = goldens();
    every_encoder(|encoder, engine, what| {
        let error = rows.iter().map(|row| attention_error(encoder, engine, row));
        within(&format!("{what}, attention rows"), error.fold(0.0, f64::max), ATTENTION_ROW);
    });
}

/// The largest error of the attention rows of a sentence, as seen through the probe.
fn attention_error(encoder: &Encoder, engine: Engine<'_>, row: &Row) -> f64 {
    let (tokens, dim) = (row.text.ids.len(), encoder.config().head_dim());
    let options = Attention::new(encoder.config().heads, dim);
    let (mut error, mut seen) = (0.0, 0);
    let mut probe = |probe: Probe<'_>| {
        for (_, head, expected) in row.attention.iter().filter(|(layer, ..)| *layer == probe.layer) {
            let mut weights = vec![0.0; tokens];
            let inspection = Inspection::new(&options, probe.q, probe.k).queries(1..2).heads(*head..head + 1);
            let mut scratch = vec![0; engine.inspection_scratch(&options).unwrap()];
            let mut put = |piece: AttentionWeights<'_>| weights[piece.keys].copy_from_slice(piece.weights);
            engine.attention_weights(&inspection, &mut scratch, &mut put).unwrap();
            let expected = Mat { rows: 1, cols: tokens, data: expected.clone() };
            error = f64::max(error, max_error(&Mat::of_row(&weights), &expected));
            seen += 1;
        }
    };
    let mut states = vec![0.0; tokens * 384];
    let states = MatMut::new(&mut states, tokens, 384).unwrap();
    let mut scratch = scratch_for(encoder, engine, tokens);
    encoder.forward_with(&engine, &row.text.batch(), states, &mut scratch, &mut probe).unwrap();
    assert_eq!(seen, row.attention.len());
    error
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn a_sentence_alone_has_the_bits_it_has_in_the_batch() {
    let rows = goldens();
    every_encoder(|encoder, engine, what| {
        let vectors = embed(encoder, engine, &all(&rows));
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(embed(encoder, engine, &row.text).bits(), vectors.row_bits(i), "{what}: sentence {i}");
        }
    });
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn threads_do_not_change_a_bit() {
    let text = all(&goldens());
    every_encoder(|encoder, engine, what| {
        let expected = embed(encoder, engine, &text).bits();
        for (name, pool) in &every_pool() {
            assert_eq!(embed(encoder, engine.with_pool(&**pool), &text).bits(), expected, "{what}: {name}");
        }
    });
}

#[test]
#[ignore = "needs ./models: python3 scripts/get_minilm.py"]
fn half_precision_weights_give_nearly_the_references_vectors() {
    let rows = goldens();
    let (text, expected) = (all(&rows), embeddings(&rows));
    for (dtype, least) in [(Dtype::F16, F16_COSINE), (Dtype::Bf16, BF16_COSINE)] {
        let weights = converted(dtype);
        every_level(|engine| {
            let run =
                |pack_for| with_encoder(&files().config, &weights, pack_for, |encoder| embed(encoder, engine, &text));
            let (plain, packed) = (run(None), run(Some(engine.level())));
            assert_eq!(plain.bits(), packed.bits());
            let got = plain.mat();
            let cosine = |i| {
                dot(got.row(i), expected.row(i))
                    / (dot(got.row(i), got.row(i)) * dot(expected.row(i), expected.row(i))).sqrt()
            };
            let worst = (0..rows.len()).map(cosine).fold(1.0, f64::min);
            println!("{} {}: worst cosine {worst:.7}, at least {least} wanted", engine.level(), dtype.name());
            assert!(worst >= least, "{} {}: cosine {worst}", engine.level(), dtype.name());
        });
    }
}

/// The model's weight file with all numbers rounded to another type.
fn converted(dtype: Dtype) -> Bytes {
    let file = &files().weights;
    let header_len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..8 + header_len]).unwrap();
    let data = &file[8 + header_len..];
    let number = |x: &Value| x.as_u64().unwrap() as usize;
    // The rest is the position ids, which are integers and not needed, and the metadata.
    let tensors = header.iter().filter(|(_, entry)| entry["dtype"] == "F32").map(|(name, entry)| {
        let [start, end] = [0, 1].map(|i| number(&entry["data_offsets"][i]));
        let shape = entry["shape"].as_array().unwrap().iter().map(number).collect();
        let values = data[start..end].chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
        (name.clone(), Tensor { dtype: Dtype::F32, shape, values }.stored_as(dtype))
    });
    safetensors(&tensors.collect())
}
