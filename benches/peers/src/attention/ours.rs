//! Our contestants: flash attention, and the plain algorithm.

use selfattn::{Element, Engine, MatMut, MatRef, Matrix};

use super::plain::{PlainAttention, Scores};
use super::problem::{Inputs, KeysValues, Problem, Shape};
use crate::contestant::{Contestant, Contestants, Info, Local};
use crate::data::Buffer;
use crate::error::Result;

pub const FLASH: &str = "selfattn";
pub const PLAIN: &str = "selfattn plain";

pub fn contestants<'a>(engine: &'a Engine<'a>, problem: &'a Problem, scores: &'a Scores) -> Result<Contestants<'a>> {
    let ours = Ours { engine, problem, scores };
    let mut list = ours.both(&problem.f32)?;
    list.extend(ours.both(&problem.f16)?);
    list.extend(ours.both(&problem.bf16)?);
    Ok(list)
}

struct Ours<'a> {
    engine: &'a Engine<'a>,
    problem: &'a Problem,
    scores: &'a Scores,
}

impl<'a> Ours<'a> {
    fn both<E: Element>(&self, inputs: &'a Inputs<E>) -> Result<Contestants<'a>>
    where
        for<'b> Matrix<'b>: From<MatRef<'b, E>>,
    {
        let flash = if self.problem.shape.cold.is_some() { self.cached(inputs) } else { self.flash(inputs) };
        Ok(vec![flash?, self.plain(inputs)])
    }

    fn flash<E: Element>(&self, inputs: &'a Inputs<E>) -> Result<Box<dyn Contestant + 'a>>
    where
        for<'b> Matrix<'b>: From<MatRef<'b, E>>,
    {
        let (engine, Shape { heads, kv_heads, queries, keys, d, .. }) = (self.engine, self.problem.shape);
        let attention = self.problem.attention();
        let mut scratch = vec![0; engine.attention_scratch(&attention)?];
        let q = MatRef::new(&inputs.q, queries, heads * d)?;
        Ok(self.local::<E, _>(FLASH, &inputs.kv, move |KeysValues { k, v }, out| {
            let [k, v] = [k, v].map(|x| MatRef::new(x, keys, kv_heads * d));
            engine.attention(&attention, q, k?, v?, MatMut::new(out, queries, heads * d)?, &mut scratch)
        }))
    }

    /// As decoders do it.
    fn cached<E: Element>(&self, inputs: &'a Inputs<E>) -> Result<Box<dyn Contestant + 'a>>
    where
        for<'b> Matrix<'b>: From<MatRef<'b, E>>,
    {
        let (engine, attention, width) = (self.engine, self.problem.attention(), inputs.q.len());
        let mut scratch = vec![0; engine.attention_scratch(&attention)?];
        let q = MatRef::from_row(&inputs.q);
        Ok(self.local::<E, _>(FLASH, self.problem.caches::<E>()?, move |cache, out| {
            engine.attention_cached(&attention, q, cache, MatMut::new(out, 1, width)?, &mut scratch)
        }))
    }

    fn plain<E: Element>(&self, inputs: &'a Inputs<E>) -> Box<dyn Contestant + 'a>
    where
        for<'b> Matrix<'b>: From<MatRef<'b, E>>,
    {
        let mut plain = PlainAttention::new(self.engine, self.problem.shape, &inputs.q, self.scores);
        self.local::<E, _>(PLAIN, &inputs.kv, move |kv, out| plain.run(kv, out))
    }

    /// Each run has the next keys and values.
    fn local<E: Element, T: 'a>(
        &self,
        name: &str,
        kv: impl AsRef<[T]> + 'a,
        mut run: impl FnMut(&T, &mut [f32]) -> selfattn::Result<()> + 'a,
    ) -> Box<dyn Contestant + 'a> {
        let (shape, dtype) = (&self.problem.shape, E::DTYPE.name().to_owned());
        let (name, bytes) = (name.to_owned(), shape.bytes(E::DTYPE));
        let info = Info { name, activations: dtype.clone(), weights: dtype, bytes, ours: true, ..Info::default() };
        let out = Buffer::new(shape.queries * shape.heads * shape.d, f32::NAN, |_| f32::NAN);
        let mut turn = 0;
        Local::boxed(info, out, move |out| {
            let kv = kv.as_ref();
            run(&kv[turn % kv.len()], out).expect("shapes that fit");
            turn += 1;
        })
    }
}
