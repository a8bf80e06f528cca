//! Spans: what they say of shapes, types, FLOPs and bytes; how they nest, over layers and over threads; what does not fit.

#![cfg(feature = "profile")]

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use common::model::{Model, Sizes, Spelling};
use common::pools::{Backwards, Threads};
use common::run::{Text, embed, with_encoder};
use half::bf16;
use selfattn::profile::{Observer, Operation, Profiler, Record, Span};
use selfattn::{
    Activation, Attention, Dtype, Engine, Epilogue, Inspection, Level, MatMut, MatRef, Matrix, Packed, Pool, Serial,
    Weights,
};

/// Every look at it is a tick: no two ends of spans are the same.
fn clock() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.fetch_add(1, Relaxed)
}

fn thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static MINE: u32 = NEXT.fetch_add(1, Relaxed));
    MINE.with(|number| *number)
}

fn records(n: usize) -> Vec<Record> {
    (0..n).map(|_| Record::EMPTY).collect()
}

/// The spans of what `work` runs.
fn spans_of(pool: &dyn Pool, work: impl FnOnce(&Engine<'_>)) -> Vec<Span> {
    let records = records(1000);
    let profiler = Profiler::new(clock, &records).threads(thread);
    work(&Engine::new().with_pool(pool).with_profiler(&profiler));
    assert_eq!(profiler.dropped(), 0);
    let (indices, spans): (Vec<_>, Vec<_>) = profiler.spans().unzip();
    assert!(indices.iter().copied().eq(0..spans.len()), "every span has ended");
    spans
}

/// The only span of what `work` runs on one thread.
#[track_caller]
fn span_of(work: impl FnOnce(&Engine<'_>)) -> Span {
    let spans = spans_of(&Serial, work);
    assert_eq!(spans.len(), 1, "{spans:?}");
    spans[0]
}

/// Each span lies within its parent, begins after it, and on the same thread unless it is a task.
#[track_caller]
fn assert_nested(spans: &[Span]) {
    for (i, span) in spans.iter().enumerate() {
        assert!(span.start < span.end, "{span:?}");
        let Some(parent) = span.parent else { continue };
        assert!(parent < i);
        let parent = &spans[parent];
        assert!(parent.start < span.start && span.end < parent.end, "{span:?} in {parent:?}");
        assert!(parent.thread == span.thread || span.operation == Operation::Task, "{span:?} in {parent:?}");
    }
    // Two on one thread are one in the other, or one behind the other.
    for (i, a) in spans.iter().enumerate() {
        for b in spans[..i].iter().filter(|b| b.thread == a.thread) {
            let apart = a.end < b.start || b.end < a.start;
            let within = (a.start < b.start) == (b.end < a.end);
            assert!(apart || within, "{a:?} {b:?}");
        }
    }
}

fn view(data: &[f32], rows: usize, cols: usize) -> MatRef<'_> {
    MatRef::new(data, rows, cols).unwrap()
}

#[test]
fn products() {
    let (m, k, n) = (3, 5, 7);
    let (a, w, bias) = (vec![1.0; m * k], vec![1.0; n * k], vec![0.5; n]);
    let (mut out, mut scratch) = (vec![0.0; m * n], vec![0; 1 << 16]);
    let plain = Weights::from(view(&w, n, k));
    let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Gelu, residual: Some(view(&[1.0; 21], m, n)) };
    let mut run = |weights: &Weights<'_>, epilogue: &Epilogue<'_>| {
        span_of(|engine| {
            let need = engine.matmul_scratch(m, Dtype::F32, weights).unwrap();
            let out = MatMut::new(&mut out, m, n).unwrap();
            engine.matmul(view(&a, m, k), weights, epilogue, out, &mut scratch[..need]).unwrap();
        })
    };
    let span = run(&plain, &epilogue);
    assert_eq!((span.operation, span.shape), (Operation::Matmul, [3, 5, 7, 0]));
    assert_eq!(span.types, [Some(Dtype::F32), Some(Dtype::F32), None]);
    assert_eq!((span.level, span.layer, span.parent), (Level::current(), None, None));
    assert_eq!((span.flops, span.read, span.written), (210, (15 + 35 + 7 + 21) * 4, 21 * 4));

    let halves: Vec<bf16> = w.iter().map(|&x| bf16::from_f32(x)).collect();
    let halves = Matrix::Bf16(MatRef::new(&halves, n, k).unwrap());
    let level = Level::current();
    let mut memory = vec![0; Packed::bytes(level, halves).unwrap()];
    let packed = Weights::Packed(Packed::new(level, halves, &mut memory).unwrap());
    let span = run(&packed, &Epilogue::default());
    assert_eq!((span.operation, span.types[1]), (Operation::MatmulPacked, Some(Dtype::Bf16)));
    assert_eq!((span.flops, span.read, span.written), (210, 15 * 4 + 35 * 2, 21 * 4));

    let span = span_of(|engine| engine.gemv(Matrix::F32(view(&w, n, k)), &a[..k], &mut [0.0; 7]).unwrap());
    assert_eq!((span.operation, span.shape), (Operation::Gemv, [1, 5, 7, 0]));
    assert_eq!((span.flops, span.read, span.written), (70, 40 * 4, 7 * 4));
}

