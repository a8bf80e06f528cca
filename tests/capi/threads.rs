//! Threads: those of the program, on one model; those that run the tasks of one call.

use std::ffi::c_void;
use std::ptr::{from_ref, null};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[cfg(feature = "rayon")]
use selfattn::capi;
use selfattn::capi::{Encoder, Engine, Task};

use super::encoder::{Placed, model, parsed, run, text};
use super::support::engine_at;
use crate::common::model::Spelling;

/// A pointer that goes to other threads.
#[derive(Clone, Copy)]
struct Sent(*const c_void);

// SAFETY: what it points to may be shared: an encoder that is only read, or the argument of tasks.
unsafe impl Send for Sent {}
// SAFETY: as above.
unsafe impl Sync for Sent {}

impl Sent {
    fn get(&self) -> *const c_void {
        self.0
    }
}

#[test]
fn eight_threads_share_a_model() {
    let (model, text) = (model(Spelling::Bert), text());
    let weights = model.safetensors();
    let placed = Placed::new(&parsed(&model.config_json()), &weights);
    let expected = run(null(), placed.encoder, &text, 40).map(|x| x.bits());
    let encoder = Sent(placed.encoder.cast_const().cast());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (text, expected) = (&text, &expected);
            scope.spawn(move || {
                for turn in 0..10 {
                    let got = run(null(), encoder.get().cast::<Encoder>(), text, 40 + thread).map(|x| x.bits());
                    assert_eq!(&got, expected, "thread {thread}, turn {turn}");
                }
            });
        }
    });
}

/// A pool as a C program has one: a thread a task. The context counts the calls.
unsafe extern "C" fn spawn(context: *mut c_void, tasks: usize, task: Task, argument: *mut c_void) {
    // SAFETY: the test gives a counter.
    unsafe { &*context.cast::<AtomicUsize>() }.fetch_add(1, SeqCst);
    let argument = Sent(argument.cast_const());
    std::thread::scope(|scope| {
        for index in 0..tasks {
            // SAFETY: called once with each index, and the scope waits.
            scope.spawn(move || unsafe { task(argument.get().cast_mut(), index) });
        }
    });
}

fn same_bits_on(engine: impl Fn(Engine) -> Engine) {
    let (model, text) = (model(Spelling::Bert), text());
    let weights = model.safetensors();
    let placed = Placed::new(&parsed(&model.config_json()), &weights);
    for level in selfattn::Level::available() {
        let serial = engine_at(level.name());
        let expected = run(&raw const serial, placed.encoder, &text, 40).map(|x| x.bits());
        let threaded = engine(serial);
        assert_eq!(run(&raw const threaded, placed.encoder, &text, 40).map(|x| x.bits()), expected, "{level}");
    }
}

#[test]
fn a_pool_of_the_programs_own_changes_no_bit() {
    let calls = AtomicUsize::new(0);
    let context = from_ref(&calls).cast_mut().cast();
    same_bits_on(|serial| Engine { threads: 3, run: Some(spawn), context, ..serial });
    assert!(calls.load(SeqCst) > 0, "the pool has not been used");
}

#[test]
fn one_thread_needs_no_pool() {
    let calls = AtomicUsize::new(0);
    let context = from_ref(&calls).cast_mut().cast();
    same_bits_on(|serial| Engine { threads: 1, run: Some(spawn), context, ..serial });
    assert_eq!(calls.load(SeqCst), 0);
}

#[cfg(feature = "rayon")]
#[test]
fn the_librarys_own_threads_change_no_bit() {
    use super::support::{fails, works};
    let mut threads = std::ptr::null_mut();
    // SAFETY: what the header asks for.
    works(|error| unsafe { capi::threads_create(3, &raw mut threads, error) });
    same_bits_on(|serial| Engine { threads: 3, run: Some(capi::threads_run), context: threads.cast(), ..serial });
    // SAFETY: created above, used no more; null is ignored.
    unsafe {
        capi::threads_destroy(threads);
        capi::threads_destroy(std::ptr::null_mut());
    }
    // SAFETY: null is refused.
    fails(capi::Status::Null, "threads", |error| unsafe { capi::threads_create(2, std::ptr::null_mut(), error) });
}
