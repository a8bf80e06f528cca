//! Texts in: from the arguments, or line by line from a file or standard input, in chunks of bounded size.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use crate::error::{Failure, Result, reason};

/// Texts in a chunk at most, and bytes after which it takes no more: bounds what is held of an endless input, and is
/// some thousands of tokens, enough for all cores and for a progress bar that moves.
const CHUNK: usize = 256;
const CHUNK_BYTES: u64 = 1 << 15;
/// Bytes of a line at most. A model sees a few kilobytes of a text; this is far above, and far below any machine's
/// memory.
const MAX_LINE: usize = 1 << 20;
/// Bytes of a text read whole at most.
const MAX_WHOLE: usize = 1 << 24;
/// What is asked of the operating system at once, and how far a chunk reads ahead.
const BUFFER: usize = 1 << 18;

/// A text and where it stood, counted from 1.
#[derive(Debug)]
pub struct Text {
    pub number: u64,
    pub text: String,
}

/// Where the texts come from.
pub enum Source {
    Arguments(std::iter::Enumerate<std::vec::IntoIter<String>>),
    Lines(Lines),
}

impl Source {
    /// The given texts; or the lines of `input`; or those of standard input if neither is given.
    pub fn new(texts: Vec<String>, input: Option<&Path>) -> Result<Self> {
        match input {
            None if is_dash(&texts) || texts.is_empty() => {
                Ok(Self::Lines(Lines::open(Path::new("-"), texts.is_empty())?))
            }
            None => Ok(Self::Arguments(texts.into_iter().enumerate())),
            Some(path) => Ok(Self::Lines(Lines::open(path, false)?)),
        }
    }

    /// Replaces `chunk` by the next texts; leaves it empty at the end.
    pub fn next_chunk(&mut self, chunk: &mut Vec<Text>) -> Result<()> {
        chunk.clear();
        match self {
            Self::Arguments(texts) => {
                let texts = texts.by_ref().take(CHUNK);
                chunk.extend(texts.map(|(i, text)| Text { number: i as u64 + 1, text }));
                Ok(())
            }
            Self::Lines(lines) => lines.next_chunk(chunk),
        }
    }

    /// What a message calls the `number`-th text: "line 3 of notes.txt".
    pub fn describe(&self, number: u64) -> String {
        match self {
            Self::Arguments(_) => format!("text {number}"),
            Self::Lines(lines) => format!("line {number} of {}", lines.name),
        }
    }

    /// Bytes read so far, and how many there are if that is known.
    pub fn bytes(&self) -> (u64, Option<u64>) {
        match self {
            Self::Arguments(_) => (0, None),
            Self::Lines(lines) => (lines.bytes, lines.total),
        }
    }
}

fn is_dash(texts: &[String]) -> bool {
    texts.len() == 1 && texts[0] == "-"
}

/// The lines of a file or of standard input.
pub struct Lines {
    reader: BufReader<Box<dyn Read>>,
    name: String,
    number: u64,
    bytes: u64,
    total: Option<u64>,
}

impl Lines {
    /// Of any bytes; `total` of them, if that is known. Messages call them `name`.
    pub fn new(reader: Box<dyn Read>, name: String, total: Option<u64>) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER, reader), name, number: 0, bytes: 0, total }
    }

    fn open(path: &Path, implied: bool) -> Result<Self> {
        let (reader, name, total) = open(path, implied)?;
        Ok(Self::new(reader, name, total))
    }

    /// A chunk ends with what has been read ahead, so that lines which trickle in are answered as they come.
    fn next_chunk(&mut self, chunk: &mut Vec<Text>) -> Result<()> {
        let full = self.bytes + CHUNK_BYTES;
        let more = |lines: &Self| lines.bytes < full && lines.reader.buffer().contains(&b'\n');
        while chunk.is_empty() || (chunk.len() < CHUNK && more(self)) {
            match self.next_line()? {
                Some(text) => chunk.push(text),
                None => break,
            }
        }
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<Text>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(MAX_LINE as u64 + 2);
        let read = limited
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::failed(format!("cannot read {}: {}", self.name, reason(&error))))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        let name = format!("line {} of {}", self.number, self.name);
        strip_line_end(&mut line);
        if line.len() > MAX_LINE {
            return Err(Failure::failed(format!(
                "{name} is longer than {} MiB: give one text a line, and cut long documents into passages",
                MAX_LINE >> 20
            )));
        }
        let text = text(line, &name)?;
        Ok(Some(Text { number: self.number, text: without_mark(text, self.number) }))
    }
}

fn strip_line_end(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
}

/// Some editors open a file with a byte order mark, which is no part of the text.
fn without_mark(text: String, line: u64) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) if line == 1 => rest.to_owned(),
        _ => text,
    }
}

fn text(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::failed(format!(
            "{name} is not UTF-8 text (byte {at} does not fit): convert it first, for example with iconv"
        ))
    })
}

/// A reader, its name for messages, and its size if it has one.
fn open(path: &Path, implied: bool) -> Result<(Box<dyn Read>, String, Option<u64>)> {
    if path == Path::new("-") {
        let stdin = io::stdin();
        // Without this, a newcomer who forgets the text sees a program that hangs.
        if implied && stdin.is_terminal() {
            return Err(Failure::usage("no text: give one as an argument, a file with --in FILE, or - to type here"));
        }
        return Ok((Box::new(stdin), "standard input".to_owned(), None));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::failed(format!("cannot open {name}: {}", reason(&error))))?;
    let total = file.metadata().ok().filter(|data| data.is_file()).map(|data| data.len());
    Ok((Box::new(file), name, total))
}

/// One text: the argument, or the whole of `input`, or the whole of standard input.
pub fn whole(argument: Option<&str>, input: Option<&Path>) -> Result<String> {
    let path = match (argument, input) {
        (Some(text), _) if text != "-" => return Ok(text.to_owned()),
        (_, Some(path)) => path,
        _ => Path::new("-"),
    };
    let (reader, name, _) = open(path, argument.is_none() && input.is_none())?;
    read_whole(reader, &name)
}

/// All that a reader gives, as one text.
pub fn read_whole(reader: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_WHOLE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("cannot read {name}: {}", reason(&error))))?;
    if bytes.len() > MAX_WHOLE {
        return Err(Failure::failed(format!("{name} is longer than {} MiB: give a single text", MAX_WHOLE >> 20)));
    }
    Ok(without_mark(text(bytes, name)?, 1))
}
