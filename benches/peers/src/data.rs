//! What the operations compute on: numbers that a shape and a seed determine, in memory aligned to a cache line.

use std::ops::{Deref, DerefMut};

use bumpalo::Bump;
use selfattn::Element;

const ALIGN: usize = 64;

/// Elements that start at a cache line: a large `Vec` does not, and that alone can cost a contestant a tenth.
pub struct Buffer<T> {
    memory: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy> Buffer<T> {
    /// `fill(i)` at every index.
    pub fn new(len: usize, zero: T, fill: impl Fn(usize) -> T) -> Self {
        let mut memory = vec![zero; len + ALIGN];
        let start = memory.as_ptr().align_offset(ALIGN);
        memory[start..start + len].iter_mut().enumerate().for_each(|(i, x)| *x = fill(i));
        Self { memory, start, len }
    }

    /// The same elements in memory of their own.
    pub fn copied(&self) -> Self {
        Self::new(self.len, self[0], |i| self[i])
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// Zeros that start at a cache line, as long-lived as `memory`.
pub fn aligned<E: Element>(memory: &Bump, len: usize) -> &mut [E] {
    let all = memory.alloc_slice_fill_copy(len + ALIGN, E::ZERO);
    let start = all.as_ptr().align_offset(ALIGN);
    &mut all[start..][..len]
}

/// Element `i` of the sequence `seed`, uniform in [-1, 1): splitmix64 (Steele, Lea, Flood 2014) of the index, so that
/// every program computes the same without handing files around.
pub fn unit(seed: u64, i: usize) -> f32 {
    let mut z = (seed << 40).wrapping_add(i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// `len` elements of the sequence `seed`.
pub fn random<E: Element>(seed: u64, len: usize) -> Buffer<E> {
    Buffer::new(len, E::ZERO, |i| E::from_f32(unit(seed, i)))
}

/// Some `count` indices of `len`, the first and the last among them.
pub fn spread(len: usize, count: usize) -> Vec<usize> {
    let count = count.clamp(2, len.max(2));
    (0..count).map(|i| (len.saturating_sub(1)) * i / (count - 1)).collect()
}

/// Half the distance of two numbers around 1 in a type's few bits; f32 is counted with the sums.
pub fn rounding(dtype: &str) -> f64 {
    match dtype {
        "f16" => 2.0_f64.powi(-11),
        "bf16" => 2.0_f64.powi(-8),
        _ => 0.0,
    }
}
