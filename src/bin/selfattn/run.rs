//! The machine to compute on: a level and threads.

use selfattn::block::Runner;
use selfattn::{Engine, Level, Pool, RayonPool, Serial};

use crate::args::{LengthArgs, MachineArgs, ModelArgs};
use crate::error::{Failure, Result};
use crate::model::Model;

/// A level and threads.
pub struct Machine {
    level: Level,
    pool: Box<dyn Pool>,
}

impl Machine {
    pub fn new(args: &MachineArgs) -> Result<Self> {
        let level = args.level.as_deref().map_or_else(|| Ok(Level::current()), level)?;
        let pool = pool(args.threads.map_or_else(cores, std::num::NonZeroUsize::get))?;
        Ok(Self { level, pool })
    }

    pub fn engine(&self) -> Engine<'_> {
        Engine::new().with_level(self.level).with_pool(&*self.pool)
    }
}

/// How many threads can run at the same time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

pub fn pool(threads: usize) -> Result<Box<dyn Pool>> {
    if threads <= 1 {
        return Ok(Box::new(Serial));
    }
    let pool = RayonPool::new(threads)
        .map_err(|error| Failure::failed(format!("cannot start {threads} threads: {error}; try --threads 1")))?;
    Ok(Box::new(pool))
}

/// The level of that name, if this CPU has it.
pub fn level(name: &str) -> Result<Level> {
    if !Level::NAMES.contains(&name) {
        return Err(Failure::usage(format!("no level is called {name:?}; there are {}", Level::NAMES.join(", "))));
    }
    Level::from_name(name).map_err(|_| {
        let has: Vec<_> = Level::available().map(Level::name).collect();
        Failure::failed(format!("this CPU does not have {name}; it has {}", has.join(", ")))
    })
}

/// Opens the model, sets up the machine, and lends both to `work`.
pub fn with_runner<T>(
    model: &ModelArgs,
    machine: &MachineArgs,
    length: &LengthArgs,
    work: impl FnOnce(&Model, &mut Runner<'_, '_, '_>) -> Result<T>,
) -> Result<T> {
    let machine = Machine::new(machine)?;
    let model = Model::open(model, length)?;
    let engine = machine.engine();
    model.with_encoder(engine.level(), |encoder| work(&model, &mut Runner::new(engine, encoder)))
}
