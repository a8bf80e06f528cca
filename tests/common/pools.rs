//! Thread pools without a dependency: real threads, and an order that no real pool would choose.

use selfattn::Pool;

/// One new thread a task, for as many tasks as there are threads at a time.
pub struct Threads(pub usize);

// SAFETY: every index is visited once, and the scope ends when all tasks have.
unsafe impl Pool for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    /// One after the other on WASI, which has no threads: not even a program that could start one is linked.
    #[cfg(target_family = "wasm")]
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }

    #[cfg(not(target_family = "wasm"))]
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        for wave in (0..tasks).step_by(self.0) {
            std::thread::scope(|scope| {
                for index in wave..(wave + self.0).min(tasks) {
                    scope.spawn(move || task(index));
                }
            });
        }
    }
}

/// Claims that many threads, and runs the tasks one by one from the last to the first.
pub struct Backwards(pub usize);

// SAFETY: a plain loop over the indices.
unsafe impl Pool for Backwards {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).rev().for_each(task);
    }
}

/// The pools whose results must be the bits of one thread.
pub fn every_pool() -> Vec<(String, Box<dyn Pool>)> {
    let mut pools: Vec<(String, Box<dyn Pool>)> = Vec::new();
    for threads in [1, 2, 4] {
        pools.push((format!("{threads} threads"), Box::new(Threads(threads))));
        #[cfg(feature = "rayon")]
        pools.push((format!("{threads} threads of rayon"), Box::new(selfattn::RayonPool::new(threads).unwrap())));
    }
    pools.push(("3 tasks backwards".to_owned(), Box::new(Backwards(3))));
    pools
}

/// Claims as many threads as can be counted; runs nothing.
pub struct Vast;

// SAFETY: `run` panics before any task would have to be run.
unsafe impl Pool for Vast {
    fn threads(&self) -> usize {
        usize::MAX
    }

    fn run(&self, _: usize, _: &(dyn Fn(usize) + Sync)) {
        unreachable!("scratch for so many threads cannot be had");
    }
}
