//! Attention at its edges: nothing to see, one key, extreme logits and options, very many keys.

use crate::common::attend::broadcast::{Broadcast, Layout};
use crate::common::attend::draw::Draw;
use crate::common::attend::form::{Form, Rows};
use crate::common::attend::oracle::Inputs;
use crate::common::attend::{Answer, Problem, Truths};
use crate::common::data::Rng;
use crate::common::every_level;
use crate::common::memory::{Bytes, Strided};
use crate::common::oracle::Mat;
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

/// One column of f32 each for queries, keys and values.
fn columns(
    q: impl Fn(usize) -> f32,
    k: impl Fn(usize) -> f32,
    v: impl Fn(usize) -> f32,
    [n_q, n_k]: [usize; 2],
) -> Problem {
    let column = |rows, fill: &dyn Fn(usize) -> f32| Strided::dense(rows, 1, |i, _| fill(i));
    Problem::of(column(n_q, &q), column(n_k, &k), column(n_k, &v))
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

#[test]
fn extreme_sinks_are_what_keys_of_those_logits_are() {
    for sink in [f32::NEG_INFINITY, -1e38, -1e30, -100.0, 100.0, 1e30, 1e38, f32::INFINITY, f32::NAN] {
        let mut problem = Draw::plain(2, 6, 4).problem(Rows::One, [20, 70]);
        problem.form.sinks = Some(vec![sink, 0.0]);
        problem.check();
        problem.form.sinks = Some(vec![0.0, sink]);
        problem.check();
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

#[test]
fn a_query_whose_logits_are_all_minus_infinity_sees_nothing() {
    // Even queries have a logit of -inf for every key, odd ones +inf.
    let sign = |i: usize| if i.is_multiple_of(2) { -1.0 } else { 1.0 };
    let problem = columns(sign, |_| f32::INFINITY, |j| j as f32, [40, 150]);
    problem.check();
    every_level(|engine| {
        let Answer { out, lse } = problem.run(engine);
        for i in 0..40 {
            let [out, lse] = [out.view().row(i)[0], lse.view().row(i)[0]];
            let nothing = out.to_bits() == 0 && lse == f32::NEG_INFINITY;
            assert!(if i % 2 == 0 { nothing } else { out.is_nan() && lse.is_nan() }, "{} {i}", engine.level());
        }
    });
}

/// Logits of +-1e30: the largest take all. Where several share the maximum, they share alike.
#[test]
fn huge_logits_pick_the_largest() {
    let winner = |j: usize| j % 64 == 1;
    for dtype in DTYPES {
        for (n_q, n_k) in [(1, 2), (50, 5), (50, 130), (1, 300), (50, 300)] {
            let column = |rows, cols, fill: &dyn Fn(usize, usize) -> f32| Stored::new(dtype, [rows, cols], 0, 0, fill);
            let problem = Problem {
                form: Form { value_dim: 3, scale: f64::from(1e30_f32), ..Form::new(1, 1) },
                q: column(n_q, 1, &|i, _| if i % 2 == 0 { 1.0 } else { 0.0 }),
                k: column(n_k, 1, &|j, _| if winner(j) { 1.0 } else { -1.0 }),
                v: column(n_k, 3, &|j, c| if winner(j) { 2.0 + c as f32 } else { 1e4 }),
            };
            every_level(|engine| {
                let Answer { out, lse } = problem.run(engine);
                let what = format!("{} {dtype:?} {n_q} x {n_k}", engine.level());
                for i in (0..n_q).step_by(2) {
                    assert_eq!(out.view().row(i), [2.0, 3.0, 4.0], "{what}");
                    assert!((lse.view().row(i)[0] / 1e30 - 1.0).abs() < 1e-6, "{what} {lse:?}");
                }
                assert!(out.mat().data.iter().all(|x| x.is_finite()), "{what}");
            });
        }
    }
}

/// The same by a bias, and by ALiBi.
#[test]
fn huge_terms_pick_the_largest() {
    for huge in [1e10_f32, 1e30] {
        let mut problem = Draw::plain(1, 4, 6).problem(Rows::One, [33, 90]);
        let favoured = |i: usize, j: usize| j == (i * 7 + 40) % 90;
        problem.form.bias =
            Some(Broadcast::new(
                [1, 1, 33, 90],
                Layout::FULL,
                0.0,
                |[_, _, i, j]| if favoured(i, j) { huge } else { -huge },
            ));
        let v = problem.v.mat();
        every_level(|engine| {
            let out = problem.run(engine).out.mat();
            assert!((0..33).all(|i| out.row(i) == v.row((i * 7 + 40) % 90)), "{} {huge:e}", engine.level());
        });
        problem.form.bias = None;
        problem.form.alibi = Some(vec![huge]);
        // Each query's own place has the only logit that is not as good as -inf.
        every_level(|engine| {
            let out = problem.run(engine).out.mat();
            assert!((0..33).all(|i| out.row(i) == v.row(i + 57)), "{} {huge:e}", engine.level());
        });
    }
}

/// What some libraries write where a key is masked: the least number. Elsewhere it is 0, so it works as a mask does.
#[test]
fn the_least_number_as_a_bias_masks() {
    for least in [f32::MIN, -1e38, -65504.0] {
        let mut problem = Draw::plain(2, 8, 6).problem(Rows::One, [40, 150]);
        let seen = |i: usize, j: usize| j <= i + 90;
        let sizes = [1, 2, 40, 150];
        problem.form.bias =
            Some(Broadcast::new(sizes, Layout::FULL, 0.0, |[_, _, i, j]| if seen(i, j) { 0.0 } else { least }));
        let masked = Broadcast::new(sizes, Layout::FULL, true, |[_, _, i, j]| seen(i, j));
        let truth =
            Problem { form: Form { bias: None, mask: Some(masked), ..problem.form.clone() }, ..problem.clone() };
        let truths = Truths::of(&truth);
        every_level(|engine| problem.run(engine).check(&format!("{} {least:e}", engine.level()), truths.at(engine)));
    }
}

/// Where every key has it, they are all alike, as the sum of a logit and so large a number is: their mean comes out.
#[test]
fn the_least_number_as_the_only_bias_gives_the_mean() {
    for least in [f32::MIN, -1e38, -1e10] {
        let mut problem = Draw::plain(1, 8, 6).problem(Rows::One, [40, 150]);
        problem.form.bias = Some(Broadcast { data: vec![least], strides: [0; 4] });
        let v = problem.v.mat();
        let mean = Mat::new(1, 8, |_, c| (0..150).map(|j| v[(j, c)]).sum::<f64>() / 150.0);
        every_level(|engine| {
            let out = problem.run(engine).out.mat();
            let near = |(x, mean): (&f64, &f64)| (x - mean).abs() < 1e-5;
            assert!(
                (0..40).all(|i| out.row(i).iter().zip(mean.row(0)).all(near)),
                "{} {least:e} {:?}",
                engine.level(),
                out.row(0)
            );
        });
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

/// A maximum that keeps rising, by less and by more than what is put up with before the output is rescaled.
#[test]
fn rising_logits_are_rescaled_in_time() {
    for step in [0.001, 0.02, 0.1, 0.5, 3.0, 40.0] {
        for n_q in [1, 20] {
            let q = |i: usize| (i as f32 - 10.0) * 0.1;
            columns(q, |j| j as f32 * step - 100.0, |j| (j % 17) as f32 - 8.0, [n_q, 1000]).check();
        }
    }
}

/// A capped logit is within the cap, however small that is; a cap far above all logits changes nothing.
#[test]
fn extreme_softcaps_are_within_the_bound() {
    let clean = Draw::plain(2, 8, 3).problem(Rows::One, [30, 90]);
    for cap in [f32::from_bits(1), 1e-40, f32::MIN_POSITIVE, 1e-30, 1e-3, 1e3, 1e30, f32::MAX / 2.0, f32::MAX] {
        for zero in [false, true] {
            let mut problem = clean.clone();
            problem.form.softcap = Some(cap);
            if zero {
                (0..16).for_each(|j| problem.q.set(4, j, 0.0));
            }
            problem.check();
        }
    }
}

/// Capped, an infinite product is a finite logit.
#[test]
fn a_softcap_tames_infinite_products() {
    let k = |j: usize| [f32::INFINITY, 1.0, f32::NEG_INFINITY, -1.0][j % 4];
    let mut problem = columns(|i| i as f32 - 9.5, k, |j| j as f32 * 0.1, [20, 70]);
    problem.form.softcap = Some(3.0);
    problem.check();
    every_level(|engine| {
        assert!(problem.run(engine).out.mat().data.iter().all(|x| x.is_finite()), "{}", engine.level())
    });
}

/// Places that no integer holds, and windows without end.
#[test]
fn the_largest_offsets_and_windows_do_not_overflow() {
    let huge = [usize::MAX, usize::MAX - 1, isize::MAX as usize, isize::MAX as usize + 1, usize::MAX / 2 - 3];
    for offset in huge {
        for window in [[None, None], [Some(3), Some(3)], [None, Some(usize::MAX)], [Some(usize::MAX / 4), Some(0)]] {
            for causal in [false, true] {
                let mut problem = Draw::plain(1, 8, 3).problem(Rows::One, [50, 70]);
                problem.form = Form { window, causal, query_offset: Some(offset), ..problem.form };
                problem.check();
            }
        }
    }
    for window in huge {
        for window in [[Some(window), None], [None, Some(window)], [Some(window); 2], [Some(0), Some(window)]] {
            let mut problem = Draw::plain(1, 8, 3).problem(Rows::One, [50, 70]);
            problem.form = Form { window, ..problem.form };
            problem.check();
            problem.form.query_offset = Some(11);
            problem.check();
        }
    }
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
