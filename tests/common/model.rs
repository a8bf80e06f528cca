//! Tiny random models as a user has them: a `config.json` and a safetensors file, in the spelling of each family.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use half::{bf16, f16};
use selfattn::{Activation, Dtype};

use super::data::Rng;
use super::memory::Bytes;
use super::oracle::{Mat, Real};

/// A tensor of a file: the values are those that the storage type holds.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Tensor {
    /// The same, rounded to another storage type.
    pub fn stored_as(&self, dtype: Dtype) -> Self {
        let round = |&x: &f32| match dtype {
            Dtype::F32 => x,
            Dtype::F16 => f16::from_f32(x).to_f32(),
            Dtype::Bf16 => bf16::from_f32(x).to_f32(),
        };
        Self { dtype, shape: self.shape.clone(), values: self.values.iter().map(round).collect() }
    }

    /// As a matrix; a vector has one row.
    pub fn mat<T: Real>(&self) -> Mat<T> {
        let cols = self.shape[self.shape.len() - 1];
        Mat::new(self.values.len() / cols, cols, |i, j| T::of(self.values[i * cols + j].into()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        for &x in &self.values {
            match self.dtype {
                Dtype::F32 => out.extend(x.to_le_bytes()),
                Dtype::F16 => out.extend(f16::from_f32(x).to_le_bytes()),
                Dtype::Bf16 => out.extend(bf16::from_f32(x).to_le_bytes()),
            }
        }
    }
}

/// A safetensors file of these tensors, in the order of the format's own writer, the largest elements first: so all are
/// aligned.
pub fn safetensors(tensors: &BTreeMap<String, Tensor>) -> Bytes {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    let mut tensors: Vec<_> = tensors.iter().collect();
    tensors.sort_by_key(|(_, tensor)| Reverse(tensor.dtype.size()));
    for (name, tensor) in tensors {
        let start = data.len();
        tensor.write(&mut data);
        let (dtype, shape, end) = (tensor.dtype.name().to_uppercase(), &tensor.shape, data.len());
        entries.push(format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    // The format's own writer pads so that the data starts aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    Bytes::copy(&file)
}

/// How a model spells its tensors and its configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spelling {
    Bert,
    Roberta,
    DistilBert,
}

/// What DistilBERT says for what BERT says; the first that fits counts.
const DISTILBERT: [(&str, &str); 8] = [
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"),
    ("output.LayerNorm", "output_layer_norm"),
];

#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub vocab: usize,
    pub positions: usize,
    pub types: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub intermediate: usize,
}

impl Default for Sizes {
    /// No width is a multiple of a register's.
    fn default() -> Self {
        Self { vocab: 53, positions: 70, types: 2, hidden: 36, layers: 2, heads: 3, intermediate: 70 }
    }
}

#[derive(Clone, Debug)]
pub struct Model {
    pub spelling: Spelling,
    pub sizes: Sizes,
    pub activation: Activation,
    pub eps: f64,
    /// By the names that BERT gives them.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Model {
    /// Random weights whose layers keep the size of what goes through them.
    pub fn random(spelling: Spelling, sizes: Sizes, seed: u64) -> Self {
        let types = if spelling == Spelling::DistilBert { 0 } else { sizes.types };
        let sizes = Sizes { types, ..sizes };
        let mut model = Self { spelling, sizes, activation: Activation::Gelu, eps: 1e-12, tensors: BTreeMap::new() };
        let mut rng = Rng::new(seed);
        let Sizes { vocab, positions, hidden, intermediate, .. } = sizes;
        model.add(&mut rng, "embeddings.word_embeddings.weight", &[vocab, hidden], 0.0, 1.0);
        model.add(&mut rng, "embeddings.position_embeddings.weight", &[positions + model.offset(), hidden], 0.0, 0.5);
        if types > 0 {
            model.add(&mut rng, "embeddings.token_type_embeddings.weight", &[types, hidden], 0.0, 0.5);
        }
        model.add_norm(&mut rng, "embeddings.LayerNorm");
        for layer in 0..sizes.layers {
            for (part, out, input) in [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", intermediate, hidden),
                ("output.dense", hidden, intermediate),
            ] {
                let name = format!("encoder.layer.{layer}.{part}");
                // The variance of the uniform distribution over [-a, a) is a^2 / 3.
                model.add(&mut rng, &format!("{name}.weight"), &[out, input], 0.0, (3.0 / input as f32).sqrt());
                model.add(&mut rng, &format!("{name}.bias"), &[out], 0.0, 0.2);
            }
            model.add_norm(&mut rng, &format!("encoder.layer.{layer}.attention.output.LayerNorm"));
            model.add_norm(&mut rng, &format!("encoder.layer.{layer}.output.LayerNorm"));
        }
        model
    }

    fn add(&mut self, rng: &mut Rng, name: &str, shape: &[usize], center: f32, radius: f32) {
        let values = (0..shape.iter().product()).map(|_| center + radius * rng.unit()).collect();
        self.tensors.insert(name.to_owned(), Tensor { dtype: Dtype::F32, shape: shape.to_vec(), values });
    }

    fn add_norm(&mut self, rng: &mut Rng, name: &str) {
        let hidden = self.sizes.hidden;
        self.add(rng, &format!("{name}.weight"), &[hidden], 1.0, 0.3);
        self.add(rng, &format!("{name}.bias"), &[hidden], 0.0, 0.3);
    }

    /// All weights rounded to a storage type.
    pub fn stored_as(mut self, dtype: Dtype) -> Self {
        self.tensors.values_mut().for_each(|tensor| *tensor = tensor.stored_as(dtype));
        self
    }

    /// The row of the position embeddings that the first token takes: RoBERTa leaves out those up to the padding id.
    pub fn offset(&self) -> usize {
        if self.spelling == Spelling::Roberta { 2 } else { 0 }
    }

    /// The tensors by the names they have in the file.
    pub fn spelled(&self) -> BTreeMap<String, Tensor> {
        self.tensors.iter().map(|(name, tensor)| (self.spell(name), tensor.clone())).collect()
    }

    /// A tensor by BERT's name.
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.get_mut(name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    /// The name in the file.
    pub fn spell(&self, name: &str) -> String {
        if self.spelling != Spelling::DistilBert {
            return name.to_owned();
        }
        let name = name.replace("encoder.layer.", "transformer.layer.");
        let word = DISTILBERT.iter().find(|(bert, _)| name.contains(bert));
        word.map_or(name.clone(), |(bert, other)| name.replace(bert, other))
    }

    pub fn safetensors(&self) -> Bytes {
        safetensors(&self.spelled())
    }

    pub fn config_json(&self) -> String {
        let Sizes { vocab, positions, types, hidden, layers, heads, intermediate } = self.sizes;
        let activation = match self.activation {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_new",
            Activation::Relu => "relu",
            Activation::None => panic!("no model goes without"),
        };
        let rows = positions + self.offset();
        let (name, eps) = (format!("{:?}", self.spelling).to_lowercase(), self.eps);
        match self.spelling {
            Spelling::DistilBert => format!(
                r#"{{"model_type": "{name}", "vocab_size": {vocab}, "max_position_embeddings": {rows}, "dim": {hidden},
                "n_layers": {layers}, "n_heads": {heads}, "hidden_dim": {intermediate}, "activation": "{activation}"}}"#
            ),
            Spelling::Bert | Spelling::Roberta => format!(
                r#"{{"model_type": "{name}", "vocab_size": {vocab}, "max_position_embeddings": {rows},
                "type_vocab_size": {types}, "hidden_size": {hidden}, "num_hidden_layers": {layers},
                "num_attention_heads": {heads}, "intermediate_size": {intermediate}, "hidden_act": "{activation}",
                "layer_norm_eps": {eps:e}, "pad_token_id": {}}}"#,
                u8::from(self.spelling == Spelling::Roberta)
            ),
        }
    }
}
