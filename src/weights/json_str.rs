//! JSON strings as they stand in the file: compared and printed with their escapes resolved, never copied.

use core::cmp::Ordering;
use core::fmt::{self, Write as _};

/// A string of a JSON text, still with its escapes.
///
/// Comparisons and [`Display`](fmt::Display) see the characters that it means: `"\u0061"` equals `"a"`.
#[derive(Clone, Copy, Default)]
pub struct JsonStr<'a> {
    /// What stands between the quotes.
    raw: &'a str,
    escaped: bool,
}

impl<'a> JsonStr<'a> {
    /// The string that `text` starts with, opening quote included. The error is the offset of the first byte that fits
    /// no string.
    pub(super) fn scan(text: &'a str) -> Result<Self, usize> {
        let bytes = text.as_bytes();
        if bytes.first() != Some(&b'"') {
            return Err(0);
        }
        let mut at: usize = 1;
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let rest = text.get(at..).unwrap_or_default();
                    let (_, len) = unescape(rest).ok_or(at)?;
                    escaped = true;
                    at = at.saturating_add(len);
                }
                None | Some(0..=0x1F) => return Err(at),
                Some(_) => at = at.saturating_add(1),
            }
        }
        Ok(Self { raw: text.get(1..at).unwrap_or_default(), escaped })
    }

    /// Bytes that the string takes in the file, with its quotes.
    pub(super) fn quoted_len(&self) -> usize {
        self.raw.len().saturating_add(2)
    }

    /// The bytes between the quotes, escapes and all.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The string itself if it is written without escapes.
    pub fn as_str(&self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// The characters, escapes resolved.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'a> {
        Unescaped { rest: self.raw }
    }

    /// The string, escapes resolved, in `buffer` where that is needed; `None` if it does not fit.
    pub(super) fn resolve<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b str>
    where
        'a: 'b,
    {
        if let Some(plain) = self.as_str() {
            return Some(plain);
        }
        let mut len: usize = 0;
        for c in self.chars() {
            let room = buffer.get_mut(len..)?.get_mut(..c.len_utf8())?;
            len = len.checked_add(c.encode_utf8(room).len())?;
        }
        core::str::from_utf8(buffer.get(..len)?).ok()
    }
}

impl PartialEq<str> for JsonStr<'_> {
    fn eq(&self, other: &str) -> bool {
        match self.as_str() {
            Some(plain) => plain == other,
            None => self.chars().eq(other.chars()),
        }
    }
}

impl PartialEq<&str> for JsonStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialEq for JsonStr<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for JsonStr<'_> {}

impl Ord for JsonStr<'_> {
    /// By code points. Bytes of UTF-8 sort the same way, so plain strings need no decoding.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.as_str(), other.as_str()) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => self.chars().cmp(other.chars()),
        }
    }
}

impl PartialOrd for JsonStr<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|c| f.write_char(c))
    }
}

impl fmt::Debug for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.raw)
    }
}

struct Unescaped<'a> {
    rest: &'a str,
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        // `scan` has let valid escapes through only, so the string never ends early here.
        let (c, len) = if first == '\\' { unescape(self.rest)? } else { (first, first.len_utf8()) };
        self.rest = self.rest.get(len..)?;
        Some(c)
    }
}

/// The character that the escape at the start of `text` means, and the bytes it takes. A surrogate counts only as half
/// of a pair.
fn unescape(text: &str) -> Option<(char, usize)> {
    let c = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unicode(text),
        _ => return None,
    };
    Some((c, 2))
}

/// Bytes of an escape by code: a backslash, `u` and four hexadecimal digits.
const UNIT: usize = 6;

fn unescape_unicode(text: &str) -> Option<(char, usize)> {
    let first = code_unit(text)?;
    if let Some(c) = char::from_u32(u32::from(first)) {
        return Some((c, UNIT));
    }
    let second = code_unit(text.get(UNIT..)?)?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, UNIT.saturating_add(UNIT)))
}

fn code_unit(text: &str) -> Option<u16> {
    let digits = text.as_bytes().strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit: u16, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}
