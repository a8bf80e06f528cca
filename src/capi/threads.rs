//! Threads of the library's own: one way to run the tasks of an engine.

use core::ffi::c_void;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::engine::Task;
use super::fault::Fault;
use super::raw;
use crate::engine::{Pool, RayonPool};

/// `selfattn_threads`, opaque to C.
pub struct Threads(RayonPool);

/// An argument that tasks on several threads are given.
#[derive(Clone, Copy)]
struct Argument(*mut c_void);

// SAFETY: what it points to is `Sync`: a closure of the engine, or what the caller of `threads_run` promises.
unsafe impl Sync for Argument {}

impl Argument {
    /// A method, so that a closure captures the wrapper and not the pointer inside.
    fn get(&self) -> *mut c_void {
        self.0
    }
}

export! {
    fn threads_create(count: usize, threads: *mut *mut Threads) {
        let to = raw::place("threads", threads)?;
        let pool = catch_unwind(|| RayonPool::new(count)).map_err(|_| Fault::Panic)?;
        let pool = Box::new(Threads(pool.map_err(|_| Fault::Threads)?));
        // SAFETY: the header's word for `threads`.
        unsafe { to.put(Box::into_raw(pool)) };
        Ok(())
    }

    fn threads_destroy(threads: *mut Threads) -> () {
        if !threads.is_null() {
            // SAFETY: the header's word: from `threads_create`, and no call is using it.
            let pool = unsafe { Box::from_raw(threads) };
            // There is nobody to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(pool)));
        }
    }

    fn threads_run(threads: *mut c_void, tasks: usize, task: Task, argument: *mut c_void) -> () {
        // SAFETY: the header's word: the context of an engine, from `threads_create`.
        let Some(pool) = (unsafe { threads.cast::<Threads>().as_ref() }) else { return };
        let argument = Argument(argument);
        // SAFETY: the header's word for `task`, which is called once with each index.
        pool.0.run(tasks, &move |index| unsafe { task(argument.get(), index) });
    }
}
