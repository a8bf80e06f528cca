//! The encoder of the BERT family as the papers have it, one sequence at a time.

use super::attend::form::Form;
use super::attend::oracle::Inputs;
use super::model::Model;
use super::oracle::{Mat, Real, activate, layer_norm, matmul};

/// The hidden states of a sequence after the last layer.
pub fn encode<T: Real>(model: &Model, ids: &[u32], types: &[u32]) -> Mat<T> {
    encode_with(model, ids, types, &mut |_, _| ())
}

/// The same; `look` gets each layer's number and its queries, keys and values.
pub fn encode_with<T: Real>(
    model: &Model,
    ids: &[u32],
    types: &[u32],
    look: &mut dyn FnMut(usize, [&Mat<T>; 3]),
) -> Mat<T> {
    let oracle = Oracle { model };
    (0..model.sizes.layers).fold(oracle.embed(ids, types), |x, layer| oracle.layer(layer, &x, look))
}

struct Oracle<'a> {
    model: &'a Model,
}

impl Oracle<'_> {
    fn get<T: Real>(&self, name: &str) -> Mat<T> {
        self.model.tensors[name].mat()
    }

    fn embed<T: Real>(&self, ids: &[u32], types: &[u32]) -> Mat<T> {
        let words: Mat<T> = self.get("embeddings.word_embeddings.weight");
        let positions: Mat<T> = self.get("embeddings.position_embeddings.weight");
        let offset = self.model.offset();
        let mut x = Mat::new(ids.len(), words.cols, |i, j| words[(ids[i] as usize, j)] + positions[(offset + i, j)]);
        if self.model.sizes.types > 0 {
            let table: Mat<T> = self.get("embeddings.token_type_embeddings.weight");
            x = Mat::new(x.rows, x.cols, |i, j| x[(i, j)] + table[(types[i] as usize, j)]);
        }
        self.norm("embeddings.LayerNorm", &x)
    }

    fn layer<T: Real>(&self, layer: usize, x: &Mat<T>, look: &mut dyn FnMut(usize, [&Mat<T>; 3])) -> Mat<T> {
        let part = |name: &str| format!("encoder.layer.{layer}.{name}");
        let heads = self.model.sizes.heads;

        let q = self.linear(&part("attention.self.query"), x);
        let k = self.linear(&part("attention.self.key"), x);
        let v = self.linear(&part("attention.self.value"), x);
        look(layer, [&q, &k, &v]);
        let context = Form::new(heads, x.cols / heads).exact(&Inputs { q, k, v }).out;
        let y = add(&self.linear(&part("attention.output.dense"), &context), x);
        let y = self.norm(&part("attention.output.LayerNorm"), &y);

        let activation = self.model.activation;
        let inner = self.linear(&part("intermediate.dense"), &y);
        let inner = inner.map(|x| activate(activation, x));
        let z = add(&self.linear(&part("output.dense"), &inner), &y);
        self.norm(&part("output.LayerNorm"), &z)
    }

    fn linear<T: Real>(&self, name: &str, x: &Mat<T>) -> Mat<T> {
        let bias = self.get(&format!("{name}.bias"));
        let y = matmul(x, &self.get(&format!("{name}.weight")));
        Mat::new(y.rows, y.cols, |i, j| y[(i, j)] + bias[(0, j)])
    }

    fn norm<T: Real>(&self, name: &str, x: &Mat<T>) -> Mat<T> {
        let (weight, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        x.map_rows(|row| layer_norm(row, weight.row(0), bias.row(0), self.model.eps))
    }
}

fn add<T: Real>(a: &Mat<T>, b: &Mat<T>) -> Mat<T> {
    Mat::new(a.rows, a.cols, |i, j| a[(i, j)] + b[(i, j)])
}
