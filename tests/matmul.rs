//! Matrix product and matrix-vector product against the naive f64 ones: every level, storage type, tail, stride and epilogue.

mod common;

use common::bound::{self, U};
use common::data::{Rng, Values, dimension};
use common::memory::{AsMatrix, Bytes, Strided};
use common::oracle::{self, Mat};
use common::{cases, every_level};
use half::{bf16, f16};
use proptest::prelude::*;
use selfattn::{Activation, Element, Engine, Epilogue, MatMut, MatRef, Matrix, Packed, Weights};

/// A product and all that goes with it; the numbers follow from `seed`.
#[derive(Clone, Debug)]
struct Case {
    size: [usize; 3],
    gap: usize,
    offset: usize,
    values: Values,
    bias: bool,
    activation: Activation,
    residual: bool,
    seed: u64,
}

fn any_case() -> impl Strategy<Value = Case> {
    // Mostly small; now and then more columns of A than the kernel takes in one block of k (512).
    let size = prop_oneof![
        8 => (dimension(40), dimension(130), dimension(130)).prop_map(|(m, k, n)| [m, k, n]),
        1 => (dimension(10), 500_usize..1100, dimension(60)).prop_map(|(m, k, n)| [m, k, n]),
        1 => (120_usize..270, dimension(20), dimension(20)).prop_map(|(m, k, n)| [m, k, n]),
    ];
    let activation =
        prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Gelu), Just(Activation::GeluTanh)];
    let epilogue = (any::<bool>(), activation, any::<bool>());
    (size, 0_usize..3, 0_usize..17, Values::any(), epilogue, any::<u64>()).prop_map(
        |(size, gap, offset, values, (bias, activation, residual), seed)| Case {
            size,
            gap,
            offset,
            values,
            bias,
            activation,
            residual,
            seed,
        },
    )
}

/// The operands of a case.
struct Operands<E> {
    a: Strided,
    weights: Strided<E>,
    bias: Option<Vec<f32>>,
    residual: Option<Strided>,
}

impl Case {
    fn operands<E: Element>(&self) -> Operands<E> {
        let Self { size: [m, k, n], gap, offset, values, seed, .. } = *self;
        let mut rng = Rng::new(seed);
        Operands {
            a: Strided::new(m, k, gap, offset, |_, _| values.sample(&mut rng)),
            weights: Strided::new(n, k, 2 * gap, offset / 2, |_, _| values.sample_as::<E>(&mut rng)),
            bias: self.bias.then(|| (0..n).map(|_| values.sample(&mut rng)).collect()),
            residual: self.residual.then(|| Strided::new(m, n, 3 * gap, 3, |_, _| values.sample(&mut rng))),
        }
    }

    fn unwritten(&self) -> Strided {
        Strided::unwritten(self.size[0], self.size[2], self.gap, self.offset)
    }
}

impl<E: Element> Operands<E> {
    fn epilogue(&self, activation: Activation) -> Epilogue<'_> {
        Epilogue {
            bias: self.bias.as_deref(),
            activation,
            residual: self.residual.as_ref().map(|residual| residual.view()),
        }
    }

    /// The true result, and how far from it rounding may lead.
    fn expected(&self, activation: Activation) -> (Mat, Mat) {
        let (a, w) = (self.a.mat(), self.weights.mat());
        let mut bounds = Mat::zeros(a.rows, w.rows);
        let out = Mat::new(a.rows, w.rows, |i, j| {
            let bias = self.bias.as_ref().map_or(0.0, |bias| bias[j].into());
            let residual = self.residual.as_ref().map_or(0.0, |residual| residual.view().row(i)[j].into());
            let z = oracle::dot(a.row(i), w.row(j)) + bias;
            // The bias is one more term of the sum.
            let magnitudes = oracle::dot_of_magnitudes(a.row(i), w.row(j)) + bias.abs();
            let error = bound::activation(activation, z, bound::dot(a.cols + 1, magnitudes));
            let y = oracle::activate(activation, z) + residual;
            // The residual's addition rounds once.
            bounds[(i, j)] = error + U * (y.abs() + error);
            y
        });
        (out, bounds)
    }
}

