//! The texts that the command line reads, however the bytes come in, against the lines of all bytes at once.

use std::io::{self, ErrorKind, Read};

use arbitrary::{Result, Unstructured};

use crate::draw::{list, option, rarely};
use crate::error::Failure;
use crate::input::{Lines, Source, Text, read_whole};

/// As `input.rs` has it.
const MAX_LINE: usize = 1 << 20;
const MAX_CHUNK: usize = 256;

pub fn run(data: &[u8]) {
    let Ok(stream) = Stream::draw(&mut Unstructured::new(data)) else { return };
    stream.check_lines();
    stream.check_whole();
}

/// Bytes that come in pieces of some lengths, with interruptions between them, and perhaps a failure at the end.
#[derive(Clone, Debug)]
struct Stream {
    bytes: Vec<u8>,
    at: usize,
    pieces: Vec<u16>,
    piece: usize,
    fails: bool,
}

impl Stream {
    fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let pieces = list(u, 4, |u| u.arbitrary())?;
        let (fails, long) = (rarely(u, 8)?, rarely(u, 64)?);
        // Where what is repeated is inserted, so that some lines are about as long as they may be.
        let repeated = option(u, |u| Ok((u.arbitrary::<u16>()?, u.arbitrary::<u8>()?, u.arbitrary::<i8>()?)))?;
        let mut bytes = u.bytes(u.len())?.to_vec();
        if let Some((at, byte, about)) = repeated {
            let count =
                if long { MAX_LINE.wrapping_add_signed(about.into()) } else { usize::from(about.unsigned_abs()) };
            let at = usize::from(at).min(bytes.len());
            bytes.splice(at..at, std::iter::repeat_n(byte, count));
        }
        Ok(Self { bytes, at: 0, pieces, piece: 0, fails })
    }

    /// The texts, and the place that an error names.
    fn expected(&self) -> (Vec<String>, Option<String>) {
        let mut texts = Vec::new();
        let lines: Vec<&[u8]> = self.bytes.split_inclusive(|&byte| byte == b'\n').collect();
        for (i, line) in lines.iter().enumerate() {
            let wrong = Some(format!("line {} of texts", i + 1));
            // The failure comes instead of what would end the last line.
            if self.fails && i + 1 == lines.len() && !line.ends_with(b"\n") && line.len() < MAX_LINE + 2 {
                break;
            }
            let line = match line.strip_suffix(b"\n") {
                Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
                None => line,
            };
            let line = if line.len() > MAX_LINE { None } else { std::str::from_utf8(line).ok() };
            let Some(line) = line else { return (texts, wrong) };
            let marked = (i == 0).then(|| line.strip_prefix('\u{feff}')).flatten();
            texts.push(marked.unwrap_or(line).to_owned());
        }
        (texts, self.fails.then(|| "cannot read texts: ".to_owned()))
    }

    fn check_lines(&self) {
        let (expected, wrong) = self.expected();
        let mut source = Source::Lines(Lines::new(Box::new(self.clone()), "texts".to_owned(), None));
        let mut chunk = vec![Text { number: 0, text: "from before".to_owned() }];
        let mut numbered = expected.iter().zip(1..);
        loop {
            let result = source.next_chunk(&mut chunk);
            assert!(chunk.len() <= MAX_CHUNK);
            for text in &chunk {
                assert_eq!(Some((&text.text, text.number)), numbered.next(), "{:?}", self.pieces);
            }
            match (result, &wrong) {
                (Ok(()), _) if !chunk.is_empty() => {}
                (Ok(()), None) => break,
                (Err(Failure::Failed(message)), Some(place)) => {
                    assert!(message.contains(place.as_str()), "{message} does not name {place}");
                    break;
                }
                (result, wrong) => panic!("{result:?}, where {wrong:?} was to be reported"),
            }
        }
        assert_eq!(numbered.next(), None, "a text is lost");
        assert_eq!(source.bytes().1, None);
    }

    fn check_whole(&self) {
        let text = String::from_utf8(self.bytes.clone()).ok().filter(|_| !self.fails);
        let text = text.map(|text| text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned));
        assert_eq!(read_whole(self.clone(), "texts").ok(), text);
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() && self.fails {
            return Err(io::Error::other("the disk is gone"));
        }
        let piece = self.pieces.get(self.piece % self.pieces.len().max(1)).copied();
        self.piece += 1;
        let most = match piece {
            Some(0) if self.piece % 2 == 1 => return Err(ErrorKind::Interrupted.into()),
            // One byte at a time would take as many turns as there are bytes.
            Some(piece) if self.bytes.len() < 1 << 16 => usize::from(piece).max(1),
            _ => usize::MAX,
        };
        let count = rest.len().min(out.len()).min(most);
        out[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}
