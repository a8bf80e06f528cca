//! Attention at its edges: nothing to see, one key, very many keys.

use crate::common::attend::broadcast::{Broadcast, Layout};
use crate::common::attend::draw::Draw;
use crate::common::attend::form::{Form, Rows};
use crate::common::attend::oracle::Inputs;
use crate::common::attend::{Answer, Problem, Truths, columns};
use crate::common::data::Rng;
use crate::common::every_level;
use crate::common::memory::{Bytes, Strided};
use crate::common::stored::{DTYPES, Stored};
use selfattn::{Dtype, Mask};

fn random(rows: usize, cols: usize, seed: u64) -> Strided {
    let mut rng = Rng::new(seed);
    Strided::dense(rows, cols, |_, _| 2.0 * rng.unit())
}

/// Three times the same type, as it is drawn.
fn of_type(dtype: Dtype, heads: usize, dim: usize, seed: u64) -> Draw {
    Draw { types: [dtype; 3], ..Draw::plain(heads, dim, seed) }
}

#[track_caller]
fn assert_sees_nothing(answer: &Answer, what: &str) {
    assert!(answer.out.bits().iter().all(|&bits| bits == 0), "{what}: {:?}", answer.out);
    assert!(answer.lse.mat().data.iter().all(|&x| x == f64::NEG_INFINITY), "{what}: {:?}", answer.lse);
}

#[test]
fn without_keys_the_result_is_zero() {
    for dtype in DTYPES {
        for n_q in [0, 1, 5, 100] {
            let problem = of_type(dtype, 2, 12, 1).problem(Rows::One, [n_q, 0]);
            every_level(|engine| assert_sees_nothing(&problem.run(engine), engine.level().name()));
        }
    }
}

#[test]
fn without_queries_there_is_no_result() {
    for rows in [
        Rows::One,
        Rows::Padded(vec![70]),
        Rows::Padded(vec![0, 35]),
        Rows::Offsets { queries: vec![0, 0, 0], keys: vec![0, 3, 70] },
    ] {
        let problem = Draw::plain(2, 12, 1).problem(rows, [0, 70]);
        every_level(|engine| assert!(problem.run(engine).out.bits().is_empty()));
    }
    for rows in [
        Rows::One,
        Rows::Packed(vec![]),
        Rows::Packed(vec![0, 0]),
        Rows::Padded(vec![]),
        Rows::Padded(vec![0]),
        Rows::Offsets { queries: vec![0], keys: vec![0] },
        Rows::Offsets { queries: vec![0, 0], keys: vec![0, 0] },
    ] {
        let problem = Draw::plain(2, 12, 1).problem(rows, [0, 0]);
        every_level(|engine| assert!(problem.run(engine).out.bits().is_empty()));
    }
}

/// Each way to hide every key from every query.
fn hidden() -> Vec<(&'static str, Problem)> {
    let table =
        |sizes, x| Broadcast::new(sizes, Layout { kept: [false, true, false, true], ..Layout::FULL }, 0.0, |_| x);
    let of = |size, change: &dyn Fn(&mut Form)| {
        let mut problem = Draw::plain(2, 6, 4).problem(Rows::One, size);
        change(&mut problem.form);
        problem
    };
    let mask = Broadcast { data: vec![false], strides: [0; 4] };
    vec![
        ("no keys", of([50, 0], &|_| ())),
        ("key lengths of 0", of([50, 70], &|form| form.rows = Rows::Padded(vec![0, 0]))),
        (
            "no keys of this sequence",
            of([50, 0], &|form| {
                form.rows = Rows::Offsets { queries: vec![0, 20, 50], keys: vec![0, 0, 0] };
            }),
        ),
        (
            "a window behind the keys",
            of([50, 70], &|form| (form.window, form.query_offset) = ([Some(9), None], Some(200))),
        ),
        ("a mask", of([50, 70], &|form| form.mask = Some(mask.clone()))),
        ("a bias of -inf", of([50, 70], &|form| form.bias = Some(table([1, 2, 50, 70], f32::NEG_INFINITY)))),
    ]
}

#[test]
fn queries_that_see_nothing_give_zeros_and_no_sum() {
    for (name, problem) in hidden() {
        every_level(|engine| assert_sees_nothing(&problem.run(engine), &format!("{} {name}", engine.level())));
    }
}

/// A sink of -inf is no key at all.
#[test]
fn a_sink_that_is_hidden_changes_nothing_where_nothing_is_seen() {
    for (name, mut problem) in hidden() {
        problem.form.sinks = Some(vec![f32::NEG_INFINITY; 2]);
        every_level(|engine| assert_sees_nothing(&problem.run(engine), &format!("{} {name}", engine.level())));
    }
}

