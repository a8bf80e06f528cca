//! Weight files on a big-endian CPU: little-endian as they are, they are read but for their numbers, which are refused.

#![cfg(target_endian = "big")]

mod common;

use common::model::{Model, Sizes, Spelling};
use selfattn::Error;
use selfattn::block::{Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};

#[test]
fn an_encoder_is_refused_before_it_computes_anything() {
    let model = Model::random(Spelling::Bert, Sizes::default(), 7);
    let file = model.safetensors();
    let config = EncoderConfig::from_json(model.config_json().as_bytes()).unwrap();
    let tensors = SafeTensors::new(&file).unwrap();
    assert!(tensors.tensors().count() > 0);
    let mut layers = vec![Layer::default(); config.layers];
    let error = Encoder::bind(&config, &tensors, &mut layers).err();
    assert_eq!(error, Some(Error::BigEndian));
    assert_eq!(Error::BigEndian.to_string(), "weight files are little-endian, and this target is big-endian");
}
