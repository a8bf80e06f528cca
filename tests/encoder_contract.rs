//! What the encoder refuses, by name and without writing; and what its bits do not depend on: batch, scratch, threads.

mod common;

use common::data::Rng;
use common::every_level;
use common::memory::{Bytes, Strided};
use common::model::{Model, Sizes, Spelling, Tensor, safetensors};
use common::pools::{Vast, every_pool};
use common::run::{Text, embed, hidden, scratch_for, with_encoder};
use selfattn::block::{Batch, Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};
use selfattn::{Dtype, Engine, Error, Level};

fn model() -> Model {
    Model::random(Spelling::Bert, Sizes::default(), 1)
}

fn text(lengths: &[usize]) -> Text {
    let mut rng = Rng::new(3);
    let mut text = Text::default();
    for &len in lengths {
        text.push(&Text::of(&(0..len).map(|_| rng.below(53) as u32).collect::<Vec<_>>()));
    }
    text
}

#[test]
fn a_sentence_alone_has_the_bits_it_has_in_a_batch() {
    let text = text(&[7, 1, 70, 33, 2, 48, 49]);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let model = model().stored_as(dtype);
        with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
            every_level(|engine| {
                let (states, vectors) = (hidden(encoder, engine, &text), embed(encoder, engine, &text));
                let mut start = 0;
                for (i, alone) in text.sequences().iter().enumerate() {
                    let rows: Vec<u32> =
                        (start..start + alone.ids.len()).flat_map(|row| states.row_bits(row)).collect();
                    start += alone.ids.len();
                    let what = format!("{} {} sentence {i}", engine.level(), dtype.name());
                    assert_eq!(hidden(encoder, engine, alone).bits(), rows, "{what}");
                    assert_eq!(embed(encoder, engine, alone).bits(), vectors.row_bits(i), "{what}");
                }
            });
        });
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (model, text) = (model(), text(&[7, 1, 70, 33, 48]));
    let (config, file) = (model.config_json(), model.safetensors());
    every_level(|engine| {
        for pack_for in [None, Some(engine.level())] {
            with_encoder(&config, &file, pack_for, |encoder| {
                let expected = [hidden(encoder, engine, &text).bits(), embed(encoder, engine, &text).bits()];
                for (name, pool) in &every_pool() {
                    let engine = engine.with_pool(&**pool);
                    let got = [hidden(encoder, engine, &text).bits(), embed(encoder, engine, &text).bits()];
                    assert_eq!(got, expected, "{engine:?} {name}");
                }
            });
        }
    });
}

#[test]
fn the_state_of_the_scratch_has_no_influence() {
    let (model, text) = (model(), text(&[7, 1, 70, 33, 48]));
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            let needed = encoder.scratch_bytes(&engine, 70).unwrap();
            let run = |misalignment, byte| {
                let mut scratch = Bytes::new(needed, misalignment);
                scratch.fill(byte);
                let mut out = Strided::unwritten(text.ids.len(), 36, 1, 0);
                encoder.forward(&engine, &text.batch(), out.view_mut(), &mut scratch).unwrap();
                out.bits()
            };
            let clean = run(0, 0);
            for misalignment in [0, 1, 2, 4, 63] {
                assert_eq!(run(misalignment, 0xFF), clean, "{} +{misalignment}", engine.level());
            }
        });
    });
}

/// The error of a forward pass and of the sentence vectors, which must be the same, with outputs untouched.
fn refusal(encoder: &Encoder, engine: Engine<'_>, batch: &Batch<'_>, scratch: &mut [u8]) -> Error {
    let mut out = Strided::unwritten(batch.ids().len(), encoder.config().hidden_size, 0, 0);
    let error = encoder.forward(&engine, batch, out.view_mut(), scratch).unwrap_err();
    out.assert_unwritten();
    let mut out = Strided::unwritten(batch.lengths().len(), encoder.config().hidden_size, 0, 0);
    assert_eq!(encoder.embed(&engine, batch, out.view_mut(), scratch), Err(error));
    out.assert_unwritten();
    error
}

