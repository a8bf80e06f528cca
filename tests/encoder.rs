//! The encoder on tiny random models against the f64 one: every family, storage type and level, plain and packed.

mod common;

use common::bound::max_error;
use common::data::Rng;
use common::encoder::{encode, encode_with};
use common::every_level;
use common::memory::Strided;
use common::model::{Model, Sizes, Spelling, safetensors};
use common::oracle::{Mat, Real};
use common::run::{Text, embed, hidden, hidden_in_groups, scratch_for, with_encoder};
use selfattn::block::Batch;
use selfattn::{Activation, Dtype};

const SPELLINGS: [Spelling; 3] = [Spelling::Bert, Spelling::Roberta, Spelling::DistilBert];
const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// The gate that FlashAttention's tests use for results behind so many operations that a worst-case bound says nothing: at
/// most twice the error of a plain implementation in the same precision, here the f32 run of the same oracle.
const GATE: f64 = 2.0;

/// Random sequences of these lengths.
fn random_text(model: &Model, lengths: &[usize], seed: u64) -> Text {
    let mut rng = Rng::new(seed);
    let (vocab, types) = (model.sizes.vocab, model.sizes.types.max(1));
    let mut draw = |below: usize| (0..lengths.iter().sum()).map(|_| rng.below(below) as u32).collect();
    Text { ids: draw(vocab), types: draw(types), lengths: lengths.to_vec() }
}

/// The hidden states of all sequences by the oracle.
fn oracle<T: Real>(model: &Model, text: &Text) -> Mat {
    let mut states = Mat::zeros(0, model.sizes.hidden);
    for sequence in text.sequences() {
        states.append(encode::<T>(model, &sequence.ids, &sequence.types).widen());
    }
    states
}

/// Compares a model at every level with the oracle. Packed weights must give the bits of plain ones, and sentence vectors be
/// the normalised means of the hidden states to the bit.
fn check(model: &Model, text: &Text) {
    let truth = oracle::<f64>(model, text);
    let allowed = GATE * max_error(&oracle::<f32>(model, text), &truth);
    let (config, file) = (model.config_json(), model.safetensors());
    every_level(|engine| {
        let what = format!("{} {:?} {:?} {:?}", engine.level(), model.spelling, model.sizes, text.lengths);
        let run = |pack_for| {
            with_encoder(&config, &file, pack_for, |encoder| {
                [hidden(encoder, engine, text), embed(encoder, engine, text)]
            })
        };
        let [states, vectors] = run(None);
        let error = max_error(&states.mat(), &truth);
        assert!(error <= allowed, "{what}: off by {error:e}, allowed {allowed:e}");

        let mut means = Strided::unwritten(vectors.rows, vectors.cols, 0, 0);
        engine.mean_pool(states.view(), &text.lengths, means.view_mut()).unwrap();
        engine.normalize(means.view_mut());
        assert_eq!(vectors.bits(), means.bits(), "{what}: embed is not the mean of forward");

        let packed = run(Some(engine.level()));
        assert_eq!([states.bits(), vectors.bits()], packed.map(|x| x.bits()), "{what}: packed weights differ");
    });
}

#[test]
fn every_family_and_storage_type_is_within_the_gate() {
    for (seed, spelling) in SPELLINGS.into_iter().enumerate() {
        for dtype in DTYPES {
            let model = Model::random(spelling, Sizes::default(), seed as u64).stored_as(dtype);
            check(&model, &random_text(&model, &[1, 17, 2, 70, 33], 7));
        }
    }
}

#[test]
fn every_activation_is_within_the_gate() {
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
        let model = Model { activation, ..Model::random(Spelling::Bert, Sizes::default(), 5) };
        check(&model, &random_text(&model, &[20, 31], 8));
    }
}

#[test]
fn storage_types_may_be_mixed() {
    let mut model = Model::random(Spelling::Bert, Sizes::default(), 6);
    for (i, tensor) in model.tensors.values_mut().enumerate() {
        *tensor = tensor.stored_as(DTYPES[i % 3]);
    }
    check(&model, &random_text(&model, &[20, 31], 9));
}

/// The gate compares two maxima of random errors, and one model in a thousand fails it by chance: so the seeds are fixed.
#[test]
fn models_of_many_sizes_are_within_the_gate() {
    for seed in 0..40 {
        let mut rng = Rng::new(1000 + seed);
        let (heads, head_dim) = (1 + rng.below(4), 9 + rng.below(32));
        let (intermediate, layers) = (1 + rng.below(150), 1 + rng.below(3));
        let sizes = Sizes { hidden: heads * head_dim, heads, intermediate, layers, ..Sizes::default() };
        let model = Model::random(SPELLINGS[rng.below(3)], sizes, seed).stored_as(DTYPES[rng.below(3)]);
        let lengths: Vec<usize> = (0..1 + rng.below(4)).map(|_| 1 + rng.below(70)).collect();
        check(&model, &random_text(&model, &lengths, seed));
    }
}

