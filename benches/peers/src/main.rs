//! Runs the library's operations side by side with those of others.

mod args;
mod attention;
mod clock;
mod contestant;
mod data;
mod error;
mod machine;
mod matmul;
mod measure;
mod pages;
mod python;
mod report;
mod roofs;
mod shapes;
mod softmax;

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use clap::Parser;
use selfattn::Engine;
use serde_json::json;

use args::{Cli, Command, RunArgs};
use error::Result;
use machine::Machine;
use python::Python;
use report::table::{heading, table};
use report::{Report, Row};

/// Every operation's shapes; the Python script reads the same file.
const SHAPES: &str = include_str!("../shapes.json");
/// How long the peak and the bandwidth of the heading are measured.
const ROOF_SECONDS: f64 = 0.5;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Matmul(args) => compare("matmul", &args),
        Command::Softmax(args) => compare("softmax", &args),
        Command::Attention(args) => compare("attention", &args),
        Command::Decode(args) => compare("decode", &args),
        Command::Shapes(args) => shapes::run(&args),
        Command::Roofs { threads, seconds } => roofs(threads, seconds),
    };
    if let Err(error) = result {
        eprintln!("peers: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn compare(op: &str, args: &RunArgs) -> Result<()> {
    args::check_seconds(args.seconds)?;
    clock::choose(args.processor_time, args.threads)?;
    let pool = machine::pool(args.threads)?;
    let engine = Engine::new().with_pool(&*pool);
    let python = args.python.as_deref().map(|python| Python::start(python, args.threads)).transpose()?;
    let report = report(op, &engine, python.as_ref(), args)?;
    let heading = heading(&report);
    let mut tables = table(&report, op, args.fastest).to_string();
    if op == "attention" {
        tables = format!("{tables}\n\n{}\n\n{}", attention::SUMMARY, attention::summary(&report.rows));
    }
    println!("{}\n\n{tables}", heading.join("\n"));
    if let Some(file) = &args.md {
        fs::write(file, format!("{}\n\n{tables}\n", heading.join("  \n")))?;
    }
    if let Some(file) = &args.json {
        fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    Ok(())
}

fn report(op: &str, engine: &Engine<'_>, python: Option<&Python>, args: &RunArgs) -> Result<Report> {
    let roofs = roofs::measure(engine, ROOF_SECONDS, args.cold_bytes())?;
    let mut report = Report { machine: Machine::new(engine, roofs), ..Report::default() };
    if let Some(python) = python {
        report.machine.versions.extend(python.hello.versions.iter().cloned());
        report.notes.extend(python.hello.notes.iter().cloned());
    }
    for shape in shapes(op, &args.filter)? {
        eprintln!("{op} {shape}");
        report.rows.extend(at(op, &shape, engine, python, args)?);
    }
    for file in &args.with {
        report.merge(file)?;
    }
    Ok(report)
}

fn at(op: &str, shape: &str, engine: &Engine<'_>, python: Option<&Python>, args: &RunArgs) -> Result<Vec<Row>> {
    match op {
        "softmax" => softmax::run(shape, engine, python, args),
        "attention" | "decode" => attention::run(op, shape, engine, python, args),
        _ => matmul::run(shape, engine, python, args),
    }
}

fn shapes(op: &str, filter: &str) -> Result<Vec<String>> {
    let mut shapes: BTreeMap<String, Vec<String>> = serde_json::from_str(SHAPES)?;
    let mut shapes = shapes.remove(op).unwrap_or_default();
    shapes.retain(|shape| shape.contains(filter));
    if shapes.is_empty() { Err(format!("--filter {filter}: no such shape").into()) } else { Ok(shapes) }
}

fn roofs(threads: usize, seconds: f64) -> Result<()> {
    let pool = machine::pool(threads)?;
    let engine = Engine::new().with_pool(&*pool);
    let measured = roofs::measure(&engine, seconds, args::bytes(args::MEMORY))?;
    let machine = Machine { versions: Vec::new(), ..Machine::new(&engine, measured) };
    println!("{}", json!(machine));
    Ok(())
}