#[test]
fn input_that_the_model_cannot_take_is_refused() {
    let model = model();
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            let refused = |text: &Text| {
                let mut scratch = scratch_for(encoder, engine, 200);
                refusal(encoder, engine, &text.batch(), &mut scratch)
            };
            // In the second group, so that the first could have been written by then.
            let mut bad = text(&[70, 70, 70]);
            bad.ids[150] = 53;
            assert_eq!(refused(&bad), Error::Token { index: 150, id: 53, vocab: 53 });
            bad.ids[150] = u32::MAX;
            assert_eq!(refused(&bad), Error::Token { index: 150, id: u32::MAX, vocab: 53 });
            let mut bad = text(&[70, 70, 70]);
            bad.types[209] = 2;
            assert_eq!(refused(&bad), Error::Token { index: 209, id: 2, vocab: 2 });
            assert_eq!(refused(&text(&[70, 71])), Error::TooLong { got: 71, max: 70 });
        });
    });
}

#[test]
fn roberta_has_fewer_positions_than_rows() {
    let model = Model::random(Spelling::Roberta, Sizes::default(), 1);
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        let engine = Engine::new();
        assert_eq!(hidden(encoder, engine, &text(&[70])).rows, 70);
        let mut scratch = scratch_for(encoder, engine, 71);
        let error = refusal(encoder, engine, &text(&[71]).batch(), &mut scratch);
        assert_eq!(error, Error::TooLong { got: 71, max: 70 });
    });
}

#[test]
fn outputs_and_scratch_that_do_not_fit_are_named() {
    let (model, text) = (model(), text(&[7, 1, 70, 33]));
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            let needed = encoder.scratch_bytes(&engine, 70).unwrap();
            let mut scratch = Bytes::new(needed, 0);
            for (rows, cols, expected, got) in [(110, 36, 111, 110), (111, 35, 36, 35)] {
                let mut out = Strided::unwritten(rows, cols, 0, 0);
                let result = encoder.forward(&engine, &text.batch(), out.view_mut(), &mut scratch);
                assert_eq!(result, Err(Error::Shape { arg: "hidden", expected, got }));
                out.assert_unwritten();
            }
            for (rows, cols, expected, got) in [(5, 36, 4, 5), (4, 37, 36, 37)] {
                let mut out = Strided::unwritten(rows, cols, 0, 0);
                let result = encoder.embed(&engine, &text.batch(), out.view_mut(), &mut scratch);
                assert_eq!(result, Err(Error::Shape { arg: "out", expected, got }));
                out.assert_unwritten();
            }
            let error = refusal(encoder, engine, &text.batch(), &mut scratch[1..]);
            assert_eq!(error, Error::Scratch { needed, got: needed - 1 });
            assert_eq!(refusal(encoder, engine, &text.batch(), &mut []), Error::Scratch { needed, got: 0 });
        });
    });
}

#[test]
fn weights_packed_for_another_level_are_refused() {
    let (model, text) = (model(), text(&[7, 1]));
    for packed_for in Level::available() {
        with_encoder(&model.config_json(), &model.safetensors(), Some(packed_for), |encoder| {
            every_level(|engine| {
                if engine.level() != packed_for {
                    let mut scratch = Bytes::new(1 << 20, 0);
                    let error = refusal(encoder, engine, &text.batch(), &mut scratch);
                    assert_eq!(error, Error::Packed { arg: "weights" });
                }
            });
        });
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let model = model();
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            for tokens in [usize::MAX, usize::MAX / 36, isize::MAX as usize / 128] {
                let error = encoder.scratch_bytes(&engine, tokens).unwrap_err();
                assert!(matches!(error, Error::Overflow { .. }), "{tokens}: {error:?}");
            }
            let vast = engine.with_pool(&Vast);
            let error = encoder.scratch_bytes(&vast, 1).unwrap_err();
            assert!(matches!(error, Error::Overflow { .. }), "{error:?}");
            assert_eq!(refusal(encoder, vast, &text(&[1]).batch(), &mut [0; 4096]), error);
        });
    });
}

#[test]
fn an_empty_batch_is_done_at_once() {
    let model = model();
    with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
        every_level(|engine| {
            assert_eq!(hidden(encoder, engine, &Text::default()).rows, 0);
            assert_eq!(embed(encoder, engine, &Text::default()).rows, 0);
        });
    });
}

