//! Texts put together piece by piece. Not by `core::fmt`: a microcontroller that asks what was wrong has no need of it.

use core::fmt;

/// Digits that a `u64` has at most.
pub(crate) const DIGITS: usize = 20;

/// What takes the pieces of a text, one after the other.
pub(crate) type Say<'a> = dyn FnMut(&str) + 'a;

/// What can be said in words.
pub(crate) trait Words {
    fn say(&self, to: &mut Say<'_>);
}

/// Says one thing after the other.
macro_rules! say {
    ($to:expr, $($piece:expr),+ $(,)?) => {{
        $($crate::words::Words::say(&$piece, $to);)+
    }};
}
pub(crate) use say;

impl Words for &str {
    fn say(&self, to: &mut Say<'_>) {
        to(self);
    }
}

impl Words for u64 {
    fn say(&self, to: &mut Say<'_>) {
        to(decimal(*self, &mut [0; DIGITS]));
    }
}

impl Words for u32 {
    fn say(&self, to: &mut Say<'_>) {
        u64::from(*self).say(to);
    }
}

impl Words for usize {
    fn say(&self, to: &mut Say<'_>) {
        // No target has sizes of more than 64 bits.
        u64::try_from(*self).unwrap_or(u64::MAX).say(to);
    }
}

/// A number in digits.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; DIGITS]) -> &str {
    let mut start = DIGITS;
    for (i, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' | (number % 10) as u8;
        (number, start) = (number / 10, i);
        if number == 0 {
            break;
        }
    }
    core::str::from_utf8(digits.get(start..).unwrap_or_default()).unwrap_or_default()
}

/// `Display` by the same words.
pub(crate) fn display(words: &impl Words, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut result = Ok(());
    words.say(&mut |piece| {
        if result.is_ok() {
            result = f.write_str(piece);
        }
    });
    result
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 7, 10, 42, 1_000_000, u64::MAX] {
            assert_eq!(decimal(number, &mut [b'?'; DIGITS]), std::format!("{number}"));
        }
    }
}