#[test]
fn the_probe_sees_each_layers_projections() {
    let model = Model::random(Spelling::Bert, Sizes::default(), 3);
    let text = random_text(&model, &[13, 5, 40], 4);
    let cols = model.sizes.hidden;
    let empty = || vec![[(); 3].map(|()| Mat::zeros(0, cols)); model.sizes.layers];
    fn collect<T: Real>(model: &Model, text: &Text, into: &mut [[Mat; 3]]) {
        for sequence in text.sequences() {
            encode_with::<T>(model, &sequence.ids, &sequence.types, &mut |layer, projections| {
                into[layer].iter_mut().zip(projections).for_each(|(all, rows)| all.append(rows.widen()));
            });
        }
    }
    let (mut truth, mut plain) = (empty(), empty());
    collect::<f64>(&model, &text, &mut truth);
    collect::<f32>(&model, &text, &mut plain);
    every_level(|engine| {
        with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
            // Scratch for the longest sequence: a group is the first two, another the third.
            let mut scratch = scratch_for(encoder, engine, 40);
            let mut out = vec![0.0; text.ids.len() * cols];
            let out = selfattn::MatMut::new(&mut out, text.ids.len(), cols).unwrap();
            let (mut seen, mut calls) = (empty(), Vec::new());
            let mut probe = |probe: selfattn::block::Probe<'_>| {
                calls.push((probe.layer, probe.tokens.clone()));
                seen[probe.layer]
                    .iter_mut()
                    .zip([probe.q, probe.k, probe.v])
                    .for_each(|(all, x)| all.append(Mat::of(&x)));
            };
            encoder.forward_with(&engine, &text.batch(), out, &mut scratch, &mut probe).unwrap();
            assert_eq!(calls, [(0, 0..18), (1, 0..18), (0, 18..58), (1, 18..58)]);
            for layer in 0..model.sizes.layers {
                for i in 0..3 {
                    let error = max_error(&seen[layer][i], &truth[layer][i]);
                    let allowed = GATE * max_error(&plain[layer][i], &truth[layer][i]);
                    assert!(
                        error <= allowed,
                        "{} layer {layer}, {}: {error:e} > {allowed:e}",
                        engine.level(),
                        "qkv".split_at(i).1
                    );
                }
            }
        });
    });
}

#[test]
fn without_type_ids_all_are_of_type_zero() {
    let model = Model::random(Spelling::Bert, Sizes::default(), 3);
    let text = Text::of(&[5, 6, 7, 8]);
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            let expected = hidden(encoder, engine, &text);
            let mut out = Strided::unwritten(4, model.sizes.hidden, 0, 0);
            let batch = Batch::new(&text.ids, &text.lengths).unwrap();
            encoder.forward(&engine, &batch, out.view_mut(), &mut scratch_for(encoder, engine, 4)).unwrap();
            assert_eq!(out.bits(), expected.bits());
            let other = Text { types: vec![1; 4], ..text.clone() };
            assert_ne!(hidden(encoder, engine, &other).bits(), expected.bits(), "the types count");
        });
    });
}

/// A file of a model with a head: the names have a prefix, and there are tensors that an encoder does without.
#[test]
fn prefixed_names_and_heads_change_nothing() {
    for (spelling, prefix, head) in [
        (Spelling::Bert, "bert.", "cls.predictions.bias"),
        (Spelling::Roberta, "roberta.", "lm_head.bias"),
        (Spelling::DistilBert, "distilbert.", "vocab_transform.bias"),
    ] {
        let model = Model::random(spelling, Sizes::default(), 2);
        let text = random_text(&model, &[9, 30], 1);
        let mut tensors: std::collections::BTreeMap<_, _> =
            model.spelled().into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        let any = model.tensors["encoder.layer.0.output.dense.bias"].clone();
        tensors.insert(head.to_owned(), any.clone());
        tensors.insert(format!("{prefix}pooler.dense.bias"), any);
        let config = model.config_json();
        every_level(|engine| {
            let run = |file: &[u8]| with_encoder(&config, file, None, |encoder| hidden(encoder, engine, &text).bits());
            assert_eq!(run(&safetensors(&tensors)), run(&model.safetensors()), "{spelling:?}");
        });
    }
}

#[test]
fn groups_of_any_size_give_the_same_bits() {
    let model = Model::random(Spelling::Bert, Sizes::default(), 1);
    let text = random_text(&model, &[1, 17, 2, 40, 33, 1, 40], 2);
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            let expected = hidden(encoder, engine, &text).bits();
            for tokens in [40, 41, 57, 60, 100, 133, 500] {
                let got = hidden_in_groups(encoder, engine, &text, tokens).bits();
                assert_eq!(got, expected, "{} {tokens} tokens at once", engine.level());
            }
        });
    });
}

/// Its memory does not grow with its width times the tokens, and its bits do not depend on how many go together.
#[test]
fn a_wide_inner_layer_goes_by_some_tokens_at_a_time() {
    let sizes = Sizes { hidden: 12, heads: 3, intermediate: 12 * 40, ..Sizes::default() };
    let model = Model::random(Spelling::Bert, sizes, 21);
    check(&model, &random_text(&model, &[70, 1, 33], 22));
    let (config, file) = (model.config_json(), model.safetensors());
    every_level(|engine| {
        let bytes =
            |tokens| with_encoder(&config, &file, None, |encoder| encoder.scratch_bytes(&engine, tokens).unwrap());
        let token = (bytes(10_000) - bytes(5_000)) / 5_000;
        assert!(token < sizes.intermediate * size_of::<f32>(), "{}: {token} bytes for a token", engine.level());
    });
}