/// A sink alone: nothing comes of it, and the sum is its own.
#[test]
fn a_sink_with_no_key_to_share_is_the_whole_sum() {
    for (name, mut problem) in hidden() {
        let sinks = [1.5, -300.0];
        problem.form.sinks = Some(sinks.to_vec());
        problem.check();
        every_level(|engine| {
            let answer = problem.run(engine);
            assert!(answer.out.bits().iter().all(|&bits| bits == 0), "{} {name}", engine.level());
            let near = |(x, sink): (&f32, f32)| (x - sink).abs() <= sink.abs() * 4.0 * f32::EPSILON;
            let rows = answer.lse.view();
            assert!(
                rows.iter_rows().all(|row| row.iter().zip(sinks).all(near)),
                "{} {name} {:?}",
                engine.level(),
                answer.lse
            );
        });
    }
}

/// More queries than keys: the last query sees every key, the first ones none.
#[test]
fn queries_before_the_first_key_give_zeros() {
    let mut problem = Draw::plain(1, 8, 1).problem(Rows::One, [70, 20]);
    problem.form.causal = true;
    problem.check();
    every_level(|engine| {
        let out = problem.run(engine).out;
        assert!((0..50).all(|i| out.row_bits(i).iter().all(|&bits| bits == 0)), "{}", engine.level());
        assert!((50..70).all(|i| out.view().row(i).iter().all(|&x| x != 0.0)), "{}", engine.level());
    });
}

/// Exactly, in every type: its weight is 1.
#[test]
fn one_key_gives_its_value() {
    for dtype in DTYPES {
        for dim in [1, 7, 16, 65] {
            for n_q in [1, 50] {
                let problem = of_type(dtype, 1, dim, 1).problem(Rows::One, [n_q, 1]);
                let value = problem.v.mat();
                every_level(|engine| {
                    let out = problem.run(engine).out.mat();
                    assert!((0..n_q).all(|i| out.row(i) == value.row(0)), "{} {dtype:?} {dim}", engine.level());
                });
            }
        }
    }
}

/// q = 0 and v = 1: the mean of as many ones. An accumulator of half precision fails here.
#[test]
fn uniform_attention_over_very_many_keys_is_one() {
    for dtype in DTYPES {
        for (n_q, n_k) in [(1, 65_536), (3, 4096), (3, 16_384), (3, 65_536)] {
            for sinks in [None, Some(vec![f32::NEG_INFINITY; 4])] {
                let full = |size, x| Stored::new(dtype, size, 0, 0, move |_, _| x);
                let mut rng = Rng::new(4);
                let k = Stored::new(dtype, [n_k, 2], 0, 0, |_, _| rng.unit());
                let form = Form { kv_heads: 1, sinks, ..Form::new(4, 2) };
                let problem = Problem { form, q: full([n_q, 8], 0.0), k, v: full([n_k, 2], 1.0) };
                every_level(|engine| {
                    let Answer { out, lse } = problem.run(engine);
                    let near = |x: &f64, y: f64| (x - y).abs() <= 1e-6 * y;
                    let what = format!("{} {dtype:?} {n_q} x {n_k} {out:?} {lse:?}", engine.level());
                    assert!(out.mat().data.iter().all(|x| near(x, 1.0)), "{what}");
                    assert!(lse.mat().data.iter().all(|x| near(x, (n_k as f64).ln())), "{what}");
                });
            }
        }
    }
}

/// A hundred thousand keys in the scratch of a thousand, and right.
#[test]
fn very_many_keys_need_no_more_scratch() {
    let problems = [1000, 100_000].map(many_keys);
    let truths = problems.each_ref().map(Truths::of);
    every_level(|engine| {
        let mut scratch = Bytes::new(engine.attention_scratch(&problems[0].form.options()).unwrap(), 0);
        assert!(scratch.len() < 100_000, "less than a byte a key");
        for (problem, truths) in problems.iter().zip(&truths) {
            problem.run_in(engine, &mut scratch).check(&format!("{} {problem:?}", engine.level()), truths.at(engine));
        }
    });
}

/// Most keys have a weight of about 1 / `n_k`, which the bound over so many would not miss. Those at the edges of blocks, and
/// the last ones, have some per cent each.
fn many_keys(n_k: usize) -> Problem {
    let heavy = |j: usize| j.is_multiple_of(4096) || j % 4096 == 4095 || j + 20 >= n_k;
    let (q, v) = (Strided::dense(3, 16, |i, j| if j % 8 == 0 { 1.0 } else { 0.1 * i as f32 }), random(n_k, 16, 9));
    let (plain, weight) = (random(n_k, 16, 10), (n_k as f32 / 30.0).ln());
    let k = Strided::dense(n_k, 16, |j, c| if c % 8 == 0 && heavy(j) { weight } else { 0.3 * plain.view().row(j)[c] });
    let mut problem = Problem::of(q, k, v);
    problem.form = Form { scale: 1.0, ..Form::new(2, 8) };
    problem
}

