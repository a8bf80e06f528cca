//! The product and the attention that are measured: their sizes and their numbers, the same on the host and on the board.

/// Rows, columns and inner dimension of the product.
pub const SIDE: usize = 64;

/// Tokens, heads and dimensions of a head of the attention.
pub const TOKENS: usize = 32;
pub const HEADS: usize = 8;
pub const DIM: usize = 16;

/// `N` numbers between -1 and 1.
pub const fn numbers<const N: usize>(seed: u32) -> [f32; N] {
    let (mut all, mut state, mut i) = ([0.0; N], seed, 0);
    while i < N {
        // Numerical Recipes' linear congruence; its upper bits are the good ones.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        all[i] = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
        i += 1;
    }
    all
}

/// What is compared of a result: `SAMPLES` of its numbers, spread over it.
pub const SAMPLES: usize = 64;

pub fn samples(result: &[f32]) -> impl Iterator<Item = &f32> {
    result.iter().step_by((result.len() / SAMPLES).max(1) | 1).take(SAMPLES)
}
