//! `selfattn bench`: how fast the model runs on this machine.

mod compare;
mod measure;
mod report;

use selfattn::block::{Batch, Runner};
use selfattn::{Engine, Level};

use crate::args::{BenchArgs, LengthArgs, Table};
use crate::error::{Failure, Result};
use crate::machine::{Roofs, cpu_name, load_average};
use crate::model::Model;
use crate::output::{print, print_json, print_json_lines};
use crate::run::{cores, level, pool};
use compare::Before;
use measure::{Random, Repeat, measure};
use report::{Figures, Measurement};

/// Texts and tokens of each: what a search box, a passage and an index in the making ask for.
const TESTS: [(usize, usize); 3] = [(1, 16), (1, 128), (32, 128)];
const SEED: u64 = 42;
/// Times of a measurement that are kept at most.
const SAMPLES: usize = 1000;
/// Tokens in all texts of a test together at most: 256 MB of vectors at the usual width.
const MOST_TOKENS: usize = 1 << 17;

pub fn run(args: &BenchArgs) -> Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Failure::usage(format!("--seconds {}: give more than 0 and at most 3600", args.seconds)));
    }
    let before = args.compare.as_deref().map(Before::open).transpose()?;
    let threads = threads(&args.threads)?;
    let levels = levels(&args.level)?;
    let model = Model::open(&args.model, &LengthArgs { max_tokens: None, no_truncate: false })?;
    let bench = Bench {
        dtype: model.dtype()?,
        model: &model,
        tests: tests(args)?,
        threads,
        repeat: args.repetitions.map_or(Repeat::Seconds(args.seconds), |times| Repeat::Times(times.get())),
        cpu: cpu_name(),
        load_average: load_average(),
    };
    let mut measurements = Vec::new();
    for name in levels {
        match Level::from_name(name) {
            Ok(level) => bench.at_level(level, &mut measurements)?,
            Err(_) => measurements.extend(bench.all(name, |_| Some("this CPU does not have it".to_owned()))),
        }
    }
    if let Some(before) = before {
        return print(&before.table(&measurements));
    }
    match args.output {
        Table::Text => print(&report::text(&measurements)),
        Table::Md => print(&report::markdown(&measurements)),
        Table::Csv => print(&report::csv(&measurements)?),
        Table::Json => print_json(&measurements),
        Table::Jsonl => print_json_lines(&measurements),
    }
}

/// Texts and tokens of each test.
fn tests(args: &BenchArgs) -> Result<Vec<(usize, usize)>> {
    if args.tokens.is_empty() && args.batch.is_empty() {
        return Ok(TESTS.to_vec());
    }
    let list = |given: &[std::num::NonZeroUsize], usual: usize| match given {
        [] => vec![usual],
        given => given.iter().map(|n| n.get()).collect(),
    };
    let (batches, tokens) = (list(&args.batch, 1), list(&args.tokens, 128));
    let tests: Vec<_> = batches.iter().flat_map(|&batch| tokens.iter().map(move |&tokens| (batch, tokens))).collect();
    match tests.iter().find(|(batch, tokens)| batch.checked_mul(*tokens).is_none_or(|all| all > MOST_TOKENS)) {
        Some((batch, tokens)) => {
            Err(Failure::usage(format!("{batch} texts of {tokens} tokens: at most {MOST_TOKENS} tokens together")))
        }
        None => Ok(tests),
    }
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
    tests: Vec<(usize, usize)>,
    threads: Vec<usize>,
    repeat: Repeat,
    cpu: String,
    load_average: Option<f64>,
}

impl Bench<'_> {
    fn at_level(&self, level: Level, out: &mut Vec<Measurement>) -> Result<()> {
        self.model.with_encoder(level, |encoder| {
            let mut measurements = self.all(level.name(), |(_, tokens)| {
                let most = self.model.config.max_positions;
                (tokens > most).then(|| format!("the model takes at most {most} tokens"))
            });
            for &threads in &self.threads {
                let pool = pool(threads)?;
                let engine = Engine::new().with_level(level).with_pool(&*pool);
                let mut runner = Runner::new(engine, encoder);
                let mut roofs = None;
                for one in measurements.iter_mut().filter(|one| one.threads == threads && one.not_run.is_none()) {
                    // Not before there is a test to hold against them.
                    let roofs = roofs.get_or_insert_with(|| Roofs::measure(&engine));
                    self.measure(&mut runner, one, roofs)?;
                }
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
            cores: cores(),
            load_average: self.load_average,
            memory_gbs: None,
            not_run: not_run((batch, tokens)),
            figures: Figures::default(),
            samples_ms: None,
        };
        self.threads
            .iter()
            .flat_map(|&threads| self.tests.iter().map(move |&test| (threads, test)))
            .map(|(threads, test)| one(threads, test))
            .collect()
    }

    fn measure(&self, runner: &mut Runner<'_, '_, '_>, one: &mut Measurement, roofs: &Roofs) -> Result<()> {
        let Measurement { batch, tokens, .. } = *one;
        let mut random = Random(SEED);
        let ids: Vec<u32> = (0..batch * tokens).map(|_| random.below(self.model.config.vocab_size)).collect();
        let lengths = vec![tokens; batch];
        let batch_of_ids = Batch::new(&ids, &lengths)?;
        let times = measure(self.repeat, || Ok(runner.embed(&batch_of_ids).map(drop)?))?;
        let flops = runner.encoder().flops(&batch_of_ids) as f64;
        // The best repetition, as the peak is the best of its own.
        let gflops = flops / times.min / 1e6;
        let peak = roofs.peak_gflops;
        one.figures = Figures {
            repetitions: Some(times.all.len()),
            mean_ms: Some(times.mean),
            sd_ms: Some(times.sd),
            min_ms: Some(times.min),
            sentences_per_s: Some(batch as f64 / times.mean * 1e3),
            gflops: Some(gflops),
            peak_gflops: Some(peak),
            peak_percent: Some(gflops / peak * 100.0),
        };
        one.memory_gbs = Some(roofs.memory_gbs);
        let every = times.all.len().div_ceil(SAMPLES).max(1);
        one.samples_ms = Some(times.all.into_iter().step_by(every).collect());
        Ok(())
    }
}