/// Runs a product with exactly the scratch it asks for, dirty and misaligned.
fn product(engine: Engine<'_>, a: MatRef<'_>, weights: &Weights<'_>, epilogue: &Epilogue<'_>, out: MatMut<'_>) {
    let a: Matrix<'_> = a.into();
    let mut scratch = Bytes::new(engine.matmul_scratch(a.rows(), a.dtype(), weights).unwrap(), 1);
    engine.matmul(a, weights, epilogue, out, &mut scratch).unwrap();
}

fn pack_for<'a>(engine: Engine<'_>, weights: &Matrix<'_>, memory: &'a mut Option<Bytes>) -> Weights<'a> {
    let memory = memory.insert(Bytes::new(Packed::bytes(engine.level(), weights).unwrap(), 1));
    Packed::new(engine.level(), weights, memory).unwrap().into()
}

fn check<E: Element>(case: &Case)
where
    Strided<E>: AsMatrix,
{
    let operands = case.operands::<E>();
    let epilogue = operands.epilogue(case.activation);
    let (expected, bounds) = operands.expected(case.activation);
    every_level(|engine| {
        let what = format!("{} {} {case:?}", engine.level(), E::DTYPE.name());
        let plain = Weights::from(operands.weights.matrix());
        let mut out = case.unwritten();
        product(engine, operands.a.view(), &plain, &epilogue, out.view_mut());
        bound::assert_within(&what, &out.mat(), &expected, &bounds);
        out.assert_guards();

        let mut memory = None;
        let packed = pack_for(engine, &operands.weights.matrix(), &mut memory);
        let mut again = case.unwritten();
        product(engine, operands.a.view(), &packed, &epilogue, again.view_mut());
        assert_eq!(again.bits(), out.bits(), "packed differs from plain: {what}");
        again.assert_guards();
    });
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn f32_weights_are_within_the_bound(case in any_case()) {
        check::<f32>(&case);
    }

    #[test]
    fn f16_weights_are_within_the_bound(case in any_case()) {
        check::<f16>(&case);
    }

    #[test]
    fn bf16_weights_are_within_the_bound(case in any_case()) {
        check::<bf16>(&case);
    }

    /// The bits of an element depend on its row of A and its row of the weights, and on nothing else.
    #[test]
    fn a_row_alone_has_the_bits_it_has_among_others(case in any_case()) {
        let operands = case.operands::<f32>();
        let [m, _, n] = case.size;
        prop_assume!(m > 0 && n > 0);
        let (i, j) = (case.seed as usize % m, case.seed as usize / 7 % n);
        every_level(|engine| {
            let mut whole = case.unwritten();
            let weights = Weights::from(operands.weights.view());
            product(engine, operands.a.view(), &weights, &Epilogue::default(), whole.view_mut());
            let mut alone = Strided::unwritten(1, n - j, 0, 0);
            let weights = Weights::from(operands.weights.view().rows_range(j..n).unwrap());
            let row = operands.a.view().rows_range(i..i + 1).unwrap();
            product(engine, row, &weights, &Epilogue::default(), alone.view_mut());
            assert_eq!(alone.bits(), whole.row_bits(i)[j..], "row {i} from column {j}, {} {case:?}", engine.level());
        });
    }

    #[test]
    fn gemv_is_within_the_bound(k in dimension(300), n in dimension(40), values in Values::any(), seed: u64) {
        let mut rng = Rng::new(seed);
        let x = Strided::new(1, k, 0, seed as usize % 5, |_, _| values.sample(&mut rng));
        check_gemv::<f32>(&x, n, values, &mut rng);
        check_gemv::<f16>(&x, n, values, &mut rng);
        check_gemv::<bf16>(&x, n, values, &mut rng);
    }
}

