//! The life of a cache of keys and values, beside a list of the tokens that it should hold.

use std::collections::VecDeque;

use selfattn::{Element, Engine, Error, Inspection, KvCache, MatRef, Matrix};

use super::super::bound::assert_within;
use super::super::data::{Rng, Values};
use super::super::every_level;
use super::super::memory::Strided;
use super::super::oracle::Mat;
use super::super::stored::Stored;
use super::draw::Draw;
use super::form::Rows;
use super::weights::{shown, started};
use super::{Problem, Truths};

/// Elements of memory behind those of the cache.
const BEHIND: usize = 7;

/// What happens to a cache.
#[derive(Clone, Debug)]
pub enum Step {
    Append(usize),
    Truncate(usize),
    Clear,
    /// Compares attention over what it holds.
    Attend,
}

/// A cache, and what happens to it until attention is compared at the end.
#[derive(Clone, Debug)]
pub struct Life {
    pub draw: Draw,
    /// Queries of each attention.
    pub queries: usize,
    pub capacity: usize,
    pub is_ring: bool,
    pub steps: Vec<Step>,
}

impl Life {
    pub fn check<E: Element>(&self)
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        let Self { draw, capacity, is_ring, .. } = self;
        let mut model = Model::new(self);
        let len = KvCache::<E>::len_of(draw.kv_heads, draw.head_dim, draw.value_dim, *capacity).unwrap();
        let mut memory = memory::<E>(len);
        let mut cache = new_cache(&mut memory, draw, *capacity, *is_ring);
        for step in &self.steps {
            match *step {
                Step::Append(count) => model.append(&mut cache, count),
                Step::Truncate(len) => {
                    cache.truncate(len);
                    model.tokens.truncate(len);
                }
                Step::Clear => {
                    cache.clear();
                    model.tokens.clear();
                }
                Step::Attend => model.attend(&cache),
            }
            assert_eq!((cache.len(), cache.capacity()), (model.tokens.len(), *capacity));
            assert_eq!(cache.is_empty(), model.tokens.is_empty());
        }
        model.attend(&cache);
        assert!(memory[len..].iter().all(|x| x.to_f32().is_nan()), "written behind the memory");
    }
}

/// The keys and the values of the tokens that a cache should hold.
struct Model<'a> {
    life: &'a Life,
    tokens: VecDeque<[Vec<f32>; 2]>,
    rng: Rng,
}

impl<'a> Model<'a> {
    fn new(life: &'a Life) -> Self {
        Self { life, tokens: VecDeque::new(), rng: Rng::new(life.draw.seed) }
    }

    /// Numbers of a token's keys, and of its values.
    fn widths(&self) -> [usize; 2] {
        let Draw { kv_heads, head_dim, value_dim, .. } = self.life.draw;
        [head_dim, value_dim].map(|dim| kv_heads * dim)
    }

    /// Tokens as they are stored.
    fn random<E: Element>(&mut self, count: usize) -> [Strided; 2] {
        self.widths().map(|width| {
            let mut number = || E::from_f32(Values::Unit.sample(&mut self.rng)).to_f32();
            Strided::new(count, width, 3, 2, |_, _| number())
        })
    }

    fn append<E: Element>(&mut self, cache: &mut KvCache<'_, E>, count: usize) {
        let Life { capacity, is_ring, .. } = *self.life;
        let [k, v] = self.random::<E>(count);
        let (result, room) = (cache.append(k.view(), v.view()), capacity - self.tokens.len());
        if !is_ring && count > room {
            assert_eq!(result, Err(Error::Capacity { arg: "k", needed: count, got: room }));
            return;
        }
        assert_eq!(result, Ok(()));
        let rows = |x: &Strided| -> Vec<Vec<f32>> { x.view().iter_rows().map(<[f32]>::to_vec).collect() };
        self.tokens.extend(rows(&k).into_iter().zip(rows(&v)).map(|(k, v)| [k, v]));
        self.tokens.drain(..self.tokens.len().saturating_sub(capacity));
    }

