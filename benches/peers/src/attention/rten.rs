//! The crate `rten`, which runs models: one of a single node, ONNX's `Attention`. Heads stand one after the other in memory,
//! which it takes without a copy.

use std::hint::black_box;
use std::sync::Arc;

use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_onnx::onnx::{
    AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
};
use rten_tensor::{NdTensor, NdTensorView};

use super::problem::{KeysValues, Problem, Shape};
use crate::clock::Clock;
use crate::contestant::{Contestant, Info, Timed};
use crate::data::Buffer;
use crate::error::Result;

/// The operator's version in ONNX, and that of the file's format.
const OPERATORS: i64 = 23;
const FORMAT: i64 = 11;

pub struct Rten {
    info: Info,
    shape: Shape,
    model: Model,
    inputs: [NodeId; 3],
    output: NodeId,
    options: RunOptions,
    q: Buffer<f32>,
    kv: Vec<KeysValues<f32>>,
    turn: usize,
}

impl Rten {
    pub fn new(threads: usize, problem: &Problem) -> Result<Self> {
        let (shape, inputs) = (problem.shape, &problem.f32);
        let model = Model::load(model(shape.causal)?)?;
        let [q, k, v, y] = ["q", "k", "v", "y"].map(|name| model.node_id(name));
        let keys_first = |x: &[f32]| heads_first(x, shape.keys, shape.d, |key, head| shape.place(key, head));
        let (name, dtype) = ("rten Attention".to_owned(), "f32".to_owned());
        Ok(Self {
            info: Info {
                name,
                activations: dtype.clone(),
                weights: dtype,
                bytes: shape.bytes(selfattn::Dtype::F32),
                ..Info::default()
            },
            shape,
            inputs: [q?, k?, v?],
            output: y?,
            model,
            options: RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(threads)))),
            q: heads_first(&inputs.q, shape.queries, shape.d, |query, head| (query * shape.heads + head) * shape.d),
            kv: inputs.kv.iter().map(|kv| KeysValues { k: keys_first(&kv.k), v: keys_first(&kv.v) }).collect(),
            turn: 0,
        })
    }

    /// With the next keys and values.
    fn run(&mut self) -> Result<Value> {
        let Shape { heads, kv_heads, queries, keys, d, .. } = self.shape;
        let KeysValues { k, v } = &self.kv[self.turn % self.kv.len()];
        self.turn += 1;
        let q = NdTensorView::from_data([1, heads, queries, d], &self.q[..]);
        let [k, v] = [k, v].map(|x| NdTensorView::from_data([1, kv_heads, keys, d], &x[..]));
        let inputs = self.inputs.into_iter().zip([q, k, v].map(ValueOrView::from)).collect();
        let [out] = self.model.run_n(inputs, [self.output], Some(self.options.clone()))?;
        Ok(out)
    }
}

impl Timed for Rten {
    fn time(&mut self, runs: u64) -> Result<f64> {
        let start = Clock::start();
        for _ in 0..runs {
            black_box(self.run()?);
        }
        Ok(start.seconds())
    }
}

impl Contestant for Rten {
    fn info(&self) -> &Info {
        &self.info
    }

    fn sample(&mut self, at: &[usize]) -> Result<Vec<f64>> {
        let out: NdTensor<f32, 4> = self.run()?.try_into()?;
        let Shape { heads, d, .. } = self.shape;
        let element = |&at: &usize| f64::from(out[[0, at / d % heads, at / (heads * d), at % d]]);
        Ok(at.iter().map(element).collect())
    }
}

/// As `heads x rows x d`; `place` says where a head of a row starts in `x`.
fn heads_first(x: &[f32], rows: usize, d: usize, place: impl Fn(usize, usize) -> usize) -> Buffer<f32> {
    Buffer::new(x.len(), 0.0, |i| x[place(i / d % rows, i / (rows * d)) + i % d])
}

fn model(causal: bool) -> Result<Vec<u8>> {
    let attribute = AttributeProto {
        name: Some("is_causal".to_owned()),
        i: Some(causal.into()),
        r#type: Some(AttributeType::INT),
        ..AttributeProto::default()
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let node = NodeProto {
        op_type: Some("Attention".to_owned()),
        input: names(&["q", "k", "v"]),
        output: names(&["y"]),
        attribute: vec![attribute],
        ..NodeProto::default()
    };
    let value = |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() };
    let graph = GraphProto {
        node: vec![node],
        input: ["q", "k", "v"].map(value).into(),
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let operators = OperatorSetIdProto { domain: None, version: Some(OPERATORS) };
    let model = ModelProto {
        ir_version: Some(FORMAT),
        graph: Some(graph),
        opset_import: vec![operators],
        ..ModelProto::default()
    };
    Ok(model.write_buf()?)
}
