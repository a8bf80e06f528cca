//! What is said on standard error while a long input is worked on: a bar, and notices that do not tear it.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::say;

/// Work that takes less needs no bar.
const PATIENCE: Duration = Duration::from_millis(800);
/// Notices of one kind that are printed before they are only counted.
const NOTICES: u64 = 5;

pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    wanted: bool,
    texts: u64,
    cut: u64,
    unknown: u64,
}

impl Progress {
    /// A bar for an input of so many bytes, if that is known. `results_on_terminal`: a bar would run into them.
    pub fn new(bytes: Option<u64>, results_on_terminal: bool) -> Self {
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::hidden());
        let template = match bytes {
            Some(_) => "{bar:30} {percent:>3} %  {msg}  {eta} left",
            None => "{spinner} {msg}  {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let wanted = io::stderr().is_terminal() && !results_on_terminal;
        Self { bar, started: Instant::now(), wanted, texts: 0, cut: 0, unknown: 0 }
    }

    /// So many more texts are done, and so many bytes read in all.
    pub fn advance(&mut self, texts: u64, bytes: u64) {
        self.texts += texts;
        if self.wanted && self.started.elapsed() > PATIENCE {
            self.wanted = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let rate = self.texts as f64 / self.started.elapsed().as_secs_f64();
        self.bar.set_position(bytes);
        self.bar.set_message(format!("{} texts, {rate:.0}/s", self.texts));
    }

    /// Says that a text was cut; after the first few, only counts.
    pub fn notice_cut(&mut self, notice: impl FnOnce() -> String) {
        self.cut += 1;
        self.say(self.cut, notice);
    }

    /// Says which words of a text are unknown; after the first few texts, only counts.
    pub fn notice_unknown(&mut self, notice: impl FnOnce() -> String) {
        self.unknown += 1;
        self.say(self.unknown, notice);
    }

    fn say(&self, count: u64, notice: impl FnOnce() -> String) {
        if count <= NOTICES {
            self.bar.suspend(|| say(notice()));
        }
    }

    /// Takes the bar away, and tells the counts of what was not said.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        for (count, what) in [(self.cut, "were cut"), (self.unknown, "have unknown words")] {
            if count > NOTICES {
                say(format_args!("selfattn: {count} texts {what} in all"));
            }
        }
    }
}
