//! Subnormal numbers count in full at every level, and the CPU's floating-point mode is the caller's afterwards.

mod common;

use common::every_level;
use selfattn::{Attention, MatMut, MatRef};

/// Rounding, masks and treatment of subnormals: MXCSR without the flags that every operation may raise.
#[cfg(target_arch = "x86_64")]
fn mode() -> u32 {
    let mut mxcsr = 0_u32;
    // SAFETY: stores the register in a number of its size.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack)) };
    mxcsr & !0x3F
}

#[cfg(not(target_arch = "x86_64"))]
fn mode() -> u32 {
    0
}

#[test]
fn subnormals_are_numbers_and_the_mode_is_left_alone() {
    // Sums of the least numbers are exact.
    let tiny = |n: usize| n as f32 * f32::from_bits(1);
    let (m, k, n) = (5, 7, 50);
    let ones = vec![1.0; m * k];
    let weights: Vec<f32> = (0..n * k).map(|i| tiny(i % 9)).collect();
    let values: Vec<f32> = (0..n).map(|i| tiny(i + 1)).collect();
    every_level(|engine| {
        let before = mode();
        let a = MatRef::new(&ones, m, k).unwrap();
        let w = MatRef::new(&weights, n, k).unwrap().into();
        let mut out = vec![f32::NAN; m * n];
        let mut scratch = vec![0; engine.matmul_scratch(m, selfattn::Dtype::F32, &w).unwrap()];
        engine
            .matmul(a, &w, &selfattn::Epilogue::default(), MatMut::new(&mut out, m, n).unwrap(), &mut scratch)
            .unwrap();
        for (i, x) in out.iter().enumerate() {
            let expected = tiny((0..k).map(|j| (i % n * k + j) % 9).sum());
            assert_eq!(x.to_bits(), expected.to_bits(), "{}: {i}", engine.level());
        }

        // One key: its value, whatever the logit.
        let attention = Attention::new(1, n);
        let row = MatRef::new(&values, 1, n).unwrap();
        let mut out = vec![f32::NAN; n];
        let mut scratch = vec![0; engine.attention_scratch(&attention).unwrap()];
        engine.attention(&attention, row, row, row, MatMut::new(&mut out, 1, n).unwrap(), &mut scratch).unwrap();
        assert_eq!(common::bits(&out), common::bits(&values), "{}", engine.level());

        let mut logits = [-87.5, 0.0, -103.0];
        engine.softmax(MatMut::new(&mut logits, 1, 3).unwrap());
        assert!(logits[0] > 0.0, "{}: {logits:?}", engine.level());
        assert_eq!(mode(), before, "{}", engine.level());
    });
}
