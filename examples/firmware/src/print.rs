//! Text without `core::fmt`, which is larger than attention.

use crate::board;

/// Text of a line that is not printed yet.
pub struct Line {
    text: [u8; 120],
    len: usize,
}

/// Prints a line.
pub fn line(text: &str) {
    Line::new().text(text).end();
}

impl Line {
    #[expect(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { text: [0; 120], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        // The last byte stays zero.
        if let Some([place, _, ..]) = self.text.get_mut(self.len..) {
            *place = byte;
            self.len += 1;
        }
    }

    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        text.bytes().for_each(|byte| self.push(byte));
        self
    }

    /// A whole number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        let mut power = 1_u64;
        while number / 10 >= power {
            power *= 10;
        }
        while power > 0 {
            // What is left of a number below ten powers is one digit.
            self.push(b'0' + (number / power % 10) as u8);
            power /= 10;
        }
        self
    }

    /// A number of that many decimals.
    #[must_use]
    pub fn decimal(self, number: f32, decimals: u32) -> Self {
        let sign = if number < 0.0 { "-" } else { "" };
        let power = 10_u32.pow(decimals);
        let scaled = (number.abs() * power as f32 + 0.5) as u32;
        let (whole, mut fraction) = (scaled / power, scaled % power);
        let mut line = self.text(sign).number(u64::from(whole)).text(".");
        let mut power = power;
        while power > 1 {
            power /= 10;
            line.push(b'0' + (fraction / power) as u8);
            fraction %= power;
        }
        line
    }

    pub fn end(mut self) {
        self.push(b'\n');
        board::write(&self.text);
    }
}
