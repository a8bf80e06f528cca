//! The encoder and the operations it is made of allocate nothing: counted by the global allocator.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::every_level;
use common::memory::{Bytes, Strided};
use common::model::{Model, Sizes, Spelling};
use common::run::{Text, scratch_for, with_encoder};
use selfattn::block::{Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};
use selfattn::{Attention, Dtype, Engine, Inspection, MatMut};

thread_local! {
    /// Calls to the allocator by this thread: other tests run beside.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: hands everything on to the system's allocator. The counter is constant-initialised and has no destructor, so
// touching it does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's contract.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Fails if `work` calls the allocator.
#[track_caller]
fn without_heap<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = CALLS.get();
    let result = work();
    assert_eq!(CALLS.get() - before, 0, "{what} called the allocator");
    result
}

#[test]
fn the_counter_counts() {
    let before = CALLS.get();
    drop(std::hint::black_box(vec![1]));
    assert_eq!(CALLS.get() - before, 2);
}

#[test]
fn forward_and_embed_do_not_allocate() {
    let text = Text { ids: (0..50).collect(), types: vec![0; 50], lengths: vec![20, 1, 29] };
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let model = Model::random(Spelling::Bert, Sizes::default(), 1).stored_as(dtype);
        let (config, file) = (model.config_json(), model.safetensors());
        every_level(|engine| {
            for pack_for in [None, Some(engine.level())] {
                with_encoder(&config, &file, pack_for, |encoder| run(encoder, engine, &text));
            }
        });
    }
}

fn run(encoder: &Encoder, engine: Engine<'_>, text: &Text) {
    let cols = encoder.config().hidden_size;
    let (mut states, mut vectors) = (Strided::unwritten(50, cols, 0, 0), Strided::unwritten(3, cols, 0, 0));
    // Scratch for the longest sequence: the batch is worked on in groups.
    let mut scratch = scratch_for(encoder, engine, 29);
    let mut layers_seen = 0;
    without_heap("forward", || encoder.forward(&engine, &text.batch(), states.view_mut(), &mut scratch)).unwrap();
    without_heap("embed", || encoder.embed(&engine, &text.batch(), vectors.view_mut(), &mut scratch)).unwrap();
    let mut probe = |_: selfattn::block::Probe<'_>| layers_seen += 1;
    without_heap("forward_with", || {
        encoder.forward_with(&engine, &text.batch(), states.view_mut(), &mut scratch, &mut probe)
    })
    .unwrap();
    assert_eq!(layers_seen, 4, "two layers of two groups");
}

#[test]
fn attention_and_its_inspection_do_not_allocate() {
    let x = Strided::dense(30, 16, |i, j| ((i * 7 + j * 3) % 11) as f32 * 0.1);
    let attention = Attention::new(4, 4).kv_heads(4).causal(true);
    every_level(|engine| {
        let (mut out, mut lse, mut mass) = (x.clone(), Strided::dense(30, 4, |_, _| 0.0), [0.0; 30]);
        let mut scratch = Bytes::new(engine.attention_scratch(&attention).unwrap(), 0);
        let [q, k, v] = [x.view(); 3];
        without_heap("attention_lse", || {
            engine.attention_lse(&attention, q, k, v, out.view_mut(), lse.view_mut(), &mut scratch)
        })
        .unwrap();
        let mut scratch = Bytes::new(engine.inspection_scratch(&attention).unwrap(), 0);
        let mut sum = 0.0;
        without_heap("attention_weights", || {
            let inspection = Inspection::new(&attention, q, k).heads(1..3);
            engine.attention_weights(&inspection, &mut scratch, &mut |piece| sum += piece.weights.iter().sum::<f32>())
        })
        .unwrap();
        assert!((sum - 60.0).abs() < 1e-4, "{sum}");
        without_heap("attention_mass", || {
            let inspection = Inspection::new(&attention, q, k).lse(lse.view());
            engine.attention_mass(&inspection, MatMut::new(&mut mass, 1, 30)?, &mut scratch)
        })
        .unwrap();
    });
}

#[test]
fn reading_binding_and_packing_do_not_allocate() {
    let model = Model::random(Spelling::Roberta, Sizes::default(), 1);
    let (config, file) = (model.config_json(), model.safetensors());
    let layers = [Layer::default(); 2];
    every_level(|engine| {
        let mut memory = Bytes::new(1 << 20, 0);
        let mut layers = layers;
        without_heap("loading", || {
            let config = EncoderConfig::from_json(config.as_bytes()).unwrap();
            let tensors = SafeTensors::new(&file).unwrap();
            let mut encoder = Encoder::bind(&config, &tensors, &mut layers).unwrap();
            assert!(encoder.packed_bytes(engine.level()).unwrap() <= memory.len());
            encoder.pack(engine.level(), &mut memory).unwrap();
            encoder.scratch_bytes(&engine, 70).unwrap()
        });
    });
}
