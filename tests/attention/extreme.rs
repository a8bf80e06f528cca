//! Attention of the largest and smallest numbers: logits, biases, sinks, caps, places.

use crate::common::attend::broadcast::{Broadcast, Layout};
use crate::common::attend::draw::Draw;
use crate::common::attend::form::{Form, Rows};
use crate::common::attend::{Answer, Problem, Truths, columns};
use crate::common::every_level;
use crate::common::oracle::Mat;
use crate::common::stored::{DTYPES, Stored};

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

/// The maximum may lag behind by 2^8 when it rises so far that the factor of what came before is subnormal: a value that is
/// large enough to be seen all the same keeps its bits.
#[test]
fn a_large_value_keeps_its_bits_when_a_far_larger_logit_comes() {
    for rise in (80_u8..100).map(f32::from) {
        for n_q in [1, 60] {
            let (logits, values) = ([0.6, rise], [-9e9, 0.0]);
            let mut problem = columns(|_| 1.0, |j| logits[j], |j| values[j], [n_q, 2]);
            problem.form.key_block = Some(1);
            problem.form.sinks = Some(vec![-3.9]);
            problem.check();
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

/// The largest number in the only bias that is not 0, or as a sink: it takes all.
#[test]
fn the_largest_number_takes_all() {
    for largest in [f32::MAX, 3e38, 1e38] {
        let mut problem = Draw::plain(1, 8, 6).problem(Rows::One, [40, 150]);
        let of = |[_, _, i, j]: [usize; 4]| if j == i + 90 { largest } else { 0.0 };
        problem.form.bias = Some(Broadcast::new([1, 1, 40, 150], Layout::FULL, 0.0, of));
        let v = problem.v.mat();
        every_level(|engine| {
            let out = problem.run(engine).out.mat();
            assert!((0..40).all(|i| out.row(i) == v.row(i + 90)), "{} {largest:e}", engine.level());
        });
        (problem.form.bias, problem.form.sinks) = (None, Some(vec![largest]));
        every_level(|engine| {
            let out = problem.run(engine).out.mat();
            assert!(out.data.iter().all(|&x| x == 0.0), "{} {largest:e}", engine.level());
        });
        problem.form.sinks = Some(vec![-largest]);
        let without = Problem { form: Form { sinks: None, ..problem.form.clone() }, ..problem.clone() };
        every_level(|engine| assert_eq!(problem.run(engine).bits(), without.run(engine).bits(), "{}", engine.level()));
    }
}
