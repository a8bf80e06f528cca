//! Memory planned at compile time is what the size queries say at run time.

mod common;

use common::every_level;
use common::model::{Model, Sizes, Spelling};
use common::run::with_encoder;
use selfattn::block::Encoder;
use selfattn::{Attention, Dtype, Level, MatRef, Weights};

/// That it compiles is the test.
static SCRATCH: [u8; Attention::scratch_len(16, 16, Level::SCALAR)] =
    [0; Attention::scratch_len(16, 16, Level::SCALAR)];

#[test]
fn encoders() {
    let model = Model::random(Spelling::Bert, Sizes::default(), 1);
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            for tokens in [0, 1, 7, 64, 145, 1000] {
                let planned = Encoder::scratch_len(encoder.config(), tokens, engine.level());
                assert_eq!(Ok(planned), encoder.scratch_bytes(&engine, tokens), "{} {tokens}", engine.level());
            }
            assert_eq!(Encoder::scratch_len(encoder.config(), usize::MAX / 8, engine.level()), usize::MAX);
        });
    });
}

#[test]
fn attention() {
    every_level(|engine| {
        for dim in [1, 16, 33, 64, 256] {
            let planned = Attention::scratch_len(dim, dim, engine.level());
            assert_eq!(Ok(planned), engine.attention_scratch(&Attention::new(3, dim)), "{} {dim}", engine.level());
        }
        assert_eq!(Attention::scratch_len(usize::MAX / 8, 1, engine.level()), usize::MAX);
    });
    let attention = Attention::new(1, 16);
    let engine = selfattn::Engine::new().with_level(Level::SCALAR);
    assert_eq!(engine.attention_scratch(&attention), Ok(SCRATCH.len()));
}

#[test]
fn products() {
    every_level(|engine| {
        for [m, n, k] in [[0, 0, 0], [1, 1, 1], [64, 64, 64], [3, 5, 700], [200, 300, 3000]] {
            let data = vec![0.0; n * k];
            let weights = Weights::from(MatRef::new(&data, n, k).unwrap());
            let planned = Weights::scratch_len(m, n, k, engine.level());
            assert_eq!(Ok(planned), engine.matmul_scratch(m, Dtype::F32, &weights), "{} {m}x{n}x{k}", engine.level());
        }
    });
}
