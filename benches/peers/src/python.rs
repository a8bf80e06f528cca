//! Contestants in another process: Python, whose libraries take their turns in the same rounds.
//!
//! A request and its answer are a line of JSON each. The other side holds the clock, so the way there costs nothing; only one of
//! the two processes runs at a time.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::clock;
use crate::contestant::{Contestant, Info, Timed};
use crate::error::Result;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.py");

/// The interpreter and what it can run.
pub struct Python {
    process: Rc<RefCell<Process>>,
    pub hello: Hello,
}

/// What the script says first.
#[derive(Deserialize)]
pub struct Hello {
    /// Libraries with their versions.
    pub versions: Vec<String>,
    /// Libraries that are not there, and that they were not run.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    activations: String,
    weights: String,
    bytes: usize,
}

impl Python {
    pub fn start(python: &Path, threads: usize) -> Result<Self> {
        let mut command = Command::new(python);
        // Large pages for what its libraries allocate, see `pages.rs`.
        command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        command.args([SCRIPT, "serve", "--threads", &threads.to_string()]);
        if clock::is_processor() {
            command.arg("--processor-time");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes to Python".into());
        };
        let mut process = Process { child, requests: Some(requests), answers: BufReader::new(answers) };
        let hello = process.answer()?;
        Ok(Self { process: Rc::new(RefCell::new(process)), hello })
    }

    /// What takes part at this shape. Those of the shape before are gone.
    pub fn contestants(&self, op: &str, shape: &[usize]) -> Result<Vec<Box<dyn Contestant>>> {
        let request = json!({"do": "prepare", "op": op, "shape": shape});
        let described: Vec<Described> = self.process.borrow_mut().ask(&request)?;
        let remote = |(index, Described { name, activations, weights, bytes })| {
            let info = Info { name, activations, weights, bytes, ..Info::default() };
            Box::new(Remote { process: Rc::clone(&self.process), index, info }) as Box<dyn Contestant>
        };
        Ok(described.into_iter().enumerate().map(remote).collect())
    }
}

struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T> {
        if let Some(requests) = &mut self.requests {
            writeln!(requests, "{request}")?;
            requests.flush()?;
        }
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("peers.py ended; its message is above".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input ends the script.
        self.requests = None;
        let _ = self.child.wait();
    }
}

struct Remote {
    process: Rc<RefCell<Process>>,
    index: usize,
    info: Info,
}

impl Timed for Remote {
    fn time(&mut self, runs: u64) -> Result<f64> {
        self.process.borrow_mut().ask(&json!({"do": "time", "contestant": self.index, "runs": runs}))
    }
}

impl Contestant for Remote {
    fn info(&self) -> &Info {
        &self.info
    }

    fn sample(&mut self, at: &[usize]) -> Result<Vec<f64>> {
        self.process.borrow_mut().ask(&json!({"do": "sample", "contestant": self.index, "at": at}))
    }
}
