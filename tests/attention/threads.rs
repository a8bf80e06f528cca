//! What the bits of attention do not depend on: the number of threads, how a batch is split, the state of the scratch.

use crate::common::attend::Problem;
use crate::common::attend::draw::{Draw, Sight, draws, draws_in_turn, draws_of_few_keys, rows};
use crate::common::attend::form::{Form, Rows, Span};
use crate::common::data::dimension;
use crate::common::memory::Bytes;
use crate::common::pools::every_pool;
use crate::common::stored::{DTYPES, Stored};
use crate::common::{cases, every_level};
use proptest::prelude::*;
use selfattn::Dtype;

fn assert_same_with_every_pool(problem: &Problem) {
    every_level(|engine| {
        let expected = problem.run(engine).bits();
        for (name, pool) in &every_pool() {
            let engine = engine.with_pool(&**pool);
            assert_eq!(problem.run(engine).bits(), expected, "{engine:?} {name} {problem:?}");
        }
    });
}

/// The rows of one sequence by themselves, the keys followed by `padding` that is no number.
fn alone(all: &Problem, span: &Span, padding: Option<usize>) -> Problem {
    let part = |x: &Stored, start: usize, len: usize, padding: usize| {
        let mat = x.mat();
        Stored::new(x.dtype(), [len + padding, mat.cols], 1, 2, |i, j| {
            if i < len { mat[(start + i, j)] as f32 } else { f32::NAN }
        })
    };
    let [queries, keys] = [&span.queries, &span.keys];
    let keys = |x: &Stored| part(x, keys.start, keys.len(), padding.unwrap_or(0));
    let rows = padding.map_or(Rows::One, |_| Rows::Padded(vec![span.keys.len()]));
    let form = Form { rows, ..all.form.clone() };
    let mut alone =
        Problem { form, q: part(&all.q, queries.start, queries.len(), 0), k: keys(&all.k), v: keys(&all.v) };
    alone.form.bias = alone.form.bias.map(|bias| bias.from(0, span.sequence));
    alone.form.mask = alone.form.mask.map(|mask| mask.from(0, span.sequence));
    alone
}

fn assert_same_alone_and_padded(all: &Problem, padding: usize) {
    every_level(|engine| {
        let together = all.run(engine);
        for span in all.form.spans(all.n_q(), all.n_k()) {
            let rows = span.queries.clone().map(|i| together.row_bits(i));
            let bits: [Vec<u32>; 2] = rows.fold([(); 2].map(|()| Vec::new()), |[out, lse], [more, sums]| {
                [[out, more].concat(), [lse, sums].concat()]
            });
            for padding in [None, Some(padding)] {
                let alone = alone(all, &span, padding);
                assert_eq!(alone.run(engine).bits(), bits, "{} {padding:?} {span:?} {all:?}", engine.level());
            }
        }
    });
}

