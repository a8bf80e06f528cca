//! Attention against the naive f64 one: every level, random shapes, masks and sequences.

mod common;

use common::attend::{Problem, Rows};
use common::data::{Rng, Values, dimension};
use common::memory::Strided;
use common::oracle::{Heads, Mat};
use common::{bound, cases, every_level};
use proptest::prelude::*;
use selfattn::Attention;

/// The options that a problem is drawn with; operands follow from the seed.
#[derive(Clone, Copy, Debug)]
struct Draw {
    heads: usize,
    head_dim: usize,
    value_dim: usize,
    scale: f32,
    causal: bool,
    gap: usize,
    values: Values,
    seed: u64,
}

fn draws() -> impl Strategy<Value = Draw> {
    let dims = (1_usize..4, dimension(70).prop_map(|d| d.max(1)), dimension(70).prop_map(|d| d.max(1)));
    let scale = prop_oneof![Just(None), (0.05_f32..2.0).prop_map(Some)];
    (dims, scale, any::<bool>(), 0_usize..3, Values::any(), any::<u64>()).prop_map(
        |((heads, head_dim, value_dim), scale, causal, gap, values, seed)| {
            let scale = scale.unwrap_or(1.0 / (head_dim as f32).sqrt());
            Draw { heads, head_dim, value_dim, scale, causal, gap, values, seed }
        },
    )
}

impl Draw {
    fn problem(self, n_q: usize, n_k: usize, rows: Rows) -> Problem {
        let Self { heads, head_dim, value_dim, scale, causal, gap, values, seed } = self;
        let mut rng = Rng::new(seed);
        let offset = rng.below(17);
        let mut random = |rows, dim, gap, spread: f32| {
            Strided::new(rows, heads * dim, gap, offset, |_, _| values.sample(&mut rng) * spread)
        };
        // Three times the unit: some keys then outweigh the others.
        let q = random(n_q, head_dim, gap, 3.0);
        let (k, v) = (random(n_k, head_dim, 2 * gap, 1.0), random(n_k, value_dim, 5 * gap, 1.0));
        Problem { heads, head_dim, value_dim, scale, causal, rows, q, k, v }
    }
}

