//! What an operation runs on: a level, and the caller's threads if there are any.

use core::ffi::c_void;

use super::fault::{Fault, Result};
use super::level::level;
use super::raw::reserved;
use super::sized::{self, Sized as _};
use crate::engine::{self, Pool};
use crate::simd::Level;

/// `selfattn_task`.
pub type Task = unsafe extern "C" fn(argument: *mut c_void, index: usize);

/// `selfattn_run`.
pub type Run = unsafe extern "C" fn(context: *mut c_void, tasks: usize, task: Task, argument: *mut c_void);

/// `selfattn_engine`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Engine {
    pub size: usize,
    pub threads: usize,
    pub run: Option<Run>,
    pub context: *mut c_void,
    pub level: i32,
    pub reserved: i32,
}

// SAFETY: `size` is first; zeros are no function and no context.
unsafe impl sized::Sized for Engine {
    const FIRST: usize = size_of::<Self>();
}

/// The caller's way to run tasks.
struct Callback {
    threads: usize,
    run: Run,
    context: *mut c_void,
}

// SAFETY: the header says that the context is used from the threads that the caller runs tasks on.
unsafe impl Sync for Callback {}

type Closure<'a> = &'a (dyn Fn(usize) + Sync);

/// Calls the closure that `argument` points to.
unsafe extern "C" fn call(argument: *mut c_void, index: usize) {
    // SAFETY: `Callback::run` passes a pointer to a closure that outlives all calls.
    let closure = unsafe { argument.cast::<Closure<'_>>().read() };
    closure(index);
}

// SAFETY: the header asks of `run` what the trait does.
unsafe impl Pool for Callback {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, tasks: usize, task: Closure<'_>) {
        let argument = core::ptr::from_ref(&task).cast_mut().cast();
        // SAFETY: the header's word for `run`; `task` lives until it returns.
        unsafe { (self.run)(self.context, tasks, call, argument) };
    }
}

/// An engine, its pool beside it.
pub(super) struct Runs {
    level: Level,
    pool: Option<Callback>,
}

impl Runs {
    /// # Safety
    /// `engine` is null or points to a `selfattn_engine` that is as the header says.
    pub unsafe fn read(engine: *const Engine) -> Result<Self> {
        // SAFETY: the same contract.
        let Some(engine) = (unsafe { Engine::read(engine, "engine") })? else {
            return Ok(Self { level: Level::current(), pool: None });
        };
        reserved(engine.reserved)?;
        let level = level("level", engine.level)?;
        let Engine { threads, run, context, .. } = engine;
        let callback = |run| Callback { threads, run, context };
        let pool = if threads > 1 { Some(callback(run.ok_or(Fault::Null("run"))?)) } else { None };
        Ok(Self { level, pool })
    }

    pub fn engine(&self) -> engine::Engine<'_> {
        let engine = engine::Engine::new().with_level(self.level);
        match &self.pool {
            Some(pool) => engine.with_pool(pool),
            None => engine,
        }
    }

    pub fn level(&self) -> Level {
        self.level
    }
}
