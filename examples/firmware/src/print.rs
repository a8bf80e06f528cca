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

    /// A whole number. By subtraction: a division of 64 bits is a function of a kilobyte on most microcontrollers.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        let (mut left, mut started) = (number, false);
        for power in POWERS {
            let mut digit = b'0';
            while left >= power {
                left -= power;
                digit += 1;
            }
            started |= digit > b'0' || power == 1;
            if started {
                self.push(digit);
            }
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

/// Those of ten that fit, the largest first.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut i = powers.len() - 1;
    while i > 0 {
        powers[i - 1] = powers[i] * 10;
        i -= 1;
    }
    powers
};
