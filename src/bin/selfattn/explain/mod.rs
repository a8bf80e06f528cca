//! `selfattn explain`: the steps of self-attention on the words of a text.

mod attention;
mod fixed;
mod heat;
mod learned;
mod nearness;
mod neighbours;
mod page;
mod pictures;
mod report;
mod senses;
mod show;
mod story;
mod words;

use selfattn::MatRef;
use selfattn::block::Runner;

use crate::args::ExplainArgs;
use crate::error::{Failure, Result, say};
use crate::input;
use crate::model::Model;
use crate::output::{print, print_json};
use crate::picture::page::data::Page;
use crate::run::with_runner;
use crate::terminal::Terminal;
use attention::Trace;
pub use fixed::{similarities, square};
use learned::Focus;
use page::Study;
use pictures::Pictures;
use report::{Report, WordInfo};
use words::Word;

/// Words above which a matrix is no longer printed whole.
pub const LONG: usize = 24;

/// The layer and the head (or the mean over heads) that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub layer: usize,
    pub head: Option<usize>,
}

pub fn run(args: &ExplainArgs) -> Result<()> {
    let text = input::whole(args.text.as_deref(), args.input.as_deref())?;
    let pictures = Pictures::create(&args.pictures)?;
    let (report, words, page) = with_runner(&args.model, &args.machine, &args.length, |model, runner| {
        explain(args, text.trim(), model, runner)
    })?;
    let drawn = !pictures.is_empty();
    pictures.write(&report, page.as_ref())?;
    if args.json {
        return print_json(&report);
    }
    if drawn {
        return Ok(());
    }
    print(&show::text(&report, &words, args.k.get(), Terminal::stdout()))
}

fn explain(
    args: &ExplainArgs,
    text: &str,
    model: &Model,
    runner: &mut Runner<'_, '_, '_>,
) -> Result<(Report, Vec<Word>, Option<Page>)> {
    let shown = shown(args, model)?;
    let tokens = model.tokenizer.encode(text, "the text")?;
    if let Some(from) = tokens.cut_from {
        say(model.tokenizer.notice("the text", from));
    }
    let words = words::words(text, &tokens);
    if words.is_empty() {
        return Err(Failure::failed("there is no word in the text"));
    }
    let focus = args.from.as_deref().map(|word| focus(word, args.nth.map(Into::into), &words)).transpose()?;
    let rows = fixed::table_rows(runner, &words)?;
    let matrix = MatRef::new(&rows, words.len(), model.config.hidden_size)?;
    let similarities = fixed::similarities(runner, matrix)?;
    let parameter_free = fixed::new_representation(runner, matrix, &similarities)?;
    let trace = Trace::record(runner, tokens.ids())?;
    let (attention, from) = learned::attention(runner, &trace, &words, shown, focus, args.k.get())?;
    let contextual = nearness::contextual(model, runner, &words, &rows, &trace.hidden, &args.near)?;
    let senses = senses::senses(model, runner, &words, tokens.ids(), &trace)?;
    let report = Report {
        model: model.name.clone(),
        text: text.to_owned(),
        tokens: tokens.ids().len(),
        words: infos(&words, model.tokenizer.unknown()),
        similarity: fixed::square(&similarities, words.len()),
        parameter_free,
        attention,
        contextual,
        senses,
        from,
    };
    let study = Study { model, report: &report, words: &words, rows: &rows, trace: &trace };
    let page = args.pictures.html.as_ref().map(|_| study.page(runner)).transpose()?;
    Ok((report, words, page))
}

fn shown(args: &ExplainArgs, model: &Model) -> Result<Shown> {
    let (layers, heads) = (model.config.layers, model.config.heads);
    let layer = args.layer.unwrap_or(layers - 1);
    if layer >= layers {
        return Err(Failure::usage(format!("--layer {layer}: the model has the layers 0 to {}", layers - 1)));
    }
    match args.head {
        Some(head) if head >= heads => {
            Err(Failure::usage(format!("--head {head}: the model has the heads 0 to {}", heads - 1)))
        }
        head => Ok(Shown { layer, head }),
    }
}

/// Finds the word of `--from`, whatever its case.
fn focus(word: &str, nth: Option<usize>, words: &[Word]) -> Result<Focus> {
    let wanted = word.trim().to_lowercase();
    let places: Vec<usize> = (0..words.len()).filter(|&i| words[i].text.to_lowercase() == wanted).collect();
    let occurrences = places.len();
    let nth = nth.unwrap_or(occurrences);
    let missing = || match occurrences {
        0 => format!("--from: the word {word:?} is not in the text; {}", list(words)),
        _ => format!("--nth {nth}: the word {word:?} occurs {occurrences} times"),
    };
    let index = nth.checked_sub(1).and_then(|i| places.get(i)).ok_or_else(|| Failure::failed(missing()))?;
    Ok(Focus { index: *index, nth, occurrences })
}

/// The words for a message, if they are few.
fn list(words: &[Word]) -> String {
    if words.len() > LONG {
        return format!("the model sees {} words of it", words.len());
    }
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    format!("its words are: {}", texts.join(", "))
}

fn infos(words: &[Word], unknown: Option<u32>) -> Vec<WordInfo> {
    let info = |(index, word): (usize, &Word)| WordInfo {
        word: word.text.clone(),
        index,
        tokens: word.tokens.clone(),
        pieces: word.pieces.clone(),
        known: !word.ids.iter().any(|id| Some(*id) == unknown),
    };
    words.iter().enumerate().map(info).collect()
}
