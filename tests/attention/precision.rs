//! FlashAttention's own gate (`test_flash_attn.py` of Dao et al.): the error is at most twice that of the plain algorithm in the
//! same precision.

use crate::common::attend::bound::Arithmetic;
use crate::common::attend::draw::{Draw, Hidden};
use crate::common::attend::form::Rows;
use crate::common::attend::oracle::Outcome;
use crate::common::attend::{Answer, Problem};
use crate::common::bound::{U, max_error};
use crate::common::every_level;
use crate::common::oracle::Mat;
use crate::common::stored::DTYPES;
use selfattn::Dtype;

/// What the last rounding alone may cost: where the plain algorithm happens to be exact, that is still allowed.
fn last_rounding(expected: &Mat) -> f64 {
    let finite = expected.data.iter().filter(|x| x.is_finite());
    2.0 * U * finite.fold(0.0, |max, x| x.abs().max(max))
}

fn gate(problem: &Problem) {
    let expected = problem.form.exact(&problem.inputs());
    let errors = |got: &Outcome| [max_error(&got.out, &expected.out), max_error(&got.lse, &expected.lse)];
    let allowed = [Arithmetic::Widened, Arithmetic::Pairs].map(|arithmetic| {
        let [out, lse] = errors(&problem.plain(arithmetic));
        [2.0 * out + last_rounding(&expected.out), 2.0 * lse + last_rounding(&expected.lse)]
    });
    every_level(|engine| {
        let Answer { out, lse } = problem.run(engine);
        let errors = errors(&Outcome { out: out.mat(), lse: lse.mat() });
        let allowed = allowed[usize::from(problem.arithmetic(engine) == Arithmetic::Pairs)];
        for ((error, allowed), of) in errors.into_iter().zip(allowed).zip(["out", "lse"]) {
            assert!(error <= allowed, "{} {of}: {error:e}, allowed {allowed:e}: {problem:?}", engine.level());
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
        gate(&draw.problem(Rows::One, [70, 150]));
    }
}

/// Sizes as in FlashAttention's test, with tails everywhere, and one query.
#[test]
fn every_size_and_type_passes() {
    for dtype in DTYPES {
        for (seed, [n_q, n_k]) in
            [[1, 700], [3, 999], [113, 203], [128, 217], [256, 128], [65, 1030]].into_iter().enumerate()
        {
            for head_dim in [40, 64, 128] {
                let mut draw = Draw { types: [dtype; 3], ..Draw::plain(1, head_dim, seed as u64) };
                draw.sight.causal = head_dim == 64;
                gate(&draw.problem(Rows::One, [n_q, n_k]));
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
            gate(&draw.problem(Rows::One, [90, 400]));
        }
    }
}