    fn stored<E: Element>(&self, which: usize) -> Stored {
        let mat = Mat::new(self.tokens.len(), self.widths()[which], |i, j| self.tokens[i][which][j].into());
        Stored::of(E::DTYPE, &mat)
    }

    /// Attention over the cache is the plain one over its tokens.
    fn attend<E: Element>(&self, cache: &KvCache<'_, E>)
    where
        for<'m> Matrix<'m>: From<MatRef<'m, E>>,
    {
        let mut problem = self.life.draw.problem(Rows::One, [self.life.queries, self.tokens.len()]);
        problem.k = self.stored::<E>(0);
        problem.v = self.stored::<E>(1);
        let truths = Truths::of(&problem);
        every_level(|engine| {
            let (out, truth) = (cached(engine, &problem, cache), truths.at(engine));
            let what = format!("{} {:?}: {problem:?}", engine.level(), self.life);
            assert_within(&what, &out.mat(), &truth.expected.out, &truth.bounds.out);
            let lse = check_sums(engine, &problem, cache, &out);
            assert_within(&what, &lse.mat(), &truth.expected.lse, &truth.bounds.lse);
            check_weights(&what, engine, &problem, cache, &lse);
        });
    }
}

/// Memory that is no number, which the cache must not count on, and some behind it, which it must not touch.
pub fn memory<E: Element>(len: usize) -> Vec<E> {
    vec![E::from_f32(f32::NAN); len + BEHIND]
}

pub fn new_cache<'a, E: Element>(memory: &'a mut [E], draw: &Draw, capacity: usize, is_ring: bool) -> KvCache<'a, E> {
    let new = if is_ring { KvCache::ring } else { KvCache::new };
    new(memory, draw.kv_heads, draw.head_dim, draw.value_dim, capacity).unwrap()
}

/// Attention of a problem's queries over a cache.
pub fn cached<E: Element>(engine: Engine<'_>, problem: &Problem, cache: &KvCache<'_, E>) -> Strided
where
    for<'m> Matrix<'m>: From<MatRef<'m, E>>,
{
    let (mut out, mut scratch) = (problem.unwritten().out, problem.scratch(engine));
    engine.attention_cached(&problem.form.options(), problem.q.matrix(), cache, out.view_mut(), &mut scratch).unwrap();
    out.assert_guards();
    out
}

/// The logarithms of the sums; the result has the bits that it has without them.
fn check_sums<E: Element>(engine: Engine<'_>, problem: &Problem, cache: &KvCache<'_, E>, without: &Strided) -> Strided
where
    for<'m> Matrix<'m>: From<MatRef<'m, E>>,
{
    let (mut answer, mut scratch, options) = (problem.unwritten(), problem.scratch(engine), problem.form.options());
    let (out, lse) = (answer.out.view_mut(), answer.lse.view_mut());
    engine.attention_cached_lse(&options, problem.q.matrix(), cache, out, lse, &mut scratch).unwrap();
    [&answer.out, &answer.lse].into_iter().for_each(Strided::assert_guards);
    assert_eq!(answer.out.bits(), without.bits());
    answer.lse
}

/// What is seen of a cache is what is seen of its tokens.
fn check_weights<E: Element>(what: &str, engine: Engine<'_>, problem: &Problem, cache: &KvCache<'_, E>, lse: &Strided)
where
    for<'m> Matrix<'m>: From<MatRef<'m, E>>,
{
    let (options, heads) = (problem.form.options(), problem.form.heads);
    let mut scratch = vec![0; engine.inspection_scratch(&options).unwrap()];
    for given in [false, true] {
        let inspection = Inspection::cached(&options, problem.q.matrix(), cache).unwrap();
        let inspection = if given { inspection.lse(lse.view()) } else { inspection };
        let truth = problem.weights(engine, given);
        truth.check(what, &shown(engine, problem, &inspection, &mut scratch), &(0..problem.n_q()), &(0..heads));
        let mut out = started(heads, problem.n_k());
        let [expected, bounds] = truth.mass(&(0..problem.n_q()), &(0..heads), &out.mat());
        engine.attention_mass(&inspection, out.view_mut(), &mut scratch).unwrap();
        assert_within(what, &out.mat(), &expected, &bounds);
    }
}
