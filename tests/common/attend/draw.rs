//! Problems by chance, over the product of all options.

use proptest::option::of;
use proptest::prelude::*;
use selfattn::Dtype;

use super::super::data::{Rng, Values, dimension};
use super::super::stored::{DTYPES, Stored};
use super::Problem;
use super::broadcast::{Broadcast, Layout};
use super::form::{Form, Rows};

/// What a problem is drawn with; the numbers follow from `seed`.
#[derive(Clone, Debug)]
pub struct Draw {
    pub kv_heads: usize,
    /// Query heads for each of them.
    pub group: usize,
    pub head_dim: usize,
    pub value_dim: usize,
    pub scale: Option<f32>,
    pub types: [Dtype; 3],
    pub values: Values,
    /// Elements between rows.
    pub gap: usize,
    pub sight: Sight,
    pub terms: Terms,
    pub key_block: Option<usize>,
    pub seed: u64,
}

/// What hides keys, but for the sequences.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    pub causal: bool,
    pub window: [Option<usize>; 2],
    pub query_offset: Option<usize>,
    pub mask: Option<Hidden>,
}

/// Which elements of a boolean mask hide keys.
#[derive(Clone, Copy, Debug)]
pub enum Hidden {
    /// One in that many.
    Some(usize),
    /// Rectangles, most of them larger than a block of keys.
    Blocks,
}

/// What logits are made of, but for the product.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    pub softcap: Option<f32>,
    pub bias: bool,
    pub alibi: bool,
    pub sinks: bool,
}

/// Any heads of up to that many dimensions, any options.
pub fn draws(dims: usize) -> impl Strategy<Value = Draw> {
    let dim = || dimension(dims).prop_map(|dim| dim.max(1));
    let types = prop_oneof![
        2 => Just([Dtype::F32; 3]),
        2 => Just([Dtype::F16; 3]),
        2 => Just([Dtype::Bf16; 3]),
        1 => [(); 3].map(|()| proptest::sample::select(DTYPES.to_vec())),
    ];
    let heads = (1_usize..4, 1_usize..5, dim(), dim());
    let scale = of(0.05_f32..2.0);
    let key_block = prop_oneof![5 => Just(None), 1 => dimension(1024).prop_map(|keys| Some(keys.max(1)))];
    let sizes = (heads, 0_usize..3, key_block);
    (sizes, scale, types, Values::any(), sights(), terms(), any::<u64>()).prop_map(
        |(((kv_heads, group, head_dim, value_dim), gap, key_block), scale, types, values, sight, terms, seed)| Draw {
            kv_heads,
            group,
            head_dim,
            value_dim,
            scale,
            types,
            values,
            gap,
            sight,
            terms,
            key_block,
            seed,
        },
    )
}

/// Any options, and queries and keys so many that blocks of queries take each block of keys in turn, but for small heads that are not
/// in f32; of keys half as many if they are all in f32.
pub fn draws_in_turn() -> impl Strategy<Value = (Draw, [usize; 2])> {
    (draws(40), any::<bool>(), any::<bool>(), 1_usize..130, 0_usize..50).prop_map(|(draw, apart, wide, n_q, more)| {
        let (types, n_k) = if wide { ([Dtype::F32; 3], 512) } else { (draw.types, 1024) };
        // From 65 dimensions on each block has memory of its own.
        let dims = if apart { 64 } else { 0 };
        let (head_dim, value_dim) = (dims + draw.head_dim, dims + draw.value_dim);
        // Few heads: the naive result takes as long as all else together.
        (Draw { types, head_dim, value_dim, kv_heads: 1, group: draw.group.min(2), ..draw }, [n_q, n_k + more])
    })
}

/// Queries, keys and dimensions about as many as the plain algorithm is for, most without options.
pub fn draws_of_few_keys() -> impl Strategy<Value = (Draw, [usize; 2])> {
    let size = (20_usize..150, 10_usize..270);
    (draws(70), 0_usize..8, size).prop_map(|(draw, options, (n_q, n_k))| {
        let (head_dim, value_dim) = (126 + draw.head_dim, 126 + draw.value_dim);
        // Few heads, as above.
        let [kv_heads, group] = if draw.kv_heads == 1 { [1, draw.group.min(2)] } else { [2, 1] };
        let draw = Draw { head_dim, value_dim, kv_heads, group, ..draw };
        let plain = Draw { sight: Sight::default(), terms: Terms::default(), ..draw.clone() };
        (if options == 0 { draw } else { plain }, [n_q, n_k])
    })
}

fn sights() -> impl Strategy<Value = Sight> {
    let limit = || prop_oneof![4 => dimension(150).boxed(), 1 => Just(usize::MAX).boxed()];
    let hidden = prop_oneof![(2_usize..9).prop_map(Hidden::Some), Just(Hidden::Blocks)];
    let window = [of(limit()), of(limit())];
    let offset = prop_oneof![6 => Just(None), 3 => dimension(300).prop_map(Some), 1 => Just(Some(usize::MAX >> 24))];
    (any::<bool>(), window, offset, of(hidden)).prop_map(|(causal, window, query_offset, mask)| Sight {
        causal,
        window,
        query_offset,
        mask,
    })
}

fn terms() -> impl Strategy<Value = Terms> {
    (of(0.5_f32..50.0), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(softcap, bias, alibi, sinks)| Terms {
        softcap,
        bias,
        alibi,
        sinks,
    })
}