#[test]
fn attention_counts_what_is_seen() {
    let (heads, kv_heads, d) = (4, 2, 8);
    let span = |attention: Attention<'_>, n_q: usize, n_k: usize| {
        let (q, k) = (vec![0.1; n_q * heads * d], vec![0.1; n_k * kv_heads * d]);
        let mut out = vec![0.0; q.len()];
        span_of(|engine| {
            let mut scratch = vec![0; engine.attention_scratch(&attention).unwrap()];
            let (q, kv) = (view(&q, n_q, heads * d), view(&k, n_k, kv_heads * d));
            let out = MatMut::new(&mut out, n_q, heads * d).unwrap();
            engine.attention(&attention, q, kv, kv, out, &mut scratch).unwrap();
        })
    };
    let attention = Attention::new(heads, d).kv_heads(kv_heads);
    let full = span(attention, 5, 9);
    assert_eq!((full.operation, full.shape), (Operation::Attention, [5, 9, 4, 8]));
    assert_eq!(full.flops, 2 * 2 * 5 * 9 * 4 * 8);
    assert_eq!((full.read, full.written), ((5 * 32 + 2 * 9 * 16) * 4, 5 * 32 * 4));
    // The last query sees all 9 keys, the one before 8.
    assert_eq!(span(attention.causal(true), 5, 9).flops, 2 * 2 * (5 + 6 + 7 + 8 + 9) * 4 * 8);
}

#[test]
fn weights_are_those_of_the_chosen_queries() {
    let (q, k) = (vec![0.1; 5 * 16], vec![0.1; 9 * 16]);
    let attention = Attention::new(2, 8).causal(true);
    let span = span_of(|engine| {
        let inspection = Inspection::new(&attention, view(&q, 5, 16), view(&k, 9, 16)).queries(3..5).heads(1..2);
        let mut scratch = vec![0; engine.inspection_scratch(&attention).unwrap()];
        engine.attention_weights(&inspection, &mut scratch, &mut |_| ()).unwrap();
    });
    assert_eq!((span.operation, span.shape), (Operation::AttentionWeights, [2, 9, 1, 8]));
    assert_eq!((span.flops, span.read, span.written), (2 * 8 * (8 + 9), (2 + 9) * 8 * 4, 0));
}

#[test]
fn rows() {
    let (rows, cols) = (3, 10);
    let x = vec![0.5; rows * cols];
    let expect = |span: Span, operation, shape: &[usize], [flops, read, written]: [u64; 3]| {
        assert_eq!((span.operation, &span.shape[..shape.len()]), (operation, shape));
        assert_eq!([span.flops, span.read, span.written], [flops, read, written], "{operation:?}");
    };
    let (mut a, mut b, mut c, mut d, mut e) = (x.clone(), x.clone(), x.clone(), x.clone(), x.clone());
    let to = |x| MatMut::new(x, rows, cols).unwrap();
    let softmax = span_of(|engine| engine.softmax(to(&mut a)));
    expect(softmax, Operation::Softmax, &[3, 10], [150, 120, 120]);
    let norm = span_of(|engine| engine.layer_norm(view(&x, rows, cols), &x[..10], &x[..10], 1e-5, to(&mut b)).unwrap());
    expect(norm, Operation::LayerNorm, &[3, 10], [210, 200, 120]);
    let activate = span_of(|engine| engine.activate(Activation::Relu, to(&mut c)));
    expect(activate, Operation::Activate, &[3, 10], [30, 120, 120]);
    let normalize = span_of(|engine| engine.normalize(to(&mut d)));
    expect(normalize, Operation::Normalize, &[3, 10], [90, 120, 120]);
    let table = Matrix::F32(view(&x, rows, cols));
    let gather = span_of(|engine| engine.gather(&table, &[2, 0, 1], to(&mut e)).unwrap());
    expect(gather, Operation::Gather, &[3, 10], [0, 120, 120]);
    let mut means = vec![0.0; 20];
    let pool = span_of(|engine| {
        engine.mean_pool(view(&x, rows, cols), &[2, 1], MatMut::new(&mut means, 2, cols).unwrap()).unwrap();
    });
    expect(pool, Operation::MeanPool, &[3, 10, 2], [50, 120, 80]);
}

