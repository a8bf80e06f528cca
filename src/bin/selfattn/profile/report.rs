//! What the spans say, by operation and by layer, beside the machine's roofs. The JSON's field names are an interface.

use selfattn::Engine;
use selfattn::profile::{Operation, Span};
use serde::Serialize;

use super::collect::Profile;
use crate::machine::{Roofs, cpu_name};

/// A forward pass. Times are of one pass, the mean of all.
#[derive(Debug, Serialize)]
pub struct Report {
    pub cpu: String,
    pub level: &'static str,
    pub threads: usize,
    pub model: String,
    pub dtype: &'static str,
    pub tokens: usize,
    pub passes: usize,
    pub roofs: Roofs,
    /// Wall time of a pass with spans.
    pub wall_us: f64,
    /// The operations' share of it.
    pub covered_percent: f64,
    /// What spans cost: the fastest pass with them against the fastest one without, which took turns.
    pub overhead_percent: f64,
    pub operations: Vec<Row>,
    pub layers: Vec<Layer>,
}

/// Calls of one operation on one shape.
#[derive(Debug, Serialize)]
pub struct Row {
    pub operation: &'static str,
    /// As `16x384x1536`.
    pub shape: String,
    /// As `f32 f16`.
    pub types: String,
    pub calls: usize,
    /// Of all calls.
    pub time_us: f64,
    /// Of the wall time.
    pub share_percent: f64,
    pub gflops: f64,
    pub peak_percent: f64,
    pub gbs: f64,
    pub memory_percent: f64,
    /// FLOPs for each byte.
    pub intensity: f64,
    /// `compute`, `memory`; `cache` if it moves more than memory could.
    pub roof: &'static str,
    /// Share of what that roof allows at this intensity; of no meaning for a cache.
    pub roof_percent: f64,
}

#[derive(Debug, Serialize)]
pub struct Layer {
    pub layer: usize,
    pub time_us: f64,
    pub share_percent: f64,
    pub self_attention_us: f64,
    pub feed_forward_us: f64,
    pub norms_us: f64,
    pub gflops: f64,
    pub peak_percent: f64,
}

impl Report {
    pub fn new(
        model: &str,
        dtype: &'static str,
        engine: &Engine<'_>,
        tokens: usize,
        profile: &Profile,
        roofs: Roofs,
    ) -> Self {
        let passes = profile.with.len();
        let wall_us = profile.with.iter().sum::<f64>() / passes as f64 / 1e3;
        let sums = Sums { all: &profile.sums, passes: passes as f64, wall_us, roofs: &roofs };
        let (operations, layers) = (sums.operations(), sums.layers());
        Self {
            cpu: cpu_name(),
            level: engine.level().name(),
            threads: engine.threads(),
            model: model.to_owned(),
            dtype,
            tokens,
            passes,
            wall_us,
            covered_percent: operations.iter().map(|row| row.share_percent).sum(),
            overhead_percent: (fastest(&profile.with) / fastest(&profile.without) - 1.0) * 100.0,
            operations,
            layers,
            roofs,
        }
    }

    /// "MiniLM, f32 weights, 16 tokens; AMD EPYC, avx512, 1 thread"
    pub fn heading(&self) -> String {
        let Self { model, dtype, tokens, cpu, level, threads, .. } = self;
        let s = |n: usize| if n == 1 { "" } else { "s" };
        format!(
            "{model}, {dtype} weights, {tokens} token{}; {cpu}, {level}, {threads} thread{}",
            s(*tokens),
            s(*threads)
        )
    }
}

fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Whether its time counts, and not that of what it is a part of or has parts of its own.
fn is_operation(span: &Span, all: &[(Span, u64)]) -> bool {
    let parent = span.parent.and_then(|i| all.get(i));
    let is_part = parent.is_some_and(|(parent, _)| !parent.operation.is_block());
    !span.operation.is_block() && span.operation != Operation::Task && !is_part
}

struct Sums<'a> {
    all: &'a [(Span, u64)],
    passes: f64,
    wall_us: f64,
    roofs: &'a Roofs,
}

