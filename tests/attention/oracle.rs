//! The naive attention that the library is held against, itself held against numbers worked out by hand and against identities.

use crate::common::attend::bound::Arithmetic;
use crate::common::attend::broadcast::{Broadcast, Layout};
use crate::common::attend::draw::{Draw, Sight, Terms, draws, rows};
use crate::common::attend::form::{Form, Place, Rows, Span};
use crate::common::attend::oracle::{Inputs, Outcome};
use crate::common::cases;
use crate::common::oracle::Mat;
use proptest::prelude::*;
use selfattn::Dtype;

/// Which keys the queries of head 0 see: a line for each query, of each sequence.
fn sight(form: &Form, n_q: usize, n_k: usize) -> Vec<String> {
    let spans = form.spans(n_q, n_k);
    let line = |span: &Span, query| -> String {
        let seen = (0..span.keys.len()).map(|j| form.sees(span, Place { head: 0, query }, j));
        seen.map(|seen| if seen { 'x' } else { '.' }).collect()
    };
    spans.iter().flat_map(|span| (0..span.queries.len()).map(|query| line(span, query))).collect()
}

#[test]
fn queries_see_what_the_definition_says() {
    let form = Form::new(1, 1);
    let causal = Form { causal: true, ..form.clone() };
    assert_eq!(sight(&form, 2, 3), ["xxx", "xxx"]);
    assert_eq!(sight(&causal, 3, 3), ["x..", "xx.", "xxx"]);
    assert_eq!(sight(&causal, 2, 4), ["xxx.", "xxxx"], "the last query stands at the last key");
    assert_eq!(sight(&causal, 4, 2), ["..", "..", "x.", "xx"]);
    let offset = |offset| Form { query_offset: Some(offset), ..causal.clone() };
    assert_eq!(sight(&offset(1), 2, 4), ["xx..", "xxx."]);
    assert_eq!(sight(&offset(usize::MAX), 2, 4), ["xxxx", "xxxx"]);
    let window = |left, right, causal| Form { window: [left, right], causal, ..form.clone() };
    assert_eq!(sight(&window(Some(1), Some(0), false), 4, 4), ["x...", "xx..", ".xx.", "..xx"]);
    assert_eq!(sight(&window(Some(1), None, true), 4, 4), ["x...", "xx..", ".xx.", "..xx"]);
    assert_eq!(sight(&window(Some(0), Some(1), false), 3, 4), [".xx.", "..xx", "...x"]);
    assert_eq!(sight(&window(None, Some(1), false), 3, 3), ["xx.", "xxx", "xxx"]);
    assert_eq!(sight(&window(Some(usize::MAX), Some(usize::MAX), false), 1, 3), ["xxx"]);
    let far = Form { query_offset: Some(usize::MAX), ..window(Some(2), None, false) };
    assert_eq!(sight(&far, 2, 3), ["...", "..."]);
    let mask = Broadcast { data: vec![true, false, false, true], strides: [0, 0, 2, 1] };
    assert_eq!(sight(&Form { mask: Some(mask), ..form.clone() }, 2, 2), ["x.", ".x"]);

    let rows = |rows| Form { rows, ..causal.clone() };
    assert_eq!(sight(&rows(Rows::Packed(vec![2, 0, 1])), 3, 3), ["x.", "xx", "x"]);
    assert_eq!(sight(&rows(Rows::Padded(vec![1, 2])), 4, 6), [".", "x", "x.", "xx"]);
    assert_eq!(sight(&rows(Rows::Offsets { queries: vec![0, 1, 3], keys: vec![0, 3, 4] }), 3, 4), ["xxx", ".", "x"]);
}

#[track_caller]
fn assert_near(got: f64, expected: f64) {
    assert!(got == expected || (got - expected).abs() < 1e-14, "{got:e}, not {expected:e}");
}

/// One query of 1 and two keys of 1 and 3, whose values are 0 and 1: the result is the second key's weight.
fn two_keys(form: &Form) -> Outcome {
    let column = |x: &[f64]| Mat { rows: x.len(), cols: 1, data: x.to_vec() };
    form.exact(&Inputs { q: column(&[1.0]), k: column(&[1.0, 3.0]), v: column(&[0.0, 1.0]) })
}