#[test]
fn what_is_refused_has_no_span() {
    let spans = spans_of(&Serial, |engine| {
        let wrong = engine.gemv(Matrix::F32(view(&[1.0; 4], 2, 2)), &[1.0; 3], &mut [0.0; 2]);
        assert!(wrong.is_err());
    });
    assert!(spans.is_empty());
}

/// What runs two texts of a tiny encoder.
fn encoder_spans(pool: &dyn Pool, level: Level) -> (Vec<Span>, u64) {
    let model = Model::random(Spelling::Bert, Sizes::default(), 3);
    let mut text = Text::of(&[2, 5, 7, 1, 3]);
    text.push(&Text::of(&[4, 4]));
    with_encoder(&model.config_json(), &model.safetensors(), Some(level), |encoder| {
        let mut flops = 0;
        let spans = spans_of(pool, |engine| {
            let engine = engine.with_level(level);
            flops = encoder.flops(&text.batch());
            let vectors = embed(encoder, engine, &text);
            let plain = embed(encoder, Engine::new().with_level(level), &text);
            assert_eq!(vectors.bits(), plain.bits(), "a span changes no result");
        });
        (spans, flops)
    })
}

#[test]
fn an_encoder_is_blocks_in_blocks() {
    let sizes = Sizes::default();
    for level in Level::available() {
        let (spans, flops) = encoder_spans(&Serial, level);
        assert_nested(&spans);
        assert!(spans.iter().all(|span| span.level == level && span.thread == spans[0].thread));
        let count = |operation| spans.iter().filter(|span| span.operation == operation).count();
        let blocks = [Operation::Encoder, Operation::Layer, Operation::SelfAttention, Operation::FeedForward];
        assert_eq!(blocks.map(count), [1, sizes.layers, sizes.layers, sizes.layers]);
        assert_eq!(count(Operation::MatmulPacked), 6 * sizes.layers);
        assert_eq!(count(Operation::LayerNorm), 1 + 2 * sizes.layers);
        // Two texts in one group: one way through the layers.
        assert_eq!([Operation::Embed, Operation::MeanPool, Operation::Normalize].map(count), [1, 1, 1]);
        let products = [Operation::MatmulPacked, Operation::Attention];
        let sum: u64 = spans.iter().filter(|span| products.contains(&span.operation)).map(|span| span.flops).sum();
        assert_eq!(sum, flops, "as Encoder::flops counts");
        let parent = |span: &Span| span.parent.map(|i| spans[i].operation);
        for span in &spans {
            let expected: &[Option<Operation>] = match span.operation {
                Operation::Encoder | Operation::MeanPool | Operation::Normalize => &[None],
                Operation::Layer | Operation::Embed => &[Some(Operation::Encoder)],
                Operation::SelfAttention | Operation::FeedForward => &[Some(Operation::Layer)],
                Operation::LayerNorm => &[Some(Operation::Encoder), Some(Operation::Layer)],
                Operation::Attention => &[Some(Operation::SelfAttention)],
                _ => &[Some(Operation::SelfAttention), Some(Operation::FeedForward)],
            };
            assert!(expected.contains(&parent(span)), "{span:?}");
            let in_layer = span.layer.is_some();
            let ancestors = std::iter::successors(Some(*span), |span| span.parent.map(|i| spans[i]));
            let layer = ancestors.filter(|span| span.operation == Operation::Layer).find_map(|span| span.layer);
            assert_eq!((in_layer, span.layer), (layer.is_some(), layer), "{span:?}");
        }
        let layers: Vec<_> = spans.iter().filter(|span| span.operation == Operation::Layer).map(|s| s.layer).collect();
        assert_eq!(layers, (0..sizes.layers).map(Some).collect::<Vec<_>>());
    }
}

