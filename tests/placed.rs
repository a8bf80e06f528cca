//! An encoder bound to places that were found ahead of time is the one that is bound by names.

mod common;

use common::every_level;
use common::model::{Model, Sizes, Spelling};
use common::run::{Text, embed, with_encoder};
use selfattn::block::{Encoder, Layer};
use selfattn::weights::{EncoderConfig, Place, Placed, SafeTensors};
use selfattn::{Dtype, Error};

/// The configuration of a model, and its tensors' places in its file.
fn places(model: &Model, file: &[u8]) -> (EncoderConfig, Vec<Place>) {
    let config = EncoderConfig::from_json(model.config_json().as_bytes()).unwrap();
    let all = Place::of_all(&config, &SafeTensors::new(file).unwrap()).unwrap();
    (config, all.collect::<Result<_, _>>().unwrap())
}

#[test]
fn the_same_bits_as_by_names() {
    let text = Text::of(&[5, 3, 52, 0, 7]);
    for spelling in [Spelling::Bert, Spelling::Roberta, Spelling::DistilBert] {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let model = Model::random(spelling, Sizes::default(), 1).stored_as(dtype);
            let file = model.safetensors();
            let (config, places) = places(&model, &file);
            let mut layers = vec![Layer::default(); config.layers];
            let encoder = Encoder::bind_placed(&config, &Placed::new(&file, &places), &mut layers).unwrap();
            with_encoder(&model.config_json(), &file, None, |named| {
                every_level(|engine| {
                    let (placed, named) = (embed(&encoder, engine, &text).bits(), embed(named, engine, &text).bits());
                    assert_eq!(placed, named, "{spelling:?} {} {}", dtype.name(), engine.level());
                });
            });
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = Model::random(Spelling::Bert, Sizes::default(), 1);
    let file = model.safetensors();
    let (config, places) = places(&model, &file);
    let bind = |file: &[u8], places: &[Place], layers: usize| {
        let mut layers = vec![Layer::default(); layers];
        Encoder::bind_placed(&config, &Placed::new(file, places), &mut layers).err()
    };
    assert_eq!(bind(&file, &places, config.layers), None);
    let (expected, got) = (places.len(), places.len() - 1);
    assert_eq!(bind(&file, &places[..got], config.layers), Some(Error::Shape { arg: "places", expected, got }));
    let (expected, got) = (config.layers, config.layers - 1);
    assert_eq!(bind(&file, &places, got), Some(Error::Shape { arg: "layers", expected, got }));
    let needed = file.len() as u64;
    assert_eq!(
        bind(&file[..file.len() - 1], &places, config.layers),
        Some(Error::Truncated { needed, got: needed - 1 })
    );
    let far = Place { offset: usize::MAX - 3, dtype: Dtype::F32 };
    assert!(matches!(bind(&file, &vec![far; places.len()], config.layers), Some(Error::Truncated { .. })));
    let odd = Place { offset: places[0].offset + 1, ..places[0] };
    let odd: Vec<Place> = [odd].into_iter().chain(places[1..].iter().copied()).collect();
    assert_eq!(bind(&file, &odd, config.layers), Some(Error::Misaligned { arg: "bytes", align: 4 }));
}