/// The bits of a number, those of 0 for -0.
fn without_sign_of_zero(bits: u32) -> u32 {
    if bits == 1 << 31 { 0 } else { bits }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn threads_do_not_change_a_bit(draw in draws(70), (rows, size) in rows(150, 300)) {
        assert_same_with_every_pool(&draw.problem(rows, size));
    }

    /// Which blocks of queries take the keys in turn depends on the threads.
    #[test]
    fn threads_do_not_change_a_bit_of_blocks_in_turn((draw, size) in draws_in_turn()) {
        assert_same_with_every_pool(&draw.problem(Rows::One, size));
    }

    #[test]
    fn threads_do_not_change_a_bit_of_few_keys((draw, size) in draws_of_few_keys()) {
        assert_same_with_every_pool(&draw.problem(Rows::One, size));
    }

    /// Keys may be split among threads when there are few queries; where, must not depend on how many threads there are.
    #[test]
    fn threads_do_not_change_a_bit_of_few_queries_over_many_keys(draw in draws(130), n_q in 1_usize..4, n_k in 500_usize..5000) {
        assert_same_with_every_pool(&draw.problem(Rows::One, [n_q, n_k]));
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// A sequence has the same bits alone, among others, and padded.
    #[test]
    fn a_sequence_alone_has_the_bits_it_has_among_others(draw in draws(70), (rows, size) in rows(60, 200), padding in 0_usize..20) {
        assert_same_alone_and_padded(&draw.problem(rows, size), padding);
    }

    /// A long prompt may be computed in pieces: the numbers are the same, but for the sign of a zero. (Of fewer than 9 queries,
    /// a piece may be computed in another way; with heads of 128 dimensions or more also of fewer than 33.)
    #[test]
    fn a_run_of_queries_has_the_numbers_it_has_among_all(draw in draws(70), n_q in 9_usize..100, n_k in dimension(300), picks: [usize; 2]) {
        let mut draw = draw;
        draw.sight.query_offset = draw.sight.query_offset.or(n_k.checked_sub(n_q));
        prop_assume!(draw.sight.query_offset.is_some());
        let all = draw.problem(Rows::One, [n_q, n_k]);
        let start = picks[0] % (n_q - 8);
        let count = 9 + picks[1] % (n_q - 8 - start);
        let run = all.queries(start, count);
        every_level(|engine| {
            let (together, apart) = (all.run(engine), run.run(engine));
            let unsigned = |[out, lse]: [Vec<u32>; 2]| [out, lse].map(|row| row.into_iter().map(without_sign_of_zero).collect::<Vec<_>>());
            for i in 0..count {
                let [apart, together] = [apart.row_bits(i), together.row_bits(start + i)].map(unsigned);
                assert_eq!(apart, together, "{} query {i} from {start} of {all:?}", engine.level());
            }
        });
    }

    /// Up to half a register of queries are computed in the same way, as many of them as there are.
    #[test]
    fn few_queries_have_the_bits_of_each_alone(dim in 1_usize..130, n_k in dimension(1500), which in 0_usize..3, seed: u64) {
        every_level(|engine| {
            for n_q in 2..=engine.level().lanes() / 2 {
                let all = Draw { types: [DTYPES[which]; 3], ..Draw::plain(1, dim, seed) }.problem(Rows::One, [n_q, n_k]);
                let together = all.run(engine);
                for i in 0..n_q {
                    let alone = all.queries(i, 1).run(engine);
                    assert_eq!(alone.row_bits(0), together.row_bits(i), "{} {n_q} {i} {all:?}", engine.level());
                }
            }
        });
    }

    #[test]
    fn the_state_of_the_scratch_has_no_influence(draw in draws(70), (rows, size) in rows(150, 150)) {
        let problem = draw.problem(rows, size);
        every_level(|engine| {
            let needed = engine.attention_scratch(&problem.form.options()).unwrap();
            let mut clean = Bytes::new(needed, 0);
            clean.fill(0);
            let expected = problem.run_in(engine, &mut clean).bits();
            for misalignment in [0, 1, 2, 4, 63] {
                let mut dirty = Bytes::new(needed, misalignment);
                assert_eq!(problem.run_in(engine, &mut dirty).bits(), expected, "{} +{misalignment}", engine.level());
            }
        });
    }
}

#[test]
fn the_scratch_does_not_depend_on_queries_keys_or_heads() {
    let small = Form::new(1, 64);
    every_level(|engine| {
        let bytes = |form: &Form| engine.attention_scratch(&form.options()).unwrap();
        let many = Form { rows: Rows::Packed(vec![1 << 20; 7]), ..small.clone() };
        assert_eq!(bytes(&small), bytes(&many), "{}", engine.level());
        assert_eq!(bytes(&small), bytes(&Form { heads: 16, kv_heads: 16, ..small.clone() }), "{}", engine.level());
        // CPUs with tiles have 2 MiB of second-level cache, and their products are so fast that they wait for values in pairs unless
        // many queries share those. Where a block is narrow, keys and values are put side by side for eight of them: that is up to a tenth
        // faster than three that read them in place, which took 60 KiB.
        let most = match engine.level().name() {
            "amxbf16" => 256,
            "avx2" | "neon" | "neonbf16" | "wasm128" => 104,
            _ => 64,
        };
        assert!(bytes(&small) <= most << 10, "{} {}", engine.level(), bytes(&small));
        let fewer = Form { key_block: Some(1), ..small.clone() };
        assert!(bytes(&fewer) < bytes(&small), "{} {}", engine.level(), bytes(&fewer));
    });
}

/// A key that no one sees may be multiplied with the one beside it, by a weight of 0. Here all results are below the normal numbers: at
/// levels that flush those they are zeros, and whether such a term is added shows in their signs.
#[test]
fn threads_do_not_change_the_sign_of_a_zero() {
    for (window, query_offset) in [([Some(0), Some(0)], 1), ([Some(1), Some(2)], 2), ([None, Some(0)], 0)] {
        let sight = Sight { window, query_offset: Some(query_offset), ..Sight::default() };
        let draw = Draw { types: [Dtype::Bf16; 3], sight, ..Draw::plain(1, 66, 5) };
        for n_q in [20, 104] {
            let mut problem = draw.problem(Rows::One, [n_q, 1043]);
            problem.form.sinks = Some(vec![10.0]);
            problem.v = Stored::new(Dtype::Bf16, [1043, 66], 0, 0, |_, _| -f32::MIN_POSITIVE);
            assert_same_with_every_pool(&problem);
        }
    }
}

/// The keys of few queries are divided among the threads; those of more queries beside them, in as few blocks, are not. Where few
/// stand behind many, a thread has several parts of their keys while another widens, or has a second block where it would.
#[test]
fn threads_do_not_change_a_bit_of_more_queries_beside_few() {
    for (dtype, n_q) in DTYPES.iter().flat_map(|dtype| [3, 40, 100].map(|n_q| (*dtype, n_q))) {
        for first in [1, n_q] {
            let rows = Rows::Offsets { queries: vec![0, first, 1 + n_q], keys: vec![0, 2500, 5000] };
            let draw = Draw { types: [dtype; 3], ..Draw::plain(1, 16, 5) };
            assert_same_with_every_pool(&draw.problem(rows, [1 + n_q, 5000]));
        }
    }
}

/// Sequences of few queries, of few keys to many of them, in one block and in more, and of many keys: each is computed in its own way.
#[test]
fn sequences_of_every_way_side_by_side_have_the_bits_of_each_alone() {
    for (dtype, group) in [(Dtype::F32, 1), (Dtype::F16, 2)] {
        let rows = Rows::Offsets { queries: vec![0, 40, 43, 172, 212, 245], keys: vec![0, 40, 90, 218, 518, 535] };
        let draw = Draw { types: [dtype; 3], group, ..Draw::plain(2, 128, 7) };
        let all = draw.problem(rows, [245, 535]);
        assert_same_alone_and_padded(&all, 3);
        assert_same_with_every_pool(&all);
    }
}

/// As many parts of the keys as there can be, to the end of the scratch.
#[test]
fn threads_do_not_change_a_bit_of_keys_in_all_their_parts() {
    for dtype in DTYPES {
        let draw = Draw { types: [dtype; 3], ..Draw::plain(1, 16, 5) };
        assert_same_with_every_pool(&draw.problem(Rows::One, [1, 9000]));
    }
}