#[test]
fn each_option_gives_the_number_worked_out_by_hand() {
    let form = Form::new(1, 1);
    // Logits a and b, and the exponential of one more.
    let check = |form: &Form, a: f64, b: f64, sink: f64| {
        let (outcome, sum) = (two_keys(form), a.exp() + b.exp() + sink);
        assert_near(outcome.out[(0, 0)], b.exp() / sum);
        assert_near(outcome.lse[(0, 0)], sum.ln());
    };
    check(&form, 1.0, 3.0, 0.0);
    check(&Form { scale: 0.5, ..form.clone() }, 0.5, 1.5, 0.0);
    check(&Form { softcap: Some(2.0), ..form.clone() }, 2.0 * 0.5_f64.tanh(), 2.0 * 1.5_f64.tanh(), 0.0);
    check(&Form { scale: 2.0, softcap: Some(4.0), ..form.clone() }, 4.0 * 0.5_f64.tanh(), 4.0 * 1.5_f64.tanh(), 0.0);
    // The query stands at the last key.
    check(&Form { alibi: Some(vec![0.25]), ..form.clone() }, 0.75, 3.0, 0.0);
    check(&Form { alibi: Some(vec![0.25]), query_offset: Some(4), ..form.clone() }, 0.0, 2.25, 0.0);
    check(&Form { alibi: Some(vec![0.25]), query_offset: Some(0), ..form.clone() }, 1.0, 2.75, 0.0);
    check(&Form { sinks: Some(vec![2.0]), ..form.clone() }, 1.0, 3.0, 2.0_f64.exp());
    let bias = Some(Broadcast { data: vec![0.5, -1.0], strides: [0, 0, 0, 1] });
    check(&Form { bias: bias.clone(), ..form.clone() }, 1.5, 2.0, 0.0);
    // A softcap applies to the product alone.
    check(
        &Form { bias, softcap: Some(2.0), ..form.clone() },
        2.0 * 0.5_f64.tanh() + 0.5,
        2.0 * 1.5_f64.tanh() - 1.0,
        0.0,
    );
    let hide = |data| Form { bias: Some(Broadcast { data, strides: [0, 0, 0, 1] }), ..form.clone() };
    check(&hide(vec![f32::NEG_INFINITY, 0.0]), f64::NEG_INFINITY, 3.0, 0.0);
    let none = two_keys(&hide(vec![f32::NEG_INFINITY; 2]));
    assert_eq!((none.out[(0, 0)], none.lse[(0, 0)]), (0.0, f64::NEG_INFINITY));
    for bad in [f32::NAN, f32::INFINITY] {
        let none = two_keys(&hide(vec![bad, 0.0]));
        assert!(none.out[(0, 0)].is_nan() && none.lse[(0, 0)].is_nan());
    }
}

/// Query heads 0 and 1 read key and value head 0, 2 and 3 read head 1; the result has the columns of the query heads.
#[test]
fn grouped_heads_are_heads_whose_keys_and_values_are_repeated() {
    let mut draw = Draw { kv_heads: 2, group: 2, value_dim: 3, ..Draw::plain(2, 5, 7) };
    draw.terms = Terms { alibi: true, sinks: true, bias: true, softcap: Some(2.0) };
    let grouped = draw.problem(Rows::One, [6, 8]);
    let x = grouped.inputs();
    let repeat = |mat: &Mat, dim: usize| Mat::new(mat.rows, 4 * dim, |i, c| mat[(i, c / dim / 2 * dim + c % dim)]);
    let repeated = Inputs { q: x.q.clone(), k: repeat(&x.k, 5), v: repeat(&x.v, 3) };
    let all = Form { kv_heads: 4, ..grouped.form.clone() }.exact(&repeated);
    let grouped = grouped.form.exact(&x);
    assert_eq!((all.out, all.lse), (grouped.out, grouped.lse));
}

/// A sink is a key whose value is 0.
#[test]
fn a_sink_is_a_key_without_a_value() {
    let column = |x: &[f64]| Mat { rows: x.len(), cols: 1, data: x.to_vec() };
    let sink = two_keys(&Form { sinks: Some(vec![0.5]), ..Form::new(1, 1) });
    let x = Inputs { q: column(&[1.0]), k: column(&[1.0, 3.0, 0.5]), v: column(&[0.0, 1.0, 0.0]) };
    let key = Form::new(1, 1).exact(&x);
    assert_near(sink.out[(0, 0)], key.out[(0, 0)]);
    assert_near(sink.lse[(0, 0)], key.lse[(0, 0)]);
}