#[test]
fn tasks_cover_what_they_are_parts_of() {
    let softmax = |pool: &dyn Pool| {
        let (rows, cols) = (9, 1 << 14);
        let mut x = vec![0.25; rows * cols];
        spans_of(pool, |engine| engine.softmax(MatMut::new(&mut x, rows, cols).unwrap()))
    };
    for pool in [&Threads(3) as &dyn Pool, &Backwards(3)] {
        let spans = softmax(pool);
        assert_nested(&spans);
        let [operation, tasks @ ..] = &spans[..] else { panic!("no spans") };
        assert_eq!((operation.operation, tasks.len()), (Operation::Softmax, 3));
        let mut items: Vec<_> = tasks.iter().map(|task| task.shape).collect();
        items.sort_unstable();
        assert_eq!(items, [[0, 3, 9, 0], [3, 6, 9, 0], [6, 9, 9, 0]]);
        assert!(
            tasks.iter().all(|task| task.operation == Operation::Task && task.parent == Some(0) && task.flops == 0)
        );
    }
    let spans = softmax(&Threads(3));
    let mut threads: Vec<_> = spans.iter().map(|span| span.thread).collect();
    threads.sort_unstable();
    threads.dedup();
    let expected = if cfg!(target_family = "wasm") { 1 } else { 4 };
    assert_eq!(threads.len(), expected, "three threads beside the caller's");
}

#[test]
fn what_does_not_fit_is_counted() {
    let run = |profiler: &Profiler<'_>| {
        let engine = Engine::new().with_profiler(profiler);
        (0..7).for_each(|_| engine.softmax(MatMut::new(&mut [1.0, 2.0], 1, 2).unwrap()));
    };
    for room in [0, 1, 5, 7, 8] {
        let records = records(room);
        let profiler = Profiler::new(clock, &records);
        for _ in 0..2 {
            run(&profiler);
            assert_eq!((profiler.spans().count(), profiler.dropped()), (room.min(7), 7 - room.min(7)));
            profiler.clear();
            assert_eq!((profiler.spans().count(), profiler.dropped()), (0, 0));
        }
    }
    // A task keeps its parent, and one that found no room is counted.
    let records = records(4);
    let profiler = Profiler::new(clock, &records);
    let mut x = vec![0.5; 2 << 15];
    let pool = Backwards(2);
    let engine = Engine::new().with_pool(&pool).with_profiler(&profiler);
    for _ in 0..2 {
        engine.softmax(MatMut::new(&mut x, 2, 1 << 15).unwrap());
    }
    let parents: Vec<_> = profiler.spans().map(|(_, span)| (span.operation, span.parent)).collect();
    let (outer, inner) = (Operation::Softmax, Operation::Task);
    assert_eq!(parents, [(outer, None), (inner, Some(0)), (inner, Some(0)), (outer, None)]);
    assert_eq!(profiler.dropped(), 2);
}

#[test]
fn threads_share_the_records() {
    if cfg!(target_family = "wasm") {
        return;
    }
    let records = records(64);
    let profiler = Profiler::new(clock, &records);
    std::thread::scope(|scope| {
        for rows in 1..5 {
            let engine = Engine::new().with_profiler(&profiler);
            scope.spawn(move || {
                (0..20).for_each(|_| engine.softmax(MatMut::new(&mut [0.0; 4], rows, 1).unwrap()));
            });
        }
    });
    assert_eq!((profiler.spans().count(), profiler.dropped()), (64, 80 - 64));
    // No record is a mixture: cost follows from shape.
    assert!(profiler.spans().all(|(_, span)| span.flops == 5 * span.shape[0] as u64 && span.parent.is_none()));
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<(bool, Operation, u64)>>);

impl Observer for Told {
    fn opened(&self, span: &Span) {
        self.0.lock().unwrap().push((true, span.operation, span.ticks()));
    }

    fn closed(&self, span: &Span) {
        self.0.lock().unwrap().push((false, span.operation, span.ticks().min(1)));
    }
}

#[test]
fn an_observer_is_told_without_records() {
    let told = Told::default();
    let profiler = Profiler::new(clock, &[]).observer(&told);
    let pool = Backwards(2);
    let engine = Engine::new().with_pool(&pool).with_profiler(&profiler);
    engine.softmax(MatMut::new(&mut vec![0.5; 2 << 15], 2, 1 << 15).unwrap());
    let (outer, inner) = (Operation::Softmax, Operation::Task);
    let expected =
        [(true, outer, 0), (true, inner, 0), (false, inner, 1), (true, inner, 0), (false, inner, 1), (false, outer, 1)];
    assert_eq!(*told.0.lock().unwrap(), expected);
    assert_eq!(profiler.dropped(), 3);
}
