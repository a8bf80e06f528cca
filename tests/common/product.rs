//! A product and all that goes with it: sizes, types, strides and epilogue by chance, the true result, every form of weights.

use proptest::prelude::*;
use selfattn::{Activation, Dtype, Engine, Epilogue, MatMut, Matrix, Order, Packed, Plain, Weights};

use super::bound::{self, U};
use super::data::{Rng, Values, dimension};
use super::every_level;
use super::memory::{Bytes, Strided};
use super::oracle::{self, Mat};
use super::stored::{BothOrders, DTYPES, Stored};

/// A product; the numbers follow from `seed`.
#[derive(Clone, Debug)]
pub struct Case {
    /// Rows, steps, columns.
    pub size: [usize; 3],
    /// Of the activations, of the weights.
    pub types: [Dtype; 2],
    pub gap: usize,
    pub offset: usize,
    pub values: Values,
    pub bias: bool,
    pub activation: Activation,
    pub residual: bool,
    pub seed: u64,
}

/// Any product of activations of that type.
pub fn any_case(activations: Dtype) -> impl Strategy<Value = Case> {
    // Mostly small; now and then more steps than plain weights are packed for at a time, or more rows than a block has.
    let size = prop_oneof![
        8 => (dimension(40), dimension(130), dimension(130)).prop_map(|(m, k, n)| [m, k, n]),
        1 => (dimension(10), 500_usize..1100, dimension(60)).prop_map(|(m, k, n)| [m, k, n]),
        1 => (120_usize..300, dimension(20), dimension(20)).prop_map(|(m, k, n)| [m, k, n]),
    ];
    let activation =
        prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Gelu), Just(Activation::GeluTanh)];
    let epilogue = (any::<bool>(), activation, any::<bool>());
    let weights = proptest::sample::select(DTYPES.to_vec());
    (size, weights, 0_usize..3, 0_usize..17, Values::any(), epilogue, any::<u64>()).prop_map(
        move |(size, weights, gap, offset, values, (bias, activation, residual), seed)| Case {
            size,
            types: [activations, weights],
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
pub struct Operands {
    pub a: Stored,
    pub weights: BothOrders,
    bias: Option<Vec<f32>>,
    residual: Option<Strided>,
    activation: Activation,
}

impl Case {
    pub fn operands(&self) -> Operands {
        let Self { size: [m, k, n], types, gap, offset, values, seed, activation, .. } = *self;
        let mut rng = Rng::new(seed);
        let a = Stored::random(types[0], [m, k], gap, offset, values, &mut rng);
        let weights = Stored::random(types[1], [n, k], 2 * gap, offset / 2, values, &mut rng);
        Operands {
            a,
            weights: BothOrders::new(weights, 3 * gap, offset),
            bias: self.bias.then(|| (0..n).map(|_| values.sample(&mut rng)).collect()),
            residual: self.residual.then(|| Strided::new(m, n, 3 * gap, 3, |_, _| values.sample(&mut rng))),
            activation,
        }
    }

    pub fn unwritten(&self) -> Strided {
        Strided::unwritten(self.size[0], self.size[2], self.gap, self.offset)
    }
}

impl Operands {
    pub fn epilogue(&self) -> Epilogue<'_> {
        Epilogue {
            bias: self.bias.as_deref(),
            activation: self.activation,
            residual: self.residual.as_ref().map(|residual| residual.view()),
        }
    }

    /// The true result, and how far from it rounding may lead; where pairs of bf16 are multiplied, or one by one.
    fn expected(&self, pairs: bool) -> [Mat; 2] {
        let operand = |mat: Mat| if pairs { mat.map(bound::flushed) } else { mat };
        let (a, w) = (operand(self.a.mat()), operand(self.weights.mat()));
        let bound_of = if pairs { bound::dot_of_pairs } else { bound::dot };
        let mut bounds = Mat::zeros(a.rows, w.rows);
        let out = Mat::new(a.rows, w.rows, |i, j| {
            let bias = self.bias.as_ref().map_or(0.0, |bias| bias[j].into());
            let residual = self.residual.as_ref().map_or(0.0, |residual| residual.view().row(i)[j].into());
            let z = oracle::dot(a.row(i), w.row(j)) + bias;
            // The bias is one more term of the sum.
            let magnitudes = oracle::dot_of_magnitudes(a.row(i), w.row(j)) + bias.abs();
            let error = bound::activation(self.activation, z, bound_of(a.cols + 1, magnitudes));
            let y = oracle::activate(self.activation, z) + residual;
            // The residual's addition rounds once.
            bounds[(i, j)] = error + U * (y.abs() + error);
            y
        });
        [out, bounds]
    }
}

/// Whether this level multiplies these types by the dot product of bf16 pairs.
pub fn in_pairs(engine: Engine<'_>, types: [Dtype; 2]) -> bool {
    super::has_pairs(engine.level()) && types == [Dtype::Bf16; 2]
}

/// Runs a product with exactly the scratch it asks for, dirty and misaligned.
pub fn product<'a>(
    engine: Engine<'_>,
    a: impl Into<Matrix<'a>>,
    weights: &Weights<'_>,
    epilogue: &Epilogue<'_>,
    out: MatMut<'_>,
) {
    let a: Matrix<'_> = a.into();
    let mut scratch = Bytes::new(engine.matmul_scratch(a.rows(), a.dtype(), weights).unwrap(), 1);
    engine.matmul(a, weights, epilogue, out, &mut scratch).unwrap();
}

