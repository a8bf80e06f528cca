//! A pull reader for JSON (RFC 8259): one event at a time, no heap, no recursion. The input is never trusted.

use core::fmt;

use super::json_str::JsonStr;

/// Containers that may be open at once; one bit of [`Reader::stack`] each. Weight headers need 3, configurations fewer
/// than 10.
const MAX_DEPTH: u32 = u64::BITS;

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Not UTF-8, not JSON, or nested too deep.
    Syntax,
    /// Valid, but another kind of value than was asked for.
    Kind,
    /// A number that the asked type cannot hold.
    Range,
}

/// The place and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset of the first byte that does not fit, or of the value that is wrong.
    pub(crate) at: usize,
    pub(crate) wrong: Wrong,
}

pub(crate) type Result<T> = core::result::Result<T, Fault>;

/// What the reader found next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// The name of a member; its value comes next.
    Key(JsonStr<'a>),
    String(JsonStr<'a>),
    /// The digits as written: a valid JSON number.
    Number(&'a str),
    Bool(bool),
    Null,
    /// The text is over, and nothing but white space followed the value.
    End,
}

/// What the grammar allows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    /// After `[`.
    ValueOrClose,
    /// After `{`.
    KeyOrClose,
    /// After a value inside a container.
    CommaOrClose,
    /// After the outermost value.
    End,
}

/// The reader. A copy of it resumes where the original stood.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where the last event starts.
    token: usize,
    /// One bit for each open container, the innermost lowest: 1 for an object, 0 for an array.
    stack: u64,
    depth: u32,
    expect: Expect,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`, which must be UTF-8.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::from_text(text)),
            Err(error) => Err(Fault { at: error.valid_up_to(), wrong: Wrong::Syntax }),
        }
    }

    pub(crate) fn from_text(text: &'a str) -> Self {
        Self { text, at: 0, token: 0, stack: 0, depth: 0, expect: Expect::Value }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Byte offset of the next unread byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Byte offset at which the last event starts.
    pub(crate) fn token(&self) -> usize {
        self.token
    }

    /// Goes on at `at`, right behind a value of the object or array that the reader is in.
    pub(crate) fn resume_at(&mut self, at: usize) {
        self.at = at;
        self.expect = Expect::CommaOrClose;
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Result<Event<'a>> {
        self.skip_space();
        self.token = self.at;
        let expect = self.expect;
        match expect {
            Expect::Value => self.value(),
            Expect::ValueOrClose if self.eat(b']') => Ok(self.close(Event::ArrayEnd)),
            Expect::ValueOrClose => self.value(),
            Expect::KeyOrClose if self.eat(b'}') => Ok(self.close(Event::ObjectEnd)),
            Expect::KeyOrClose => self.key(),
            Expect::CommaOrClose => self.comma_or_close(),
            Expect::End if self.at == self.text.len() => Ok(Event::End),
            Expect::End => self.syntax(),
        }
    }

    /// Opens an object.
    pub(crate) fn object(&mut self) -> Result<()> {
        match self.next()? {
            Event::ObjectStart => Ok(()),
            _ => self.kind(),
        }
    }

    /// Opens an array.
    pub(crate) fn array(&mut self) -> Result<()> {
        match self.next()? {
            Event::ArrayStart => Ok(()),
            _ => self.kind(),
        }
    }

    /// The name of the next member of the open object; `None` when the object is over.
    pub(crate) fn member(&mut self) -> Result<Option<JsonStr<'a>>> {
        match self.next()? {
            Event::Key(key) => Ok(Some(key)),
            Event::ObjectEnd => Ok(None),
            _ => self.kind(),
        }
    }

    /// The next item of the open array, a whole number; `None` when the array is over.
    pub(crate) fn integer_item(&mut self) -> Result<Option<usize>> {
        match self.next()? {
            Event::Number(digits) => self.parse_integer(digits).map(Some),
            Event::ArrayEnd => Ok(None),
            _ => self.kind(),
        }
    }

    pub(crate) fn string(&mut self) -> Result<JsonStr<'a>> {
        match self.next()? {
            Event::String(string) => Ok(string),
            _ => self.kind(),
        }
    }

    /// A whole number, written without sign, fraction or exponent.
    pub(crate) fn integer(&mut self) -> Result<usize> {
        match self.next()? {
            Event::Number(digits) => self.parse_integer(digits),
            _ => self.kind(),
        }
    }

    /// A number, rounded once to the nearest f32; finite.
    pub(crate) fn float(&mut self) -> Result<f32> {
        match self.next()? {
            Event::Number(digits) => match digits.parse::<f32>() {
                Ok(x) if x.is_finite() => Ok(x),
                _ => self.range(),
            },
            _ => self.kind(),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.next()? {
            Event::Bool(x) => Ok(x),
            _ => self.kind(),
        }
    }

    /// Reads one value of any kind, with all that it contains.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let depth = self.depth;
        self.next()?;
        while self.depth > depth {
            self.next()?;
        }
        Ok(())
    }

    /// Checks that nothing but white space follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.next()? {
            Event::End => Ok(()),
            _ => self.kind(),
        }
    }

    fn parse_integer(&self, digits: &str) -> Result<usize> {
        // `parse` takes a leading `+`, which the grammar has ruled out; all else it takes is a whole number.
        digits.parse().or_else(|_| self.range())
    }

    fn value(&mut self) -> Result<Event<'a>> {
        match self.peek() {
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'"') => self.scalar(|reader| reader.quoted().map(Event::String)),
            Some(b'-' | b'0'..=b'9') => self.scalar(|reader| reader.number().map(Event::Number)),
            Some(b't') => self.scalar(|reader| reader.word("true", Event::Bool(true))),
            Some(b'f') => self.scalar(|reader| reader.word("false", Event::Bool(false))),
            Some(b'n') => self.scalar(|reader| reader.word("null", Event::Null)),
            _ => self.syntax(),
        }
    }

    fn scalar(&mut self, read: impl FnOnce(&mut Self) -> Result<Event<'a>>) -> Result<Event<'a>> {
        let event = read(self)?;
        self.expect = self.after_value();
        Ok(event)
    }

    fn key(&mut self) -> Result<Event<'a>> {
        let name = self.quoted()?;
        self.skip_space();
        if !self.eat(b':') {
            return self.syntax();
        }
        self.expect = Expect::Value;
        Ok(Event::Key(name))
    }

    fn comma_or_close(&mut self) -> Result<Event<'a>> {
        let in_object = self.stack & 1 == 1;
        if self.eat(b',') {
            self.skip_space();
            self.token = self.at;
            return if in_object { self.key() } else { self.value() };
        }
        match in_object {
            true if self.eat(b'}') => Ok(self.close(Event::ObjectEnd)),
            false if self.eat(b']') => Ok(self.close(Event::ArrayEnd)),
            _ => self.syntax(),
        }
    }

    fn open(&mut self, object: bool) -> Result<Event<'a>> {
        if self.depth >= MAX_DEPTH {
            return self.syntax();
        }
        self.advance(1);
        self.stack = (self.stack << 1) | u64::from(object);
        self.depth = self.depth.saturating_add(1);
        if object {
            self.expect = Expect::KeyOrClose;
            Ok(Event::ObjectStart)
        } else {
            self.expect = Expect::ValueOrClose;
            Ok(Event::ArrayStart)
        }
    }

    fn close(&mut self, event: Event<'a>) -> Event<'a> {
        self.stack >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.expect = self.after_value();
        event
    }

    fn after_value(&self) -> Expect {
        if self.depth == 0 { Expect::End } else { Expect::CommaOrClose }
    }

    fn quoted(&mut self) -> Result<JsonStr<'a>> {
        match JsonStr::scan(self.rest()) {
            Ok(string) => {
                self.advance(string.quoted_len());
                Ok(string)
            }
            Err(offset) => {
                self.advance(offset);
                self.syntax()
            }
        }
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<()> {
        let rest = self.rest().as_bytes();
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => self.syntax(),
            n => {
                self.advance(n);
                Ok(())
            }
        }
    }

    fn word(&mut self, word: &str, event: Event<'a>) -> Result<Event<'a>> {
        if !self.rest().starts_with(word) {
            return self.syntax();
        }
        self.advance(word.len());
        Ok(event)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.advance(1);
        }
    }

    fn advance(&mut self, n: usize) {
        self.at = self.at.saturating_add(n);
    }

    fn syntax<T>(&self) -> Result<T> {
        Err(Fault { at: self.at, wrong: Wrong::Syntax })
    }

    /// The last event is not of the kind that was asked for.
    pub(crate) fn kind<T>(&self) -> Result<T> {
        Err(Fault { at: self.token, wrong: Wrong::Kind })
    }

    fn range<T>(&self) -> Result<T> {
        Err(Fault { at: self.token, wrong: Wrong::Range })
    }
}

impl fmt::Debug for Reader<'_> {
    /// The position only: the text may be megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("at", &self.at).field("expect", &self.expect).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
