//! FlashAttention's own gate (`test_flash_attn.py` of Dao et al.): the error is at most twice that of the plain algorithm in the
//! same precision.

use crate::common::attend::draw::{Draw, Hidden};
use crate::common::attend::form::Rows;
use crate::common::attend::oracle::Outcome;
use crate::common::attend::{Answer, Problem};
use crate::common::bound::{U, max_error};
use crate::common::every_level;
use crate::common::oracle::Mat;
use crate::common::stored::DTYPES;
use selfattn::Dtype;
use std::cell::OnceCell;

/// How far some results are from the truth together.
#[derive(Clone, Copy, Default)]
struct Errors {
    largest: f64,
    squares: f64,
    /// The largest result: its last rounding is allowed where the plain algorithm happens to be exact.
    size: f64,
}

impl Errors {
    fn add(&mut self, got: &Mat, expected: &Mat) {
        self.largest = self.largest.max(max_error(got, expected));
        let finite = got.data.iter().zip(&expected.data).filter(|(_, e)| e.is_finite());
        self.squares += finite.clone().map(|(g, e)| (g - e) * (g - e)).sum::<f64>();
        self.size = finite.fold(self.size, |max, (_, e)| e.abs().max(max));
    }

    /// The gate.
    fn pass(self, plain: Self) -> bool {
        self.largest <= 2.0 * plain.largest + 2.0 * U * self.size
    }

    /// The same for the root of the mean square, which is less a matter of luck.
    fn pass_on_average(self, plain: Self) -> bool {
        self.squares.sqrt() <= 2.0 * plain.squares.sqrt() + 2.0 * U * self.size
    }
}

impl std::fmt::Debug for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {:e}, squares {:e}", self.largest, self.squares)
    }
}

/// Of problems that are alike.
fn gate(problems: &[Problem]) {
    let expected: Vec<Outcome> = problems.iter().map(|problem| problem.form.exact(&problem.inputs())).collect();
    let errors = |run: &dyn Fn(&Problem) -> Outcome| {
        let mut errors = [Errors::default(); 2];
        for (problem, expected) in problems.iter().zip(&expected) {
            let got = run(problem);
            errors[0].add(&got.out, &expected.out);
            errors[1].add(&got.lse, &expected.lse);
        }
        errors
    };
    // The second where a level multiplies so.
    let plain = [const { OnceCell::new() }; 2];
    let plain_at = |engine| {
        let arithmetic = problems[0].arithmetic(engine);
        *plain[arithmetic as usize].get_or_init(|| errors(&|problem| problem.plain(arithmetic)))
    };
    every_level(|engine| {
        let ours = errors(&|problem| {
            let Answer { out, lse } = problem.run(engine);
            Outcome { out: out.mat(), lse: lse.mat() }
        });
        let plain = plain_at(engine);
        let [out, of_plain] = [ours[0], plain[0]];
        assert!(out.pass_on_average(of_plain), "{}: {out:?}; plain {of_plain:?}: {:?}", engine.level(), problems[0]);
        for ((ours, plain), of) in ours.into_iter().zip(plain).zip(["out", "lse"]) {
            assert!(ours.pass(plain), "{} {of}: {ours:?}; plain {plain:?}: {:?}", engine.level(), problems[0]);
        }
    });
}

/// In each type, every combination of the options that change what is computed.
#[test]
fn every_combination_of_options_passes() {
    for bits in 0..128_u64 {
        let has = |bit: u64| bits >> bit & 1 == 1;
        let mut draw = Draw { kv_heads: 1, group: 1 + bits as usize % 2, ..Draw::plain(1, 32, bits) };
        draw.types = [DTYPES[bits as usize % 3]; 3];
        draw.sight.causal = has(0);
        draw.sight.window = [has(1).then_some(60), None];
        draw.sight.mask = has(2).then_some(Hidden::Some(4));
        draw.terms.bias = has(3);
        draw.terms.alibi = has(4);
        draw.terms.sinks = has(5);
        draw.terms.softcap = has(6).then_some(5.0);
        gate(&[draw.problem(Rows::One, [70, 150])]);
    }
}

/// Sizes as in FlashAttention's test, with tails everywhere, and few queries, of which it takes some draws to tell.
#[test]
fn every_size_and_type_passes() {
    for dtype in DTYPES {
        for [n_q, n_k] in [[1_usize, 700], [3, 999], [113, 203], [128, 217], [256, 128], [65, 1030]] {
            for head_dim in [40, 64, 128] {
                let problem = |seed| {
                    let mut draw = Draw { types: [dtype; 3], ..Draw::plain(1, head_dim, seed) };
                    draw.sight.causal = head_dim == 64;
                    draw.problem(Rows::One, [n_q, n_k])
                };
                let problems: Vec<Problem> = (0..60_usize.div_ceil(n_q)).map(|seed| seed as u64).map(problem).collect();
                gate(&problems);
            }
        }
    }
}

/// Logits that differ by much, so that few keys matter, and by little, so that all do.
#[test]
fn every_spread_of_logits_passes() {
    for dtype in [Dtype::F32, Dtype::Bf16] {
        for scale in [0.0, 0.01, 0.3, 1.0, 3.0] {
            let draw = Draw { types: [dtype; 3], scale: Some(scale), ..Draw::plain(2, 24, 9) };
            gate(&[draw.problem(Rows::One, [90, 400])]);
        }
    }
}
