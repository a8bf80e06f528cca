//! What the firmware encodes. A microcontroller gets token ids; the tokenizer stays on the host.

/// Tokens of the longest text: what scratch is planned for.
pub const TOKENS: usize = 16;

/// Token ids of the texts.
pub const TEXTS: [&[u32]; 2] =
    [&[2, 14, 159, 265, 358, 97, 93, 238, 46, 264, 338, 327, 95, 28, 84, 3], &[2, 271, 82, 18, 284, 59, 45, 235, 3]];
