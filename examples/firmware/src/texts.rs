//! What the firmware encodes. A microcontroller gets token ids; the tokenizer stays on the host.

/// Tokens of the longest text: what scratch is planned for.
pub const TOKENS: usize = 16;

/// Token ids of "The smart new gadget from Apple has a fast chip and a bright screen" and of "I love Apple Watch", as the
/// model's `tokenizer.json` has them.
pub const TEXTS: [&[u32]; 2] =
    [&[2, 1761, 1580, 1180, 736, 723, 83, 827, 21, 641, 342, 66, 21, 238, 1492, 3], &[2, 898, 1057, 83, 1922, 3]];
