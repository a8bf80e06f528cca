//! `selfattn bench`: how fast the model runs on this machine.

mod machine;
mod measure;
mod report;

use selfattn::block::{Batch, Runner};
use selfattn::{Engine, Level};

use crate::args::{BenchArgs, LengthArgs};
use crate::error::{Failure, Result};
use crate::model::Model;
use crate::output::{print, print_json};
use crate::run::{cores, level, pool};
use measure::{Random, measure};
use report::{Figures, Measurement};

/// Texts and tokens of each: what a search box, a passage and an index in the making ask for.
const TESTS: [(usize, usize); 3] = [(1, 16), (1, 128), (32, 128)];
const SEED: u64 = 42;

pub fn run(args: &BenchArgs) -> Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Failure::usage(format!("--seconds {}: give more than 0 and at most 3600", args.seconds)));
    }
    let threads = threads(&args.threads)?;
    let levels = levels(&args.level)?;
    let model = Model::open(&args.model, &LengthArgs { max_tokens: None, no_truncate: false })?;
    let bench =
        Bench { dtype: model.dtype()?, model: &model, threads, seconds: args.seconds, cpu: machine::cpu_name() };
    let mut measurements = Vec::new();
    for name in levels {
        match Level::from_name(name) {
            Ok(level) => bench.at_level(level, &mut measurements)?,
            Err(_) => measurements.extend(bench.all(name, |_| Some("this CPU does not have it".to_owned()))),
        }
    }
    if args.json {
        return print_json(&measurements);
    }
    print(&report::table(&measurements))
}

/// Numbers of threads, each once.
fn threads(list: &[String]) -> Result<Vec<usize>> {
    let mut out = Vec::new();
    for item in list {
        let threads = match (item.trim(), item.trim().parse::<usize>()) {
            ("all", _) => cores(),
            (_, Ok(threads)) if threads > 0 => threads,
            _ => return Err(Failure::usage(format!("--threads {item:?}: give a number from 1, or all"))),
        };
        if !out.contains(&threads) {
            out.push(threads);
        }
    }
    Ok(out)
}

/// Names of levels, each once, whether this CPU has them or not.
fn levels(list: &[String]) -> Result<Vec<&'static str>> {
    if list.is_empty() {
        return Ok(vec![Level::current().name()]);
    }
    let mut out = Vec::new();
    for item in list {
        if item == "all" {
            return Ok(Level::NAMES.to_vec());
        }
        match Level::NAMES.iter().find(|name| *name == item) {
            Some(name) if !out.contains(name) => out.push(*name),
            Some(_) => (),
            // An unknown name: the same words as everywhere.
            None => level(item).map(|_| ())?,
        }
    }
    Ok(out)
}

struct Bench<'a> {
    model: &'a Model,
    dtype: &'static str,
    threads: Vec<usize>,
    seconds: f64,
    cpu: String,
}

impl Bench<'_> {
    fn at_level(&self, level: Level, out: &mut Vec<Measurement>) -> Result<()> {
        let peak = machine::fma_peak(level);
        self.model.with_encoder(level, |encoder| {
            let mut measurements = self.all(level.name(), |(_, tokens)| {
                let most = self.model.config.max_positions;
                (tokens > most).then(|| format!("the model takes at most {most} tokens"))
            });
            for one in measurements.iter_mut().filter(|one| one.not_run.is_none()) {
                let pool = pool(one.threads)?;
                let engine = Engine::new().with_level(level).with_pool(&*pool);
                one.figures = self.figures(&mut Runner::new(engine, encoder), one, peak)?;
            }
            out.append(&mut measurements);
            Ok(())
        })
    }

    /// Every test on every number of threads, without figures yet.
    fn all(&self, level: &str, not_run: impl Fn((usize, usize)) -> Option<String>) -> Vec<Measurement> {
        let one = |threads: usize, (batch, tokens): (usize, usize)| Measurement {
            test: format!("{batch}x{tokens}"),
            batch,
            tokens,
            threads,
            level: level.to_owned(),
            dtype: self.dtype,
            model: self.model.name.clone(),
            cpu: self.cpu.clone(),
            not_run: not_run((batch, tokens)),
            figures: Figures::default(),
        };
        self.threads.iter().flat_map(|&threads| TESTS.map(|test| one(threads, test))).collect()
    }

    fn figures(&self, runner: &mut Runner<'_, '_, '_>, one: &Measurement, peak: f64) -> Result<Figures> {
        let Measurement { batch, tokens, threads, .. } = *one;
        let mut random = Random(SEED);
        let ids: Vec<u32> = (0..batch * tokens).map(|_| random.below(self.model.config.vocab_size)).collect();
        let lengths = vec![tokens; batch];
        let batch_of_ids = Batch::new(&ids, &lengths)?;
        let times = measure(self.seconds, || Ok(runner.embed(&batch_of_ids).map(drop)?))?;
        let flops = runner.encoder().flops(&batch_of_ids) as f64;
        // The best repetition, as the peak is the best of its own.
        let gflops = flops / times.min / 1e6;
        let peak = peak * threads as f64;
        Ok(Figures {
            repetitions: Some(times.repetitions),
            mean_ms: Some(times.mean),
            sd_ms: Some(times.sd),
            min_ms: Some(times.min),
            sentences_per_s: Some(batch as f64 / times.mean * 1e3),
            gflops: Some(gflops),
            peak_gflops: Some(peak),
            peak_percent: Some(gflops / peak * 100.0),
        })
    }
}
