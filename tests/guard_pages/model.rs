//! A weight file and an encoder on it.

use selfattn::Dtype;
use selfattn::block::{Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};

use crate::common::model::{Model, Sizes, Spelling};
use crate::common::run::Text;
use crate::common::stored::DTYPES;
use crate::memory::{Edge, Floats, Guarded, at_every_length, scratch};

fn model(dtype: Dtype) -> Model {
    let sizes = Sizes { vocab: 11, positions: 40, hidden: 6, layers: 1, heads: 2, intermediate: 9, ..Sizes::default() };
    Model::random(Spelling::Bert, sizes, 1).stored_as(dtype)
}

/// All of a file is read, and nothing behind its end, wherever it is cut off.
#[test]
fn a_file_cut_at_any_byte_is_not_read_behind_its_end() {
    let file = model(Dtype::F32).safetensors();
    let mut cuts: Vec<usize> = (0..file.len()).step_by(7).collect();
    cuts.extend(0..64);
    for cut in cuts {
        for edge in [Edge::Front, Edge::Back] {
            SafeTensors::new(&Guarded::new(edge, &file[..cut])).unwrap_err();
        }
    }
}

/// Plain and packed, the file, the ids, the result and the scratch at the edges.
#[test]
fn an_encoder_stays_inside_at_every_number_of_tokens() {
    let models = DTYPES.map(|dtype| (model(dtype).safetensors(), model(dtype).config_json()));
    at_every_length(1..=40, |engine, edge, tokens| {
        let text = Text::of(&(0..tokens as u32).map(|id| id % 11).collect::<Vec<_>>());
        let run = |(file, config): &(crate::common::memory::Bytes, String)| {
            let (file, ids) = (Guarded::new(edge, file), Guarded::new(edge, &text.ids));
            let config = EncoderConfig::from_json(&Guarded::new(edge, config.as_bytes())).unwrap();
            let mut layers = vec![Layer::default(); config.layers];
            let tensors = SafeTensors::new(&file).unwrap();
            let mut memory;
            let mut encoder = Encoder::bind(&config, &tensors, &mut layers).unwrap();
            let batch = selfattn::block::Batch::new(&ids, &text.lengths).unwrap();
            let embed = |encoder: &Encoder<'_, '_>| {
                let mut out = Floats::unwritten(edge, [1, config.hidden_size], 0);
                let mut scratch = scratch(edge, encoder.scratch_bytes(&engine, tokens).unwrap());
                encoder.embed(&engine, &batch, out.view_mut(), &mut scratch).unwrap();
                out.bits()
            };
            let plain = embed(&encoder);
            memory = scratch(edge, encoder.packed_bytes(engine.level()).unwrap());
            encoder.pack(engine.level(), &mut memory).unwrap();
            [plain, embed(&encoder)].concat()
        };
        models.iter().flat_map(run).collect()
    });
}
