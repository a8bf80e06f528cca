//! The command line, end to end: the real program on a tiny model made here, and (ignored without it) on the real one.

#![cfg(feature = "cli")]

mod common;

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/built_in.rs"]
mod built_in;
#[path = "cli/embed.rs"]
mod embed;
#[cfg(unix)]
#[path = "cli/ending.rs"]
mod ending;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/info.rs"]
mod info;
#[path = "cli/out.rs"]
mod out;
#[path = "cli/page.rs"]
mod page;
#[path = "cli/pictures.rs"]
mod pictures;
#[path = "cli/profile.rs"]
mod profile;
#[path = "cli/real.rs"]
mod real;
#[path = "cli/similar.rs"]
mod similar;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/texts.rs"]
mod texts;
#[path = "cli/tokenizers.rs"]
mod tokenizers;