/// The bits of a product without an epilogue.
pub fn bits(engine: Engine<'_>, a: &Stored, weights: &Weights<'_>) -> Vec<u32> {
    let mut out = Strided::unwritten(a.matrix().rows(), weights.n(), 1, 0);
    product(engine, a.matrix(), weights, &Epilogue::default(), out.view_mut());
    out.assert_guards();
    out.bits()
}

/// Calls `test` with the weights in every form: either order, plain or packed.
pub fn every_form(engine: Engine<'_>, weights: &BothOrders, mut test: impl FnMut(&str, &Weights<'_>)) {
    for order in [Order::OutIn, Order::InOut] {
        let plain = weights.plain(order);
        test(&format!("{order:?} plain"), &plain.into());
        packed(engine, plain, |weights| test(&format!("{order:?} packed"), weights));
    }
}

/// Calls `test` with the weights packed.
pub fn packed(engine: Engine<'_>, plain: Plain<'_>, test: impl FnOnce(&Weights<'_>)) {
    let mut memory = Bytes::new(Packed::bytes(engine.level(), plain).unwrap(), 1);
    test(&Packed::new(engine.level(), plain, &mut memory).unwrap().into());
}

/// Checks a case on every level: the weights as they are against the truth, other forms against the bits of these.
pub fn check(case: &Case) {
    let operands = case.operands();
    let epilogue = operands.epilogue();
    let expected = [false, true].map(|pairs| operands.expected(pairs));
    let (a, w) = (operands.a.widened(), BothOrders::new(Stored::of(Dtype::F32, &operands.weights.mat()), 0, 0));
    every_level(|engine| {
        let mut first: Option<Vec<u32>> = None;
        let pairs = in_pairs(engine, case.types);
        every_form(engine, &operands.weights, |form, weights| {
            let what = format!("{} {form} {case:?}", engine.level());
            let mut out = case.unwritten();
            product(engine, operands.a.matrix(), weights, &epilogue, out.view_mut());
            out.assert_guards();
            let [expected, bounds] = &expected[usize::from(pairs)];
            let first = first.get_or_insert_with(|| {
                bound::assert_within(&what, &out.mat(), expected, bounds);
                out.bits()
            });
            assert_eq!(&out.bits(), first, "the form of the weights shows: {what}");
        });
        if !pairs {
            let mut out = case.unwritten();
            product(engine, a.matrix(), &w.plain(Order::OutIn).into(), &epilogue, out.view_mut());
            assert_eq!(Some(out.bits()), first, "not the product of the widened: {} {case:?}", engine.level());
        }
    });
}
