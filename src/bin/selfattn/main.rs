//! `selfattn`: sentence vectors, nearest lines, the steps of self-attention made visible, and speed, from the command
//! line.
//!
//! `args` says what can be asked for; `model`, `labels` and `tokens` read a published model folder, or the one in `built_in`;
//! `run` computes; one module a subcommand does the rest.

#![deny(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod args;
mod bench;
mod built_in;
mod embed;
mod error;
mod explain;
mod info;
mod input;
mod labels;
mod machine;
mod model;
mod output;
mod picture;
mod plot;
mod profile;
mod progress;
mod run;
mod similar;
mod terminal;
mod tokens;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use error::Failure;

fn main() -> ExitCode {
    let command = match Args::try_parse() {
        Ok(args) => args.command,
        Err(error) => return help(&error),
    };
    let result = match command {
        Command::Embed(args) => embed::run(&args),
        Command::Similar(args) => similar::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Info(args) => info::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Prints the help that was asked for, or what is wrong with the arguments.
fn help(message: &clap::Error) -> ExitCode {
    match message.print() {
        Err(error) if !message.use_stderr() => Failure::stdout(&error).report(),
        _ => ExitCode::from(if message.use_stderr() { 2 } else { 0 }),
    }
}