impl Sums<'_> {
    /// Microseconds of one pass.
    fn us(&self, ticks: u64) -> f64 {
        ticks as f64 / self.passes / 1e3
    }

    /// The operations, those that take longest first.
    fn operations(&self) -> Vec<Row> {
        let mut groups: Vec<(Span, Total)> = Vec::new();
        for (span, ticks) in self.all.iter().filter(|(span, _)| is_operation(span, self.all)) {
            let key = |span: &Span| (span.operation, span.shape, span.types);
            let known = groups.iter().position(|(other, _)| key(other) == key(span));
            let i = known.unwrap_or_else(|| {
                groups.push((*span, Total::default()));
                groups.len() - 1
            });
            groups[i].1.add(span, *ticks);
        }
        groups.sort_by_key(|(_, total)| std::cmp::Reverse(total.ticks));
        groups.iter().map(|(span, total)| self.row(span, total)).collect()
    }

    fn row(&self, span: &Span, total: &Total) -> Row {
        let time_us = self.us(total.ticks);
        let rate = |amount: u64| if time_us > 0.0 { amount as f64 / time_us / 1e3 } else { 0.0 };
        let (gflops, gbs) = (rate(total.flops), rate(total.bytes));
        let Roofs { peak_gflops, memory_gbs, .. } = *self.roofs;
        let intensity = total.flops as f64 / (total.bytes as f64).max(1.0);
        let (roof, roof_percent) = if intensity >= self.roofs.ridge() {
            ("compute", gflops / peak_gflops * 100.0)
        } else {
            (if gbs > memory_gbs { "cache" } else { "memory" }, gbs / memory_gbs * 100.0)
        };
        let sizes: Vec<String> = sizes(span).iter().map(usize::to_string).collect();
        Row {
            operation: span.operation.name(),
            shape: sizes.join("x"),
            types: types(span),
            calls: total.calls,
            time_us,
            share_percent: time_us / self.wall_us * 100.0,
            gflops,
            peak_percent: gflops / peak_gflops * 100.0,
            gbs,
            memory_percent: gbs / memory_gbs * 100.0,
            intensity,
            roof,
            roof_percent,
        }
    }

    fn layers(&self) -> Vec<Layer> {
        let layers = self.all.iter().filter(|(span, _)| span.operation == Operation::Layer);
        layers.map(|(span, ticks)| self.layer(span.layer.unwrap_or_default(), *ticks)).collect()
    }

    fn layer(&self, layer: usize, ticks: u64) -> Layer {
        let of = |wanted: &dyn Fn(&Span) -> bool| {
            let mut total = Total::default();
            let spans = self.all.iter().filter(|(span, _)| span.layer == Some(layer) && wanted(span));
            spans.for_each(|(span, ticks)| total.add(span, *ticks));
            total
        };
        let part = |operation: Operation| self.us(of(&|span| span.operation == operation).ticks);
        let (time_us, flops) = (self.us(ticks), of(&|span| is_operation(span, self.all)).flops);
        let gflops = flops as f64 / time_us / 1e3;
        Layer {
            layer,
            time_us,
            share_percent: time_us / self.wall_us * 100.0,
            self_attention_us: part(Operation::SelfAttention),
            feed_forward_us: part(Operation::FeedForward),
            norms_us: part(Operation::LayerNorm),
            gflops,
            peak_percent: gflops / self.roofs.peak_gflops * 100.0,
        }
    }
}

/// Of some spans together.
#[derive(Default)]
struct Total {
    calls: usize,
    ticks: u64,
    flops: u64,
    bytes: u64,
}

impl Total {
    fn add(&mut self, span: &Span, ticks: u64) {
        self.calls += 1;
        self.ticks += ticks;
        self.flops += span.flops;
        self.bytes += span.read + span.written;
    }
}

/// The sizes that the operation has.
pub fn sizes(span: &Span) -> &[usize] {
    let named = if span.operation == Operation::Task { 3 } else { span.shape.iter().take_while(|&&n| n > 0).count() };
    &span.shape[..named]
}

/// "f32 f16"
pub fn types(span: &Span) -> String {
    let names: Vec<_> = span.types.iter().flatten().map(|dtype| dtype.name()).collect();
    names.join(" ")
}