/// Where no number is between the logits of neighbours, distances still are: places far from 0, with a window around them.
#[test]
fn windows_are_exact_far_from_the_first_key() {
    let n_k = 100_000;
    for left in [0, 1, 5, 64] {
        let mut problem = columns(|_| 0.0, |_| 0.0, |j| (j % 1024) as f32, [3, n_k]);
        problem.form.window = [Some(left), Some(0)];
        problem.check();
        problem.form.query_offset = Some(70_001);
        problem.check();
    }
}

/// No key can be left out or counted twice unseen: with weights all alike, the mean of ones and zeros counts keys.
#[test]
fn every_key_counts_once() {
    for n_k in (1..200).chain([255, 256, 257, 511, 513, 1023, 1025]) {
        for at in [0, n_k / 2, n_k - 1] {
            for n_q in [1, 5] {
                let problem = columns(|_| 0.0, |_| 0.0, |j| f32::from(j == at), [n_q, n_k]);
                every_level(|engine| {
                    let out = problem.run(engine).out.mat();
                    let off = |x: &f64| (x * n_k as f64 - 1.0).abs();
                    assert!(out.data.iter().all(|x| off(x) < 1e-6), "{} {at} of {n_k}: {out:?}", engine.level());
                });
            }
        }
    }
}

/// The query that sees its own key alone gets its value: the definition's corner, for all types at once.
#[test]
fn a_window_of_one_key_gives_its_value() {
    for dtype in DTYPES {
        let mut problem = of_type(dtype, 3, 9, 2).problem(Rows::One, [77, 131]);
        problem.form.window = [Some(0), Some(0)];
        let Inputs { v, .. } = problem.inputs();
        every_level(|engine| {
            let out = problem.run(engine).out.mat();
            assert!((0..77).all(|i| out.row(i) == v.row(i + 131 - 77)), "{} {dtype:?}", engine.level());
        });
    }
}

/// Each dimension of values by itself, however blocks of keys lie to the tiles of a level: what multiplies a few keys more than there are
/// finds zeros, not the next dimension's values.
#[test]
fn a_value_that_is_no_number_stays_in_its_dimension() {
    let dim = 48;
    for (dtype, key_block) in DTYPES.iter().flat_map(|dtype| [13, 16, 26, 36, 64].map(|keys| (*dtype, keys))) {
        for n_k in [16, 100, 104] {
            let mut problem = of_type(dtype, 1, dim, 3).problem(Rows::One, [40, n_k]);
            problem.form.key_block = Some(key_block);
            let value = |_: usize, j: usize| if j.is_multiple_of(2) { f32::INFINITY } else { 1.0 };
            problem.v = Stored::new(dtype, [n_k, dim], 0, 0, value);
            every_level(|engine| {
                let out = problem.run(engine).out.mat();
                let is_right =
                    |j: usize, x: f64| if j.is_multiple_of(2) { x == f64::INFINITY } else { (x - 1.0).abs() < 1e-2 };
                let right = |i: usize| out.row(i).iter().enumerate().all(|(j, &x)| is_right(j, x));
                assert!((0..40).all(right), "{} {dtype:?}: {n_k} keys, {key_block} to a block", engine.level());
            });
        }
    }
}

/// In a mask of bytes, every bit counts.
#[test]
fn any_byte_but_zero_is_seen() {
    let problem = Draw::plain(1, 5, 8).problem(Rows::One, [20, 130]);
    let flags: Vec<bool> = (0..130).map(|j| j % 3 > 0).collect();
    let bytes: Vec<u8> = flags.iter().enumerate().map(|(j, &seen)| if seen { 1 << (j % 8) } else { 0 }).collect();
    every_level(|engine| {
        let run = |mask| {
            let (mut answer, [q, k, v]) =
                (problem.unwritten(), [&problem.q, &problem.k, &problem.v].map(Stored::matrix));
            let options = problem.form.options().mask(mask);
            engine.attention(&options, q, k, v, answer.out.view_mut(), &mut problem.scratch(engine)).unwrap();
            answer.out.bits()
        };
        let strides = [0, 0, 0, 1];
        assert_eq!(run(Mask::from_bytes(&bytes, strides)), run(Mask::new(&flags, strides)), "{}", engine.level());
    });
}
