//! Our contestants. A new one is a line in [`contestants`].

use selfattn::{Engine, Epilogue, MatMut, Matrix, Packed, Weights};

use super::problem::Problem;
use crate::contestant::{Contestant, Contestants, Info, Local};
use crate::data::Buffer;
use crate::error::Result;

pub fn contestants<'a>(engine: &'a Engine<'a>, problem: &'a Problem) -> Result<Contestants<'a>> {
    let ours = Ours { engine, problem };
    let f32 = Matrix::F32(problem.weights(&problem.f32));
    let f16 = Matrix::F16(problem.weights(&problem.f16));
    let bf16 = Matrix::Bf16(problem.weights(&problem.bf16));
    let mut list = vec![
        ours.matmul("packed", ours.pack(&f32)?)?,
        ours.matmul("n x k", Weights::Plain(f32))?,
        ours.matmul("packed", ours.pack(&f16)?)?,
        ours.matmul("packed", ours.pack(&bf16)?)?,
    ];
    if problem.m == 1 {
        list.extend([f32, f16, bf16].map(|weights| ours.gemv(weights)));
    }
    Ok(list)
}

struct Ours<'a> {
    engine: &'a Engine<'a>,
    problem: &'a Problem,
}

impl<'a> Ours<'a> {
    fn pack(&self, weights: &Matrix<'_>) -> Result<Weights<'a>> {
        let level = self.engine.level();
        let memory = self.problem.memory.alloc_slice_fill_copy(Packed::bytes(level, weights)?, 0);
        Ok(Weights::Packed(Packed::new(level, weights, memory)?))
    }

    fn info(&self, how: &str, weights: &str, size: usize) -> Info {
        let (name, bytes) = (format!("selfattn {how}"), self.problem.k * self.problem.n * size);
        Info { name, activations: "f32".to_owned(), weights: weights.to_owned(), bytes, ours: true, ..Info::default() }
    }

    fn out(&self) -> Buffer<f32> {
        Buffer::new(self.problem.m * self.problem.n, f32::NAN, |_| f32::NAN)
    }

    fn matmul(&self, how: &str, weights: Weights<'a>) -> Result<Box<dyn Contestant + 'a>> {
        let (engine, problem) = (self.engine, self.problem);
        let info = self.info(how, weights.dtype().name(), weights.dtype().size());
        let mut scratch = vec![0; engine.matmul_scratch(&weights)?];
        Ok(Local::boxed(info, self.out(), move |out| {
            let out = MatMut::new(out, problem.m, problem.n).expect("as long as the shape says");
            let done = engine.matmul(problem.activations(), &weights, &Epilogue::default(), out, &mut scratch);
            done.expect("shapes that fit");
        }))
    }

    fn gemv(&self, weights: Matrix<'a>) -> Box<dyn Contestant + 'a> {
        let (engine, problem) = (self.engine, self.problem);
        let info = self.info("gemv", weights.dtype().name(), weights.dtype().size());
        Local::boxed(info, self.out(), move |out| {
            engine.gemv(&weights, &problem.f32.a, out).expect("shapes that fit");
        })
    }
}
