//! The machine to compute on, and an encoder at work on it.

use selfattn::block::{Batch, Encoder, Probe};
use selfattn::{Engine, Level, MatMut, Pool, RayonPool, Serial};

use crate::args::{LengthArgs, MachineArgs, ModelArgs};
use crate::error::{Failure, Result};
use crate::model::Model;

/// Tokens that go through the layers together: enough to keep every core busy, few enough to stay small (about 40 MB of
/// scratch with MiniLM).
const TOGETHER: usize = 2048;

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

/// An encoder, what it runs on, and its scratch.
pub struct Runner<'r, 's, 'w> {
    pub engine: Engine<'r>,
    pub encoder: &'r Encoder<'s, 'w>,
    scratch: Vec<u8>,
    /// Tokens that the scratch is large enough for.
    tokens: usize,
}

impl<'r, 's, 'w> Runner<'r, 's, 'w> {
    pub fn new(engine: Engine<'r>, encoder: &'r Encoder<'s, 'w>) -> Self {
        Self { engine, encoder, scratch: Vec::new(), tokens: 0 }
    }

    /// One sentence vector a sequence; the sequences lie end to end in `ids`.
    pub fn embed(&mut self, ids: &[u32], lengths: &[usize]) -> Result<Vec<f32>> {
        self.prepare(lengths)?;
        let width = self.encoder.config().hidden_size;
        let mut out = vec![0.0; lengths.len() * width];
        let matrix = MatMut::new(&mut out, lengths.len(), width)?;
        let batch = Batch::new(ids, lengths)?;
        self.encoder.embed(&self.engine, &batch, matrix, &mut self.scratch).map_err(in_words)?;
        Ok(out)
    }

    /// The last hidden state: one vector a token.
    pub fn hidden(&mut self, ids: &[u32], lengths: &[usize]) -> Result<Vec<f32>> {
        self.hidden_with(ids, lengths, &mut |_| ())
    }

    /// The last hidden state, with queries, keys and values of each layer shown to `probe` on the way.
    pub fn hidden_with(
        &mut self,
        ids: &[u32],
        lengths: &[usize],
        probe: &mut dyn FnMut(Probe<'_>),
    ) -> Result<Vec<f32>> {
        self.prepare(lengths)?;
        let width = self.encoder.config().hidden_size;
        let mut out = vec![0.0; ids.len() * width];
        let matrix = MatMut::new(&mut out, ids.len(), width)?;
        let batch = Batch::new(ids, lengths)?;
        self.encoder.forward_with(&self.engine, &batch, matrix, &mut self.scratch, probe).map_err(in_words)?;
        Ok(out)
    }

    /// Makes the scratch large enough.
    fn prepare(&mut self, lengths: &[usize]) -> Result<()> {
        let total: usize = lengths.iter().sum();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let tokens = total.min(TOGETHER).max(longest);
        if tokens > self.tokens {
            self.scratch = vec![0; self.encoder.scratch_bytes(&self.engine, tokens)?];
            self.tokens = tokens;
        }
        Ok(())
    }
}

fn in_words(error: selfattn::Error) -> Failure {
    match error {
        selfattn::Error::Token { .. } => Failure::failed(format!(
            "{error}: tokenizer.json and model.safetensors are not of the same model; get both again"
        )),
        _ => error.into(),
    }
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
