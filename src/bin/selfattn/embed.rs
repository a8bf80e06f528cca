//! `selfattn embed`: texts in, sentence vectors out.

use std::io::IsTerminal;

use selfattn::block::{Batch, Runner};

use crate::args::{EmbedArgs, Format};
use crate::error::Result;
use crate::input::{Source, Text};
use crate::model::Model;
use crate::output::{Sink, distinct, npy_needs_file};
use crate::plot::Plot;
use crate::progress::Progress;
use crate::run::with_runner;
use crate::tokens::Tokens;

pub fn run(args: &EmbedArgs) -> Result<()> {
    if args.format == Format::Npy && args.out.is_none() {
        return Err(npy_needs_file());
    }
    distinct(&[args.out.as_deref(), args.plot.as_deref()])?;
    let mut source = Source::new(args.texts.clone(), args.input.as_deref())?;
    let mut plot = args.plot.as_deref().map(Plot::create).transpose()?;
    with_runner(&args.model, &args.machine, &args.length, |model, runner| {
        // Whoever wants a picture does not want hundreds of numbers on the terminal as well.
        let written = plot.is_none() || args.out.is_some();
        let open = || Sink::open(args.format, args.out.as_deref(), model.config.hidden_size);
        let mut sink = written.then(open).transpose()?;
        let to_terminal = written && args.out.is_none() && std::io::stdout().is_terminal();
        for_each_chunk(&mut source, model, runner, to_terminal, |chunk| {
            for text in chunk {
                if let Some(sink) = &mut sink {
                    sink.write(&text.text.text, text.tokens.ids(), text.vector)?;
                }
                if let Some(plot) = &mut plot {
                    plot.add(&text.text.text, text.vector)?;
                }
            }
            sink.as_mut().map_or(Ok(()), Sink::flush)
        })?;
        plot.take().map_or(Ok(()), |plot| plot.finish(runner, &model.name))?;
        sink.map_or(Ok(()), Sink::finish)
    })
}

/// A text, what the model saw of it, and its vector.
pub struct Embedded<'a> {
    pub text: &'a Text,
    pub tokens: &'a Tokens,
    pub vector: &'a [f32],
}

/// Runs all texts of the source through the model, a chunk at a time, in order.
pub fn for_each_chunk(
    source: &mut Source,
    model: &Model,
    runner: &mut Runner<'_, '_, '_>,
    results_on_terminal: bool,
    mut take: impl FnMut(&[Embedded<'_>]) -> Result<()>,
) -> Result<()> {
    let mut progress = Progress::new(source.bytes().1, results_on_terminal);
    let mut texts = Vec::new();
    loop {
        source.next_chunk(&mut texts)?;
        if texts.is_empty() {
            break;
        }
        let tokens = encode(&texts, source, model, &mut progress)?;
        let vectors = embed(runner, &tokens)?;
        let rows = vectors.chunks_exact(model.config.hidden_size);
        let parts = texts.iter().zip(&tokens).zip(rows);
        let chunk: Vec<_> = parts.map(|((text, tokens), vector)| Embedded { text, tokens, vector }).collect();
        take(&chunk)?;
        progress.advance(texts.len() as u64, source.bytes().0);
    }
    progress.finish();
    Ok(())
}

fn encode(texts: &[Text], source: &Source, model: &Model, progress: &mut Progress) -> Result<Vec<Tokens>> {
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        let name = source.describe(text.number);
        let tokens = model.tokenizer.encode(&text.text, &name)?;
        if let Some(from) = tokens.cut_from {
            progress.notice_cut(|| model.tokenizer.notice(&name, from));
        }
        let unknown = model.tokenizer.unknown_words(&text.text, &tokens);
        if !unknown.is_empty() {
            progress.notice_unknown(|| model.tokenizer.notice_unknown(&name, &unknown));
        }
        all.push(tokens);
    }
    Ok(all)
}

/// The vectors of several texts, laid end to end: no padding, whatever their lengths.
pub fn embed(runner: &mut Runner<'_, '_, '_>, texts: &[Tokens]) -> Result<Vec<f32>> {
    let lengths: Vec<usize> = texts.iter().map(|tokens| tokens.ids().len()).collect();
    let ids: Vec<u32> = texts.iter().flat_map(Tokens::ids).copied().collect();
    Ok(runner.embed(&Batch::new(&ids, &lengths)?)?)
}
