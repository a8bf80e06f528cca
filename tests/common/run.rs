//! The library's encoder on a model in memory.

use selfattn::block::{Batch, Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};
use selfattn::{Engine, Level};

use super::memory::{Bytes, Strided};

/// Binds the encoder of a configuration and a weight file, packs it if a level is given, and calls `f` with it.
pub fn with_encoder<T>(config: &str, file: &[u8], pack_for: Option<Level>, f: impl FnOnce(&Encoder) -> T) -> T {
    let config = EncoderConfig::from_json(config.as_bytes()).unwrap();
    let tensors = SafeTensors::new(file).unwrap();
    let mut memory;
    let mut layers = vec![Layer::default(); config.layers];
    let mut encoder = Encoder::bind(&config, &tensors, &mut layers).unwrap();
    if let Some(level) = pack_for {
        memory = Bytes::new(encoder.packed_bytes(level).unwrap(), 1);
        encoder.pack(level, &mut memory).unwrap();
    }
    f(&encoder)
}

/// Sequences end to end.
#[derive(Clone, Debug, Default)]
pub struct Text {
    pub ids: Vec<u32>,
    pub types: Vec<u32>,
    pub lengths: Vec<usize>,
}

impl Text {
    /// One sequence, of type 0.
    pub fn of(ids: &[u32]) -> Self {
        Self { ids: ids.to_vec(), types: vec![0; ids.len()], lengths: vec![ids.len()] }
    }

    pub fn push(&mut self, other: &Self) {
        self.ids.extend(&other.ids);
        self.types.extend(&other.types);
        self.lengths.extend(&other.lengths);
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch::new(&self.ids, &self.lengths).unwrap().with_type_ids(&self.types).unwrap()
    }

    /// Each sequence by itself.
    pub fn sequences(&self) -> Vec<Self> {
        let mut start = 0;
        let part = |&len: &usize| {
            let rows = start..start + len;
            start += len;
            Self { ids: self.ids[rows.clone()].to_vec(), types: self.types[rows].to_vec(), lengths: vec![len] }
        };
        self.lengths.iter().map(part).collect()
    }
}

/// Scratch to work on that many tokens at once, dirty and misaligned.
pub fn scratch_for(encoder: &Encoder, engine: Engine<'_>, tokens: usize) -> Bytes {
    Bytes::new(encoder.scratch_bytes(&engine, tokens).unwrap(), 1)
}

/// The hidden states, in scratch for as many tokens at once.
pub fn hidden_in_groups(encoder: &Encoder, engine: Engine<'_>, text: &Text, tokens: usize) -> Strided {
    let mut out = Strided::unwritten(text.ids.len(), encoder.config().hidden_size, 2, 1);
    let mut scratch = scratch_for(encoder, engine, tokens);
    encoder.forward(&engine, &text.batch(), out.view_mut(), &mut scratch).unwrap();
    out.assert_guards();
    out
}

/// The hidden states, all sequences at once.
pub fn hidden(encoder: &Encoder, engine: Engine<'_>, text: &Text) -> Strided {
    hidden_in_groups(encoder, engine, text, text.ids.len())
}

/// The sentence vectors, all sequences at once.
pub fn embed(encoder: &Encoder, engine: Engine<'_>, text: &Text) -> Strided {
    let mut out = Strided::unwritten(text.lengths.len(), encoder.config().hidden_size, 2, 1);
    let mut scratch = scratch_for(encoder, engine, text.ids.len());
    encoder.embed(&engine, &text.batch(), out.view_mut(), &mut scratch).unwrap();
    out.assert_guards();
    out
}