#[test]
fn batches_that_do_not_add_up_are_refused() {
    let refused = |ids: &[u32], lengths: &[usize]| Batch::new(ids, lengths).unwrap_err();
    assert_eq!(refused(&[1, 2, 3], &[2, 2]), Error::Shape { arg: "lengths", expected: 3, got: 4 });
    assert_eq!(refused(&[1, 2, 3], &[]), Error::Shape { arg: "lengths", expected: 3, got: 0 });
    assert_eq!(refused(&[1, 2, 3], &[3, 0]), Error::Value { arg: "lengths" });
    assert_eq!(refused(&[1, 2, 3], &[4, usize::MAX]), Error::Overflow { arg: "lengths" });
    let error = Batch::new(&[1, 2, 3], &[3]).unwrap().with_type_ids(&[0, 0]).unwrap_err();
    assert_eq!(error, Error::Shape { arg: "type_ids", expected: 3, got: 2 });
}

/// What binding answers to a file with one change.
fn bind_changed(spelling: Spelling, change: impl FnOnce(&mut std::collections::BTreeMap<String, Tensor>)) -> Error {
    let model = Model::random(spelling, Sizes::default(), 1);
    let mut tensors = model.spelled();
    change(&mut tensors);
    bind(&model, &safetensors(&tensors), 2).unwrap_err()
}

fn bind(model: &Model, file: &[u8], layers: usize) -> Result<(), Error> {
    let config = EncoderConfig::from_json(model.config_json().as_bytes())?;
    let tensors = SafeTensors::new(file)?;
    Encoder::bind(&config, &tensors, &mut vec![Layer::default(); layers]).map(|_| ())
}

#[test]
fn each_tensor_that_is_missing_is_named() {
    for spelling in [Spelling::Bert, Spelling::Roberta, Spelling::DistilBert] {
        for name in Model::random(spelling, Sizes::default(), 1).spelled().into_keys() {
            match bind_changed(spelling, |tensors| drop(tensors.remove(&name))) {
                Error::MissingTensor { tensor } => assert_eq!(tensor.to_string(), name),
                error => panic!("{name}: {error:?}"),
            }
        }
    }
}

#[test]
fn each_tensor_of_another_shape_is_named() {
    for spelling in [Spelling::Bert, Spelling::Roberta, Spelling::DistilBert] {
        for name in Model::random(spelling, Sizes::default(), 1).spelled().into_keys() {
            let mut shape = Vec::new();
            let error = bind_changed(spelling, |tensors| {
                let tensor = tensors.get_mut(&name).unwrap();
                shape.clone_from(&tensor.shape);
                // One more of the first dimension.
                tensor.shape[0] += 1;
                let more = tensor.values.len() / shape[0];
                tensor.values.extend_from_within(..more);
            });
            match error {
                Error::TensorShape { tensor, expected, got } => {
                    assert_eq!(tensor.to_string(), name);
                    let matrix = |shape: &[usize]| if let [len] = shape { [1, *len] } else { [shape[0], shape[1]] };
                    assert_eq!(expected, matrix(&shape));
                    shape[0] += 1;
                    assert_eq!(got, matrix(&shape));
                }
                error => panic!("{name}: {error:?}"),
            }
        }
    }
}

#[test]
fn a_tensor_too_many_is_refused() {
    for name in ["encoder.layer.2.output.dense.bias", "embeddings.more.weight", "other"] {
        let error = bind_changed(Spelling::Bert, |tensors| {
            let any = tensors["encoder.layer.1.output.dense.bias"].clone();
            tensors.insert(name.to_owned(), any);
        });
        let index =
            Model::random(Spelling::Bert, Sizes::default(), 1).tensors.keys().filter(|n| n.as_str() < name).count();
        assert_eq!(error, Error::UnknownTensor { index }, "{name}");
    }
}

#[test]
fn a_short_list_of_layers_and_misaligned_bytes_are_refused() {
    let model = model();
    let file = model.safetensors();
    assert_eq!(bind(&model, &file, 1), Err(Error::Shape { arg: "layers", expected: 2, got: 1 }));
    assert_eq!(bind(&model, &file, 3), Ok(()));
    for (dtype, misalignment) in [(Dtype::F32, 1), (Dtype::F32, 2), (Dtype::F16, 1), (Dtype::Bf16, 1)] {
        let file = model.clone().stored_as(dtype).safetensors();
        let mut shifted = Bytes::new(file.len(), misalignment);
        shifted.copy_from_slice(&file);
        let error = bind(&model, &shifted, 2).unwrap_err();
        assert!(matches!(error, Error::Misaligned { align, .. } if align == dtype.size()), "{error:?}");
    }
}
