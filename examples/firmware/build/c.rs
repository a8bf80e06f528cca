//! Feature `c`: the plain C that is compared with, and its weights.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use selfattn::weights::{EncoderConfig, Family, Names, Part, SafeTensors};

/// Compiles `c/naive.c` by the cross gcc, and CMSIS-DSP's product if the environment variable `CMSIS_DSP` has its folder.
pub fn compile() {
    println!("cargo:rerun-if-changed=c\ncargo:rerun-if-env-changed=CMSIS_DSP");
    println!("cargo:rustc-check-cfg=cfg(cmsis_dsp)");
    let mut build = cc::Build::new();
    // As a user of the FPU would: the names of the functions are known, and errno is not asked for.
    build.file("c/naive.c").opt_level(3).warnings(true).flag("-ffreestanding").flag("-fno-math-errno");
    if let (Some(folder), true) = (env::var_os("CMSIS_DSP").map(PathBuf::from), is_arm()) {
        build.file(folder.join("Source/MatrixFunctions/arm_mat_mult_f32.c"));
        build.file("c/cmsis/product.c").include("c/cmsis").define("ARM_MATH_LOOPUNROLL", None);
        build.include(folder.join("Include")).include(folder.join("PrivateInclude"));
        println!("cargo:rustc-cfg=cmsis_dsp");
    }
    build.compile("naive");
}

fn is_arm() -> bool {
    env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "arm")
}

/// Writes the weights as f32 in the order of `naive_encoder`.
pub fn write_weights(out: &Path, config: &EncoderConfig, weights: &[u8]) -> Result<(), Box<dyn Error>> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let file = SafeTensors::new(weights)?;
    let names = Names::detect(&file, Family::Bert)?;
    let mut bytes = Vec::new();
    let mut put = |layer, part, rows, cols| -> Result<(), selfattn::Error> {
        let matrix = file.matrix(names.name(layer, part), rows, cols)?;
        let mut row = vec![0.0; cols];
        for i in 0..rows {
            matrix.read_row(i, &mut row)?;
            bytes.extend(row.iter().flat_map(|x| x.to_le_bytes()));
        }
        Ok(())
    };
    put(0, Part::WordEmbeddings, config.vocab_size, hidden)?;
    put(0, Part::PositionEmbeddings, config.position_rows()?, hidden)?;
    put(0, Part::TokenTypeEmbeddings, config.token_types, hidden)?;
    put(0, Part::EmbeddingsNormWeight, 1, hidden)?;
    put(0, Part::EmbeddingsNormBias, 1, hidden)?;
    for layer in 0..config.layers {
        for (part, rows, cols) in [
            (Part::QueryWeight, hidden, hidden),
            (Part::QueryBias, 1, hidden),
            (Part::KeyWeight, hidden, hidden),
            (Part::KeyBias, 1, hidden),
            (Part::ValueWeight, hidden, hidden),
            (Part::ValueBias, 1, hidden),
            (Part::AttentionOutputWeight, hidden, hidden),
            (Part::AttentionOutputBias, 1, hidden),
            (Part::AttentionNormWeight, 1, hidden),
            (Part::AttentionNormBias, 1, hidden),
            (Part::IntermediateWeight, inner, hidden),
            (Part::IntermediateBias, 1, inner),
            (Part::OutputWeight, hidden, inner),
            (Part::OutputBias, 1, hidden),
            (Part::OutputNormWeight, 1, hidden),
            (Part::OutputNormBias, 1, hidden),
        ] {
            put(layer, part, rows, cols)?;
        }
    }
    Ok(fs::write(out.join("model.f32"), bytes)?)
}
