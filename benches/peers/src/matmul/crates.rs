//! The published crates: each multiplies by the weights as files have them (`n x k`), by the transposed ones (`k x n`),
//! which some read faster, and by packed ones where it can pack.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use gemm::{Parallelism, gemm};
use half::f16;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use selfattn::{Dtype, Element};

use super::problem::{Inputs, Problem};
use crate::contestant::{Contestant, Contestants, Info, Local};
use crate::data::Buffer;

/// Where an element of the weights stands.
#[derive(Clone, Copy)]
enum Order {
    Nk,
    Kn,
}
use Order::{Kn, Nk};

pub fn contestants(threads: usize, problem: &Problem) -> Contestants<'_> {
    let crates = Crates { threads, problem };
    let mut list = Vec::new();
    for order in [Nk, Kn] {
        list.push(crates.gemm(&problem.f32, order, 0.0, 1.0));
        list.push(crates.gemm(&problem.f16, order, f16::ZERO, f16::ONE));
        list.push(crates.matrixmultiply(order));
        list.push(crates.faer(order));
        list.push(crates.rten(order));
    }
    list.push(crates.rten_packed());
    list
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Nk => "n x k",
            Kn => "k x n",
        }
    }

    fn weights<E>(self, inputs: &Inputs<E>) -> &[E] {
        match self {
            Nk => &inputs.nk,
            Kn => &inputs.kn,
        }
    }

    /// Elements from one step of `k` to the next, and from one output to the next.
    fn strides(self, problem: &Problem) -> (isize, isize) {
        match self {
            Nk => (1, problem.k as isize),
            Kn => (problem.n as isize, 1),
        }
    }
}

struct Crates<'a> {
    threads: usize,
    problem: &'a Problem,
}

impl<'a> Crates<'a> {
    fn info<E: Element>(&self, name: &str, how: &str) -> Info {
        let dtype = E::DTYPE.name().to_owned();
        let bytes = self.problem.k * self.problem.n * E::DTYPE.size();
        let name = format!("{name} {how}");
        Info { name, activations: dtype.clone(), weights: dtype, bytes, ..Info::default() }
    }

    fn local<E: Element>(&self, info: Info, run: impl FnMut(&mut [E]) + 'a) -> Box<dyn Contestant + 'a> {
        let nan = E::from_f32(f32::NAN);
        Local::boxed(info, Buffer::new(self.problem.m * self.problem.n, nan, |_| nan), run)
    }

    fn gemm<E: Element>(&self, inputs: &'a Inputs<E>, order: Order, zero: E, one: E) -> Box<dyn Contestant + 'a> {
        let [m, k, n] = self.problem.shape();
        let parallelism = if self.threads > 1 { Parallelism::Rayon(self.threads) } else { Parallelism::None };
        let ((rs, cs), weights) = (order.strides(self.problem), order.weights(inputs));
        // Its way for one row and `k x n` keeps the sums in the result.
        let info = match order {
            Kn if m == 1 && E::DTYPE == Dtype::F16 => {
                Info { rounds_sums: true, ..self.info::<E>("gemm", "k x n, f16 sums") }
            }
            _ => self.info::<E>("gemm", order.name()),
        };
        self.local(info, move |out: &mut [E]| {
            let (out, a, w) = (out.as_mut_ptr(), inputs.a.as_ptr(), weights.as_ptr());
            let (row, depth) = (n as isize, k as isize);
            // SAFETY: dense buffers of these sizes; the strides are theirs.
            unsafe {
                gemm(m, n, k, out, 1, row, false, a, 1, depth, w, cs, rs, zero, one, false, false, false, parallelism);
            }
        })
    }

    fn matrixmultiply(&self, order: Order) -> Box<dyn Contestant + 'a> {
        let ([m, k, n], inputs) = (self.problem.shape(), &self.problem.f32);
        let ((rs, cs), weights) = (order.strides(self.problem), order.weights(inputs));
        self.local(self.info::<f32>("matrixmultiply", order.name()), move |out: &mut [f32]| {
            let (a, w) = (inputs.a.as_ptr(), weights.as_ptr());
            let (row, depth) = (n as isize, k as isize);
            // SAFETY: dense buffers of these sizes; the strides are theirs.
            unsafe {
                matrixmultiply::sgemm(m, k, n, 1.0, a, depth, 1, w, rs, cs, 0.0, out.as_mut_ptr(), row, 1);
            }
        })
    }

    fn faer(&self, order: Order) -> Box<dyn Contestant + 'a> {
        let ([m, k, n], inputs) = (self.problem.shape(), &self.problem.f32);
        let par = if self.threads > 1 { Par::rayon(self.threads) } else { Par::Seq };
        self.local(self.info::<f32>("faer", order.name()), move |out: &mut [f32]| {
            let a = MatRef::from_row_major_slice(&inputs.a, m, k);
            let w = match order {
                Nk => MatRef::from_row_major_slice(&inputs.nk, n, k).transpose(),
                Kn => MatRef::from_row_major_slice(&inputs.kn, k, n),
            };
            matmul(MatMut::from_row_major_slice_mut(out, m, n), Accum::Replace, a, w, 1.0, par);
        })
    }

    fn rten(&self, order: Order) -> Box<dyn Contestant + 'a> {
        let problem = self.problem;
        let executor = GemmExecutor::<f32>::new();
        self.local(self.info::<f32>("rten-gemm", order.name()), move |out: &mut [f32]| {
            let b = GemmInputB::Unpacked(rten_weights(problem, order));
            executor.gemm(out, rten_activations(problem), b, GemmOptions::default()).expect("shapes that fit");
        })
    }

    fn rten_packed(&self) -> Box<dyn Contestant + 'a> {
        let problem = self.problem;
        let executor = GemmExecutor::<f32>::new();
        let packed = executor.prepack_b(rten_weights(problem, Nk));
        self.local(self.info::<f32>("rten-gemm", "packed"), move |out: &mut [f32]| {
            let b = GemmInputB::Packed(&packed);
            executor.gemm(out, rten_activations(problem), b, GemmOptions::default()).expect("shapes that fit");
        })
    }
}

fn rten_activations(problem: &Problem) -> GemmInputA<'_, f32> {
    GemmInputA::Unpacked(NdTensorView::from_data([problem.m, problem.k], &problem.f32.a[..]))
}

/// The weights as `k x n`, through strides if that is not how they stand.
fn rten_weights(problem: &Problem, order: Order) -> NdTensorView<'_, f32, 2> {
    match order {
        Nk => NdTensorView::from_data([problem.n, problem.k], &problem.f32.nk[..]).transposed(),
        Kn => NdTensorView::from_data([problem.k, problem.n], &problem.f32.kn[..]),
    }
}
