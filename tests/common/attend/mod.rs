//! One attention problem as the tests vary it: operands, options, and what must come out.

pub mod bound;
pub mod broadcast;
pub mod cached;
pub mod draw;
pub mod form;
pub mod oracle;
pub mod weights;

use std::cell::OnceCell;

use half::bf16;
use selfattn::{Dtype, Engine};

use self::bound::{Arithmetic, Truth};
use self::form::Form;
use self::oracle::{Inputs, Outcome};
use super::memory::{Bytes, Strided};
use super::stored::Stored;
use super::{every_level, has_pairs};

#[derive(Clone, Debug)]
pub struct Problem {
    pub form: Form,
    pub q: Stored,
    pub k: Stored,
    pub v: Stored,
}

/// What the library makes of a problem.
#[derive(Clone, Debug)]
pub struct Answer {
    pub out: Strided,
    pub lse: Strided,
}

impl Problem {
    /// One head of as many dimensions as q has columns, no option.
    pub fn of(q: Strided, k: Strided, v: Strided) -> Self {
        let form = Form { value_dim: v.cols, ..Form::new(1, q.cols) };
        Self { form, q: Stored::F32(q), k: Stored::F32(k), v: Stored::F32(v) }
    }

    pub fn n_q(&self) -> usize {
        self.q.matrix().rows()
    }

    pub fn n_k(&self) -> usize {
        self.k.matrix().rows()
    }

    pub fn inputs(&self) -> Inputs {
        Inputs { q: self.q.mat(), k: self.k.mat(), v: self.v.mat() }
    }

    /// Some queries of the only sequence, by themselves; with an offset, so that they stay in their place.
    pub fn queries(&self, start: usize, count: usize) -> Self {
        let mut part = Self { q: Stored::of(self.q.dtype(), &self.q.mat().rows(start, count)), ..self.clone() };
        part.form.query_offset = part.form.query_offset.map(|offset| offset + start);
        part.form.bias = part.form.bias.map(|bias| bias.from(2, start));
        part.form.mask = part.form.mask.map(|mask| mask.from(2, start));
        part
    }

    /// The same numbers in f32.
    pub fn widened(&self) -> Self {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(Stored::widened);
        Self { form: self.form.clone(), q, k, v }
    }

    /// How this level multiplies these types.
    pub fn arithmetic(&self, engine: Engine<'_>) -> Arithmetic {
        let bf16 = [&self.q, &self.k, &self.v].iter().all(|x| x.dtype() == Dtype::Bf16);
        if bf16 && has_pairs(engine.level()) { Arithmetic::Pairs } else { Arithmetic::Widened }
    }

    pub fn unwritten(&self) -> Answer {
        let n_q = self.n_q();
        Answer {
            out: Strided::unwritten(n_q, self.form.heads * self.form.value_dim, 3, 1),
            lse: Strided::unwritten(n_q, self.form.heads, 2, 1),
        }
    }

    /// As many bytes as are asked for, dirty and misaligned.
    pub fn scratch(&self, engine: Engine<'_>) -> Bytes {
        Bytes::new(engine.attention_scratch(&self.form.options()).unwrap(), 1)
    }

    pub fn run(&self, engine: Engine<'_>) -> Answer {
        self.run_in(engine, &mut self.scratch(engine))
    }

    /// Both calls: with and without the sums, the result has the same bits.
    pub fn run_in(&self, engine: Engine<'_>, scratch: &mut [u8]) -> Answer {
        let (mut answer, mut without) = (self.unwritten(), self.unwritten());
        let (options, [q, k, v]) = (self.form.options(), [&self.q, &self.k, &self.v].map(Stored::matrix));
        engine.attention_lse(&options, q, k, v, answer.out.view_mut(), answer.lse.view_mut(), scratch).unwrap();
        engine.attention(&options, q, k, v, without.out.view_mut(), scratch).unwrap();
        [&answer.out, &answer.lse, &without.out].into_iter().for_each(Strided::assert_guards);
        assert_eq!(answer.out.bits(), without.out.bits(), "the result depends on whether sums are asked for: {self:?}");
        answer
    }

    pub fn truth(&self, arithmetic: Arithmetic) -> Truth {
        bound::truth(&self.form, &self.inputs(), arithmetic)
    }

    /// The plain algorithm in the same precision: the matrix of scores, sums in f32 one term after the other, and, where bf16 is
    /// multiplied in pairs, weights rounded to bf16.
    pub fn plain(&self, arithmetic: Arithmetic) -> Outcome {
        let stored = |p: f32| if arithmetic == Arithmetic::Pairs { bf16::from_f32(p).to_f32() } else { p };
        self.form.attention(&arithmetic.operands(&self.inputs()).narrow(), stored).widen()
    }

    /// Runs it at every level and compares.
    #[track_caller]
    pub fn check(&self) {
        let truths = Truths::of(self);
        every_level(|engine| self.run(engine).check(&format!("{} {self:?}", engine.level()), truths.at(engine)));
    }
}

/// One column of f32 each for queries, keys and values.
pub fn columns(
    q: impl Fn(usize) -> f32,
    k: impl Fn(usize) -> f32,
    v: impl Fn(usize) -> f32,
    [n_q, n_k]: [usize; 2],
) -> Problem {
    let column = |rows, fill: &dyn Fn(usize) -> f32| Strided::dense(rows, 1, |i, _| fill(i));
    Problem::of(column(n_q, &q), column(n_k, &k), column(n_k, &v))
}

/// What must come out of a problem: the same at most levels, computed when it is first asked for.
pub struct Truths<'a> {
    problem: &'a Problem,
    widened: OnceCell<Truth>,
    pairs: OnceCell<Truth>,
}

impl<'a> Truths<'a> {
    pub fn of(problem: &'a Problem) -> Self {
        Self { problem, widened: OnceCell::new(), pairs: OnceCell::new() }
    }

    pub fn at(&self, engine: Engine<'_>) -> &Truth {
        let arithmetic = self.problem.arithmetic(engine);
        let cell = if arithmetic == Arithmetic::Pairs { &self.pairs } else { &self.widened };
        cell.get_or_init(|| self.problem.truth(arithmetic))
    }
}

impl Answer {
    #[track_caller]
    pub fn check(&self, what: &str, truth: &Truth) {
        truth.check(what, &self.out.mat(), &self.lse.mat());
    }

    /// The bits of the result and the sums of query `i`.
    pub fn row_bits(&self, i: usize) -> [Vec<u32>; 2] {
        [self.out.row_bits(i), self.lse.row_bits(i)]
    }

    pub fn bits(&self) -> [Vec<u32>; 2] {
        [self.out.bits(), self.lse.bits()]
    }
}
