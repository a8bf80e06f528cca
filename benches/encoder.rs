//! Sentence vectors by an encoder of MiniLM's shape with random weights: speed does not depend on what the weights are.
//!
//! `cargo bench --bench encoder`. The real model's speed is `selfattn bench`.

mod common;
#[path = "../tests/common/mod.rs"]
mod fixtures;

use std::hint::black_box;

use common::{Bench, engines};
use criterion::{Criterion, criterion_group, criterion_main};
use fixtures::data::Rng;
use fixtures::model::{Model, Sizes, Spelling};
use selfattn::MatMut;
use selfattn::block::{Batch, Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};

/// all-MiniLM-L6-v2, but for a vocabulary of 1000 words: it is only looked up in.
const SIZES: Sizes =
    Sizes { vocab: 1000, positions: 512, types: 2, hidden: 384, layers: 6, heads: 12, intermediate: 1536 };
/// Texts and tokens of each: a search box, a passage, an index in the making.
const TESTS: [(usize, usize); 3] = [(1, 16), (1, 128), (32, 128)];
/// Tokens to work on at once, as scratch allows: more than the longest text, few enough to stay in the cache.
const GROUP: usize = 512;

fn encoder(criterion: &mut Criterion) {
    let model = Model::random(Spelling::Bert, SIZES, 42);
    let (config, file) = (EncoderConfig::from_json(model.config_json().as_bytes()).unwrap(), model.safetensors());
    let tensors = SafeTensors::new(&file).unwrap();
    let mut bench = Bench::new(criterion, "MiniLM-shaped encoder");
    for engine in engines() {
        let mut layers = vec![Layer::default(); config.layers];
        let mut encoder = Encoder::bind(&config, &tensors, &mut layers).unwrap();
        let mut memory = vec![0; encoder.packed_bytes(engine.level()).unwrap()];
        encoder.pack(engine.level(), &mut memory).unwrap();
        let mut scratch = vec![0; encoder.scratch_bytes(&engine, GROUP).unwrap()];
        for (texts, tokens) in TESTS {
            let mut rng = Rng::new(7);
            let ids: Vec<u32> = (0..texts * tokens).map(|_| rng.below(SIZES.vocab) as u32).collect();
            let lengths = vec![tokens; texts];
            let batch = Batch::new(&ids, &lengths).unwrap();
            let mut out = vec![0.0; texts * SIZES.hidden];
            bench.run(&engine, &format!("f32 {texts}x{tokens}"), encoder.flops(&batch), || {
                let out = MatMut::new(&mut out, texts, SIZES.hidden).unwrap();
                encoder.embed(&engine, black_box(&batch), out, &mut scratch).unwrap();
            });
        }
    }
}

criterion_group!(benches, encoder);
criterion_main!(benches);