/// What lies in the padding: values that would show if they had any influence.
fn spoil(k: &mut Strided, v: &mut Strided, row: usize, rng: &mut Rng) {
    for x in [k, v] {
        for j in 0..x.cols {
            x.set(row, j, [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30][rng.below(4)]);
        }
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn one_sequence_is_within_the_bound(draw in draws(), n_q in dimension(60), n_k in dimension(300)) {
        draw.problem(n_q, n_k, Rows::One).check();
    }

    #[test]
    fn packed_sequences_are_within_the_bound(
        draw in draws(), lengths in proptest::collection::vec(dimension(60), 0..6),
    ) {
        let rows = lengths.iter().sum();
        draw.problem(rows, rows, Rows::Packed(lengths)).check();
    }

    #[test]
    fn padded_sequences_are_within_the_bound(
        draw in draws(), n_q in 0_usize..20, n_k in 0_usize..40, picks in proptest::collection::vec(0_usize..1000, 1..5),
    ) {
        let key_lengths: Vec<usize> = picks.iter().map(|pick| pick % (n_k + 1)).collect();
        let count = key_lengths.len();
        let mut problem = draw.problem(count * n_q, count * n_k, Rows::Padded(key_lengths.clone()));
        let mut rng = Rng::new(draw.seed);
        for (block, len) in key_lengths.iter().enumerate() {
            (*len..n_k).for_each(|j| spoil(&mut problem.k, &mut problem.v, block * n_k + j, &mut rng));
        }
        problem.check();
    }

    /// A sequence has the same bits alone, among others, and padded.
    #[test]
    fn a_sequence_alone_has_the_bits_it_has_among_others(
        draw in draws(), lengths in proptest::collection::vec(1_usize..70, 1..5),
    ) {
        let rows: usize = lengths.iter().sum();
        let all = draw.problem(rows, rows, Rows::Packed(lengths.clone()));
        let part = |x: &Strided, start, len| {
            let view = x.view();
            Strided::dense(len, x.cols, |i, j| view.row(start + i)[j])
        };
        every_level(|engine| {
            let together = all.run(engine);
            let mut start = 0;
            for &len in &lengths {
                let [q, k, v] = [&all.q, &all.k, &all.v].map(|x| part(x, start, len));
                let mut alone = Problem { rows: Rows::One, q, k, v, ..all.clone() };
                let bits: Vec<u32> = (start..start + len).flat_map(|i| together.row_bits(i)).collect();
                assert_eq!(alone.run(engine).bits(), bits, "{} rows {start}.. of {lengths:?}", engine.level());
                // Some rows of padding behind the keys.
                [alone.k, alone.v] = [&alone.k, &alone.v].map(|x| {
                    Strided::dense(len + 9, x.cols, |i, j| if i < len { x.view().row(i)[j] } else { f32::NAN })
                });
                alone.rows = Rows::Padded(vec![len]);
                assert_eq!(alone.run(engine).bits(), bits, "{} padded, rows {start}..", engine.level());
                start += len;
            }
        });
    }

    #[test]
    fn the_weights_of_a_query_are_within_the_bound(
        head_dim in 1_usize..80, n_k in dimension(300), gap in 0_usize..3, scale in 0.05_f32..2.0, seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let q = Strided::dense(1, head_dim, |_, _| 3.0 * rng.unit());
        let k = Strided::new(n_k, head_dim, gap, 1, |_, _| rng.unit());
        let heads = Heads { heads: 1, head_dim, value_dim: 1, scale: scale.into(), causal: false };
        let expected = common::oracle::softmax(&heads.logits(&q.mat(), &k.mat(), 0, 0));
        let bounds = bound::attention_row(&heads, &q.mat(), &k.mat());
        let row = |x: Vec<f64>| Mat { rows: 1, cols: n_k, data: x };
        let (expected, bounds) = (row(expected), row(bounds));
        let options = Attention::new(1, head_dim).scale(scale);
        every_level(|engine| {
            let mut out = Strided::unwritten(1, n_k, 0, 1);
            engine.attention_weights(&options, q.view().row(0), k.view(), out.view_mut().row_mut(0)).unwrap();
            bound::assert_within(&format!("{} {n_k} x {head_dim}", engine.level()), &out.mat(), &expected, &bounds);
            out.assert_guards();
        });
    }
}

/// All sizes around a block of queries and around a block of keys, causal and not.
#[test]
fn every_tail_of_queries_and_keys() {
    let lanes = selfattn::Level::detect().lanes();
    let draw =
        Draw { heads: 1, head_dim: 5, value_dim: 3, scale: 1.0, causal: true, gap: 1, values: Values::Unit, seed: 1 };
    for n in 0..=4 * lanes + 1 {
        for causal in [false, true] {
            let draw = Draw { causal, seed: n as u64, ..draw };
            for (n_q, n_k) in [(n, n), (n, 7), (7, n), (n, 133), (2, 2 * n + 100)] {
                draw.problem(n_q, n_k, Rows::One).check();
            }
        }
    }
}

/// Every width of a head, of keys and of values, around the widths of registers and tiles.
#[test]
fn every_tail_of_dimensions() {
    let lanes = selfattn::Level::detect().lanes();
    for dim in 1..=4 * lanes + 1 {
        let other = 4 * lanes + 2 - dim;
        let draw = Draw {
            heads: 2,
            head_dim: dim,
            value_dim: other,
            scale: 0.5,
            causal: dim % 2 == 0,
            gap: dim % 3,
            values: Values::Unit,
            seed: dim as u64,
        };
        draw.problem(19, 21, Rows::One).check();
    }
}

#[test]
fn the_default_scale_is_one_over_the_root_of_the_dimension() {
    for dim in [1, 2, 24] {
        let mut rng = Rng::new(2);
        let x = Strided::dense(9, dim, |_, _| 2.0 * rng.unit());
        let problem = Problem::of(x.clone(), x.clone(), x.clone());
        every_level(|engine| {
            let options = Attention::new(1, dim);
            let mut scratch = vec![0; engine.attention_scratch(&options).unwrap()];
            let mut out = Strided::unwritten(9, dim, 0, 0);
            engine.attention(&options, x.view(), x.view(), x.view(), out.view_mut(), &mut scratch).unwrap();
            assert_eq!(out.bits(), problem.run(engine).bits(), "{} {dim}", engine.level());
        });
    }
}
