//! Our contestants. A new one is a line in [`contestants`].

use selfattn::{Dtype, Engine, Epilogue, MatMut, MatRef, Matrix, Order, Packed, Plain, Weights};

use super::problem::Problem;
use crate::contestant::{Contestant, Contestants, Info, Local};
use crate::data::Buffer;
use crate::error::Result;

pub fn contestants<'a>(engine: &'a Engine<'a>, problem: &'a Problem) -> Result<Contestants<'a>> {
    let ours = Ours { engine, problem };
    let f32 = Matrix::F32(problem.weights(&problem.f32));
    let f16 = Matrix::F16(problem.weights(&problem.f16));
    let bf16 = Matrix::Bf16(problem.weights(&problem.bf16));
    let in_out = Matrix::F32(MatRef::new(&problem.f32.kn, problem.k, problem.n)?);
    let a32 = Matrix::F32(MatRef::new(&problem.f32.a, problem.m, problem.k)?);
    let a16 = Matrix::Bf16(MatRef::new(&problem.bf16.a, problem.m, problem.k)?);
    let mut list = vec![
        ours.matmul("packed", a32, ours.pack(&f32)?)?,
        ours.matmul("n x k", a32, f32.into())?,
        ours.matmul("k x n", a32, Plain::new(in_out, Order::InOut).into())?,
        ours.matmul("packed", a32, ours.pack(&f16)?)?,
        ours.matmul("packed", a32, ours.pack(&bf16)?)?,
        ours.matmul("packed", a16, ours.pack(&bf16)?)?,
        ours.matmul("n x k", a16, bf16.into())?,
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

    fn info(&self, how: &str, activations: Dtype, weights: Dtype) -> Info {
        let (name, bytes) = (format!("selfattn {how}"), self.problem.k * self.problem.n * weights.size());
        let [activations, weights] = [activations, weights].map(|dtype| dtype.name().to_owned());
        Info { name, activations, weights, bytes, ours: true, ..Info::default() }
    }

    fn out(&self) -> Buffer<f32> {
        Buffer::new(self.problem.m * self.problem.n, f32::NAN, |_| f32::NAN)
    }

    fn matmul(&self, how: &str, a: Matrix<'a>, weights: Weights<'a>) -> Result<Box<dyn Contestant + 'a>> {
        let (engine, problem) = (self.engine, self.problem);
        let info = self.info(how, a.dtype(), weights.dtype());
        let mut scratch = vec![0; engine.matmul_scratch(problem.m, a.dtype(), &weights)?];
        Ok(Local::boxed(info, self.out(), move |out| {
            let out = MatMut::new(out, problem.m, problem.n).expect("as long as the shape says");
            let done = engine.matmul(a, &weights, &Epilogue::default(), out, &mut scratch);
            done.expect("shapes that fit");
        }))
    }

    fn gemv(&self, weights: Matrix<'a>) -> Box<dyn Contestant + 'a> {
        let (engine, problem) = (self.engine, self.problem);
        let info = self.info("gemv", Dtype::F32, weights.dtype());
        Local::boxed(info, self.out(), move |out| {
            engine.gemv(weights, &problem.f32.a, out).expect("shapes that fit");
        })
    }
}
