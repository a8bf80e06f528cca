//! What can go wrong, and the exit code it ends with.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why the program stops early.
#[derive(Debug)]
pub enum Failure {
    /// The arguments do not make sense together; exit code 2, as clap's own refusals.
    Usage(String),
    /// The work could not be done; exit code 1.
    Failed(String),
    /// The reader of standard output is gone (`selfattn ... | head`). No message; 128 + SIGPIPE, as a shell reports a
    /// program that the signal ended.
    BrokenPipe,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The arguments do not make sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// The work could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// A write to standard output went wrong.
    pub fn stdout(error: &io::Error) -> Self {
        Self::write("standard output", error)
    }

    /// A write to the named place went wrong.
    pub fn write(place: impl fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(format!("cannot write to {place}: {}", reason(error))),
        }
    }

    /// Says it on standard error, and returns the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Usage(message) => {
                say(format_args!("selfattn: {message}\nFor help: selfattn --help"));
                ExitCode::from(2)
            }
            Self::Failed(message) => {
                say(format_args!("selfattn: {message}"));
                ExitCode::FAILURE
            }
            Self::BrokenPipe => ExitCode::from(141),
        }
    }
}

impl From<selfattn::Error> for Failure {
    /// For errors that no input of the user's can cause once the model is loaded, but one; the rest is put into words where
    /// it arises.
    fn from(error: selfattn::Error) -> Self {
        Self::Failed(match error {
            selfattn::Error::Token { .. } => {
                format!("{error}: tokenizer.json and model.safetensors are not of the same model; get both again")
            }
            _ => error.to_string(),
        })
    }
}

/// The operating system's words, without the `(os error 2)` that helps nobody.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A line on standard error. That nobody can read it is no reason to stop, nor to end differently.
pub fn say(message: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{message}");
}