/// Each sequence is what it is alone, with its own part of a bias and a mask.
#[test]
fn sequences_are_independent() {
    let mut draw = Draw { sight: Sight { causal: true, ..Sight::default() }, ..Draw::plain(2, 4, 3) };
    draw.terms.alibi = true;
    let rows = Rows::Offsets { queries: vec![0, 3, 3, 5], keys: vec![0, 2, 6, 12] };
    let mut problem = draw.problem(rows, [5, 12]);
    let sizes = [3, 2, 3, 6];
    let of = |[s, h, i, j]: [usize; 4]| (s * 1000 + h * 100 + i * 10 + j) as f32 * 0.001;
    problem.form.bias = Some(Broadcast::new(sizes, Layout { order: 17, gap: 2, ..Layout::FULL }, f32::NAN, of));
    let (all, x) = (problem.form.exact(&problem.inputs()), problem.inputs());
    for span in problem.form.spans(5, 12) {
        let bias = Broadcast::new([1, 2, 3, 6], Layout::FULL, f32::NAN, |[_, h, i, j]| of([span.sequence, h, i, j]));
        let form = Form { rows: Rows::One, bias: Some(bias), ..problem.form.clone() };
        let keys = |mat: &Mat| mat.rows(span.keys.start, span.keys.len());
        let queries = |mat: &Mat| mat.rows(span.queries.start, span.queries.len());
        let alone = form.exact(&Inputs { q: queries(&x.q), k: keys(&x.k), v: keys(&x.v) });
        assert_eq!((alone.out, alone.lse), (queries(&all.out), queries(&all.lse)));
    }
}

/// The elements of a broadcast option are found again at its strides, whatever the order of the axes, and none beside them.
#[test]
fn layouts_hold_every_element_once() {
    for order in 0..24 {
        for kept in 0..16_usize {
            let kept = [0, 1, 2, 3].map(|axis| kept >> axis & 1 == 1);
            let sizes = [2, 3, 4, 5];
            let number = |[s, h, i, j]: [usize; 4]| 1 + s + 2 * (h + 3 * (i + 4 * j));
            let layout = Layout { kept, order, gap: order % 3 };
            let broadcast = Broadcast::new(sizes, layout, 0, number);
            let count: usize = (0..4).map(|axis| if kept[axis] { sizes[axis] } else { 1 }).product();
            assert_eq!(broadcast.data.iter().filter(|&&x| x > 0).count(), count);
            for n in 0..120 {
                let at = [n / 60, n / 20 % 3, n / 5 % 4, n % 5];
                let shared = [0, 1, 2, 3].map(|axis| if kept[axis] { at[axis] } else { 0 });
                assert_eq!(broadcast.at(at[0], Place { head: at[1], query: at[2] }, at[3]), number(shared));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// What an independent algorithm with the same roundings gives is within the bounds.
    #[test]
    fn the_plain_algorithm_is_within_the_bounds(draw in draws(40), (rows, size) in rows(40, 200)) {
        let mut draw = draw;
        for arithmetic in [Arithmetic::Widened, Arithmetic::Pairs] {
            if arithmetic == Arithmetic::Pairs {
                draw.types = [Dtype::Bf16; 3];
            }
            let problem = draw.problem(rows.clone(), size);
            let Outcome { out, lse } = problem.plain(arithmetic);
            problem.truth(arithmetic).check(&format!("{arithmetic:?} {problem:?}"), &out, &lse);
        }
    }
}

/// The bounds are narrow enough to tell the result from that without any one of the keys.
#[test]
fn the_bounds_tell_that_a_key_is_missing() {
    for (arithmetic, n_k) in [(Arithmetic::Widened, 300), (Arithmetic::Pairs, 40)] {
        let draw = Draw { types: [Dtype::Bf16; 3], scale: Some(0.1), ..Draw::plain(1, 16, 11) };
        let whole = draw.problem(Rows::One, [6, n_k]);
        let truth = whole.truth(arithmetic);
        for missing in 0..n_k {
            let mask = Broadcast::new([1, 1, 1, n_k], Layout::FULL, true, |[_, _, _, j]| j != missing);
            let mask = Broadcast { strides: [0, 0, 0, 1], ..mask };
            let without = Form { mask: Some(mask), ..whole.form.clone() }.exact(&arithmetic.operands(&whole.inputs()));
            let is_within = |got: &Mat, expected: &Mat, bound: &Mat| {
                (0..got.data.len()).all(|at| (got.data[at] - expected.data[at]).abs() <= bound.data[at])
            };
            assert!(!is_within(&without.out, &truth.expected.out, &truth.bounds.out), "{arithmetic:?} {missing}");
            assert!(!is_within(&without.lse, &truth.expected.lse, &truth.bounds.lse), "{arithmetic:?} {missing}");
        }
    }
}
