//! The model as the firmware has it: its bytes, its configuration as a constant, and the vectors that the host computes.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use selfattn::block::{Batch, Encoder, Layer};
use selfattn::weights::{EncoderConfig, Place, SafeTensors};
use selfattn::{Engine, MatMut};

use crate::texts::TEXTS;

/// Writes `model.safetensors` and `model.rs`.
pub fn write(out: &Path) -> Result<(), Box<dyn Error>> {
    let (config, weights) = read()?;
    let config = EncoderConfig::from_json(config.as_bytes())?;
    let vectors = vectors(&config, &weights)?;
    fs::write(out.join("model.safetensors"), &weights)?;
    #[cfg(feature = "c")]
    crate::c::write_weights(out, &config, &weights)?;
    let mut code = String::new();
    let EncoderConfig { family, activation, .. } = config;
    // As `Debug` writes it, it is an expression, but for the two enums' paths.
    let literal = format!("{config:?}")
        .replacen(&format!("family: {family:?}"), &format!("family: Family::{family:?}"), 1)
        .replacen(&format!("activation: {activation:?}"), &format!("activation: Activation::{activation:?}"), 1);
    writeln!(code, "pub const CONFIG: EncoderConfig = {literal};")?;
    let places: Vec<Place> = Place::of_all(&config, &SafeTensors::new(&weights)?)?.collect::<Result<_, _>>()?;
    let literal = format!("{places:?}").replace("dtype: ", "dtype: Dtype::");
    writeln!(code, "static PLACES: [Place; {}] = {literal};", places.len())?;
    writeln!(code, "pub const EXPECTED: [[f32; {}]; {}] = {vectors:?};", config.hidden_size, TEXTS.len())?;
    fs::write(out.join("model.rs"), code)?;
    Ok(())
}

/// The model that the command line carries as well.
const MODEL: &str = "../../model";

/// `config.json` and `model.safetensors` of the folder in `FIRMWARE_MODEL`, or of [`MODEL`].
fn read() -> Result<(String, Vec<u8>), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=FIRMWARE_MODEL");
    let folder = env::var_os("FIRMWARE_MODEL").map_or(PathBuf::from(MODEL), PathBuf::from);
    let (config, weights) = (folder.join("config.json"), folder.join("model.safetensors"));
    println!("cargo:rerun-if-changed={}\ncargo:rerun-if-changed={}", config.display(), weights.display());
    Ok((fs::read_to_string(config)?, fs::read(weights)?))
}

/// Each text's vector at the host's best level.
fn vectors(config: &EncoderConfig, weights: &[u8]) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let tensors = SafeTensors::new(weights)?;
    let mut layers = vec![Layer::default(); config.layers];
    let encoder = Encoder::bind(config, &tensors, &mut layers)?;
    let engine = Engine::new();
    let mut vectors = Vec::new();
    for ids in TEXTS {
        let mut scratch = vec![0; encoder.scratch_bytes(&engine, ids.len())?];
        let mut vector = vec![0.0; config.hidden_size];
        let out = MatMut::new(&mut vector, 1, config.hidden_size)?;
        encoder.embed(&engine, &Batch::new(ids, &[ids.len()])?, out, &mut scratch)?;
        vectors.push(vector);
    }
    Ok(vectors)
}