fn check_gemv<E: Element>(x: &Strided, n: usize, values: Values, rng: &mut Rng)
where
    Strided<E>: AsMatrix,
{
    let weights = Strided::<E>::new(n, x.cols, 1, 3, |_, _| values.sample_as::<E>(rng));
    let (w, v) = (weights.mat(), x.mat());
    let expected = oracle::matmul(&v, &w);
    let bounds = Mat::new(1, n, |_, j| bound::dot(x.cols, oracle::dot_of_magnitudes(w.row(j), v.row(0))));
    every_level(|engine| {
        let mut out = Strided::unwritten(1, n, 0, 1);
        engine.gemv(&weights.matrix(), x.view().row(0), out.view_mut().row_mut(0)).unwrap();
        let what = format!("{} {} {n} x {}", engine.level(), E::DTYPE.name(), x.cols);
        bound::assert_within(&what, &out.mat(), &expected, &bounds);
        out.assert_guards();
    });
}

/// All tails of all three dimensions at once, without chance: 0..=4 * lanes + 1 columns of B and of A.
#[test]
fn every_tail_is_right() {
    let lanes = selfattn::Level::detect().lanes();
    for width in 0..=4 * lanes + 1 {
        let case = Case {
            size: [width % 19, width, 4 * lanes + 1 - width],
            gap: width % 2,
            offset: width % lanes,
            values: Values::Unit,
            bias: true,
            activation: Activation::None,
            residual: true,
            seed: width as u64,
        };
        check::<f32>(&case);
        check::<f16>(&case);
    }
}

#[test]
fn without_steps_of_k_the_epilogue_remains() {
    let (bias, residual) = ([-1.0, 2.0, -3.0], Strided::dense(2, 3, |i, j| (10 * i + j) as f32));
    let weights = Strided::<f32>::dense(3, 0, |_, _| 0.0);
    let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Relu, residual: Some(residual.view()) };
    every_level(|engine| {
        let mut memory = None;
        for weights in [weights.view().into(), pack_for(engine, &weights.matrix(), &mut memory)] {
            let mut out = Strided::unwritten(2, 3, 1, 0);
            product(engine, MatRef::new(&[], 2, 0).unwrap(), &weights, &epilogue, out.view_mut());
            assert_eq!(out.mat().data, [0.0, 3.0, 2.0, 10.0, 13.0, 12.0]);
            product(engine, MatRef::new(&[], 2, 0).unwrap(), &weights, &Epilogue::default(), out.view_mut());
            assert_eq!(out.mat().data, [0.0; 6]);
            out.assert_guards();
        }
    });
}

/// NaN and infinity reach what they are multiplied with, as in the naive product, and nothing else.
#[test]
fn values_that_are_not_finite_stay_in_their_row() {
    for (at, bad) in [(0, f32::NAN), (7, f32::INFINITY), (18, f32::NEG_INFINITY)] {
        let mut rng = Rng::new(3);
        let mut a = Strided::<f32>::dense(9, 19, |_, _| 1.0 + rng.unit());
        let weights = Strided::<f32>::dense(21, 19, |_, j| if j == 5 { 0.0 } else { 1.0 });
        a.set(4, at, bad);
        a.set(8, 5, f32::INFINITY); // times 0 is NaN
        let expected = oracle::matmul(&a.mat(), &weights.mat());
        let bounds = Mat::new(9, 21, |_, _| bound::dot(19, 38.0));
        every_level(|engine| {
            let mut out = Strided::unwritten(9, 21, 2, 0);
            product(engine, a.view(), &weights.view().into(), &Epilogue::default(), out.view_mut());
            bound::assert_within(&format!("{} {bad}", engine.level()), &out.mat(), &expected, &bounds);
        });
    }
}