/// One sequence of up to so many queries and keys, or several that are shorter.
pub fn rows(n_q: usize, n_k: usize) -> impl Strategy<Value = (Rows, [usize; 2])> {
    let one = (dimension(n_q), dimension(n_k)).prop_map(|(n_q, n_k)| (Rows::One, [n_q, n_k]));
    let some = move || dimension(n_q.min(n_k));
    let packed = proptest::collection::vec(some(), 0..5).prop_map(|lengths| {
        let rows = lengths.iter().sum();
        (Rows::Packed(lengths), [rows, rows])
    });
    let padded = (dimension(n_q / 2), dimension(n_k / 2), proptest::collection::vec(0_usize..1000, 1..4));
    let padded = padded.prop_map(|(n_q, n_k, picks)| {
        let size = [picks.len() * n_q, picks.len() * n_k];
        (Rows::Padded(picks.into_iter().map(|pick| pick % (n_k + 1)).collect()), size)
    });
    let offsets = proptest::collection::vec((dimension(n_q / 2), dimension(n_k / 2)), 0..4).prop_map(|lengths| {
        let sums = |of: fn(&(usize, usize)) -> usize| -> Vec<usize> {
            (0..=lengths.len()).map(|count| lengths[..count].iter().map(of).sum()).collect()
        };
        let (queries, keys) = (sums(|x| x.0), sums(|x| x.1));
        let size = [&queries, &keys].map(|x| x[x.len() - 1]);
        (Rows::Offsets { queries, keys }, size)
    });
    prop_oneof![4 => one, 1 => packed, 1 => padded, 1 => offsets]
}

/// The same, or few queries over so many keys that these are divided into parts.
pub fn rows_or_many_keys(n_q: usize, n_k: usize) -> impl Strategy<Value = (Rows, [usize; 2])> {
    let few = (1_usize..4, 1000_usize..3000).prop_map(|size| (Rows::One, size.into()));
    prop_oneof![6 => rows(n_q, n_k), 1 => few]
}

impl Draw {
    /// With no option, in f32: for tests that are about something else.
    pub fn plain(heads: usize, head_dim: usize, seed: u64) -> Self {
        Self {
            kv_heads: heads,
            group: 1,
            head_dim,
            value_dim: head_dim,
            scale: None,
            types: [Dtype::F32; 3],
            values: Values::Unit,
            gap: 0,
            sight: Sight::default(),
            terms: Terms::default(),
            key_block: None,
            seed,
        }
    }

    pub fn problem(&self, rows: Rows, [n_q, n_k]: [usize; 2]) -> Problem {
        let Self { kv_heads, group, head_dim, value_dim, types, gap, .. } = *self;
        let mut rng = Rng::new(self.seed);
        let offset = rng.below(17);
        let mut random = |dtype, size, gap, spread: f32| {
            Stored::new(dtype, size, gap, offset, |_, _| {
                let x = self.values.sample(&mut rng) * spread;
                if dtype == Dtype::F16 { x.clamp(-65504.0, 65504.0) } else { x }
            })
        };
        // Three times the unit: some keys then outweigh the others.
        let q = random(types[0], [n_q, kv_heads * group * head_dim], gap, 3.0);
        let k = random(types[1], [n_k, kv_heads * head_dim], 2 * gap, 1.0);
        let v = random(types[2], [n_k, kv_heads * value_dim], 5 * gap, 1.0);
        Problem { form: self.form(rows, [n_q, n_k], &mut rng), q, k, v }
    }

    fn form(&self, rows: Rows, [n_q, n_k]: [usize; 2], rng: &mut Rng) -> Form {
        let heads = self.kv_heads * self.group;
        let plain = Form { rows, ..Form::new(heads, self.head_dim) };
        let spans = plain.spans(n_q, n_k);
        let longest = |of: fn(&super::form::Span) -> usize| spans.iter().map(of).max().unwrap_or(0);
        let sizes = [spans.len(), heads, longest(|span| span.queries.len()), longest(|span| span.keys.len())];
        let mut per_head = |spread: f32| -> Vec<f32> { (0..heads).map(|_| spread * rng.unit()).collect() };
        let (alibi, sinks) = (per_head(0.5), per_head(4.0));
        let [of_bias, of_mask] = [(); 2].map(|()| Layout::any(rng));
        let bias = self.terms.bias.then(|| Broadcast::new(sizes, of_bias, f32::NAN, |_| 2.0 * rng.unit()));
        let mask = self.sight.mask.map(|hidden| {
            Broadcast::new(sizes, of_mask, false, |[s, h, i, j]| match hidden {
                Hidden::Some(one_in) => rng.below(one_in) > 0,
                Hidden::Blocks => (s + h + i / 9 + j / 70) % 2 == 0,
            })
        });
        Form {
            kv_heads: self.kv_heads,
            value_dim: self.value_dim,
            scale: self.scale.map_or(plain.scale, f64::from),
            softcap: self.terms.softcap,
            causal: self.sight.causal,
            window: self.sight.window,
            query_offset: self.sight.query_offset,
            bias,
            mask,
            alibi: self.terms.alibi.then_some(alibi),
            sinks: self.terms.sinks.then_some(sinks),
            key_block: self.key_block,
            ..plain
        }
    }
}
