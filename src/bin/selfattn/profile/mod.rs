//! `selfattn profile`: which operations the time goes to, and which roof each of them is under.

mod collect;
mod report;
mod table;
mod trace;

use std::path::Path;

use selfattn::block::Batch;

use crate::args::ProfileArgs;
use crate::error::{Failure, Result, say};
use crate::input::whole;
use crate::machine::Roofs;
use crate::model::Model;
use crate::output::{distinct, print, print_json};
use crate::picture::{Format, Output, Point, Roofline};
use crate::run::Machine;
use report::{Report, Row};

pub fn run(args: &ProfileArgs) -> Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Failure::usage(format!("--seconds {}: give more than 0 and at most 3600", args.seconds)));
    }
    distinct(&[args.trace.as_deref(), args.roofline.as_deref()])?;
    let picture = args.roofline.as_deref().map(picture).transpose()?;
    let trace = args.trace.as_deref().map(|path| Output::create(Format::Json, path)).transpose()?;
    let text = whole(args.text.as_deref(), None)?;
    let machine = Machine::new(&args.machine)?;
    let model = Model::open(&args.model, &args.length)?;
    let tokens = model.tokenizer.encode(&text, "the text")?;
    if let Some(from) = tokens.cut_from {
        say(model.tokenizer.notice("the text", from));
    }
    let lengths = [tokens.ids().len()];
    let batch = Batch::new(tokens.ids(), &lengths)?;
    let engine = machine.engine();
    let dtype = model.dtype()?;
    let profile =
        model.with_encoder(engine.level(), |encoder| collect::collect(engine, encoder, &batch, args.seconds))?;
    let report = Report::new(&model.name, dtype, &engine, lengths[0], &profile, Roofs::measure(&engine));
    if let Some(trace) = trace {
        trace.write(trace::json(&profile.last, &report)?.as_bytes())?;
    }
    if let Some(picture) = picture {
        picture.write_svg(&roofline(&report).svg()?)?;
    }
    if args.json { print_json(&report) } else { print(&table::text(&report)) }
}

fn picture(path: &Path) -> Result<Output> {
    Output::create(Format::of(path, "--roofline")?, path)
}

/// Every operation that computes, as a point below the roofs.
fn roofline(report: &Report) -> Roofline {
    let point = |row: &Row| Point {
        name: format!("{} {}", row.operation, row.shape),
        intensity: row.intensity,
        gflops: row.gflops,
        share: row.share_percent / 100.0,
    };
    let roofs = &report.roofs;
    let mut bandwidths = vec![("memory".to_owned(), roofs.memory_gbs)];
    bandwidths.extend(roofs.cache_gbs.iter().cloned());
    Roofline {
        title: "Operations below the roofs of the machine".to_owned(),
        subtitle: report.heading(),
        peak: roofs.peak_gflops,
        bandwidths,
        points: report.operations.iter().filter(|row| row.gflops > 0.0).map(point).collect(),
    }
}
