//! `selfattn similar`: the lines nearest in meaning to a query.

use std::fmt::Write;

use serde::Serialize;

use crate::args::SimilarArgs;
use crate::embed::{Embedded, embed, for_each_chunk};
use crate::error::{Failure, Result, say};
use crate::input::Source;
use crate::output::{print, print_json};
use crate::run::with_runner;

#[derive(Serialize)]
struct Answer<'a> {
    query: &'a str,
    matches: &'a [Match],
}

#[derive(Serialize)]
struct Match {
    /// From 1.
    rank: usize,
    /// From 1.
    line: u64,
    cosine: f32,
    text: String,
}

pub fn run(args: &SimilarArgs) -> Result<()> {
    if args.query.trim().is_empty() {
        return Err(Failure::usage("the query is empty"));
    }
    let mut source = Source::new(Vec::new(), args.input.as_deref())?;
    let best = with_runner(&args.model, &args.machine, &args.length, |model, runner| {
        let query = model.tokenizer.encode(&args.query, "the query")?;
        if let Some(from) = query.cut_from {
            say(model.tokenizer.notice("the query", from));
        }
        let unknown = model.tokenizer.unknown_words(&args.query, &query);
        if !unknown.is_empty() {
            say(model.tokenizer.notice_unknown("the query", &unknown));
        }
        let query = embed(runner, &[query])?;
        let mut best = Best { limit: args.k.get(), matches: Vec::new() };
        for_each_chunk(&mut source, model, runner, false, |chunk| {
            for text in chunk.iter().filter(|text| !text.text.text.trim().is_empty()) {
                best.offer(selfattn::lecture::cosine(&query, text.vector)?, text);
            }
            Ok(())
        })?;
        Ok(best.ranked())
    })?;
    if args.json {
        return print_json(&Answer { query: &args.query, matches: &best });
    }
    print(&lines(&best))
}

/// The nearest so far, nearest first.
struct Best {
    limit: usize,
    matches: Vec<Match>,
}

impl Best {
    /// Of equals, the earlier line comes first.
    fn offer(&mut self, cosine: f32, text: &Embedded<'_>) {
        let place = self.matches.partition_point(|other| other.cosine.total_cmp(&cosine).is_ge());
        if place < self.limit {
            let Embedded { text, .. } = text;
            self.matches.insert(place, Match { rank: 0, line: text.number, cosine, text: text.text.clone() });
            self.matches.truncate(self.limit);
        }
    }

    fn ranked(mut self) -> Vec<Match> {
        for (i, found) in self.matches.iter_mut().enumerate() {
            found.rank = i + 1;
        }
        self.matches
    }
}

fn lines(matches: &[Match]) -> String {
    let width = matches.iter().map(|found| found.line.to_string().len()).max().unwrap_or(0);
    let mut out = String::new();
    for Match { line, cosine, text, .. } in matches {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{cosine:7.4}  {line:width$}  {text}");
    }
    out
}
