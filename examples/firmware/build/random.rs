//! A small BERT with random weights, where there is no other model.

use std::fmt::Write;

use half::f16;

const VOCAB: usize = 512;
const POSITIONS: usize = 64;
const HIDDEN: usize = 64;
const LAYERS: usize = 2;
const INNER: usize = 256;

/// `config.json`
pub fn config() -> String {
    format!(
        r#"{{"model_type": "bert", "vocab_size": {VOCAB}, "hidden_size": {HIDDEN}, "num_hidden_layers": {LAYERS},
        "num_attention_heads": 4, "intermediate_size": {INNER}, "max_position_embeddings": {POSITIONS},
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}}"#
    )
}

/// `model.safetensors`, in f16; layers keep the size of what goes through them.
pub fn weights() -> Vec<u8> {
    let mut file = File { header: String::from("{"), data: Vec::new(), state: 0x9E37_79B9_7F4A_7C15 };
    file.add("embeddings.word_embeddings.weight", &[VOCAB, HIDDEN], 0.0, 1.0);
    file.add("embeddings.position_embeddings.weight", &[POSITIONS, HIDDEN], 0.0, 0.5);
    file.add("embeddings.token_type_embeddings.weight", &[2, HIDDEN], 0.0, 0.5);
    file.norm("embeddings.LayerNorm");
    for layer in 0..LAYERS {
        let layer = format!("encoder.layer.{layer}");
        for (part, outputs, inputs) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INNER, HIDDEN),
            ("output.dense", HIDDEN, INNER),
        ] {
            // The variance of the uniform distribution over [-a, a) is a^2 / 3.
            file.add(&format!("{layer}.{part}.weight"), &[outputs, inputs], 0.0, (3.0 / inputs as f32).sqrt());
            file.add(&format!("{layer}.{part}.bias"), &[outputs], 0.0, 0.2);
        }
        file.norm(&format!("{layer}.attention.output.LayerNorm"));
        file.norm(&format!("{layer}.output.LayerNorm"));
    }
    file.bytes()
}

struct File {
    header: String,
    data: Vec<u8>,
    state: u64,
}

impl File {
    fn add(&mut self, name: &str, shape: &[usize], center: f32, radius: f32) {
        let begin = self.data.len();
        for _ in 0..shape.iter().product() {
            let x = center + radius * self.unit();
            self.data.extend(f16::from_f32(x).to_le_bytes());
        }
        let comma = if begin == 0 { "" } else { "," };
        let end = self.data.len();
        write!(self.header, r#"{comma}"{name}":{{"dtype":"F16","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)
            .expect("strings take everything");
    }

    fn norm(&mut self, name: &str) {
        self.add(&format!("{name}.weight"), &[HIDDEN], 1.0, 0.3);
        self.add(&format!("{name}.bias"), &[HIDDEN], 0.0, 0.3);
    }

    /// In -1..1, by xorshift64 (Marsaglia 2003).
    fn unit(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn bytes(mut self) -> Vec<u8> {
        self.header.push('}');
        while !self.header.len().is_multiple_of(8) {
            self.header.push(' ');
        }
        [&(self.header.len() as u64).to_le_bytes(), self.header.as_bytes(), &self.data].concat()
    }
}
