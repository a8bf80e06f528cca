//! Rounding error bounds for f32 arithmetic, after Higham, "Accuracy and Stability of Numerical Algorithms" (2002). Each is
//! derived for the method, not measured: it holds for every order of summation, with and without fused multiply-adds. Those of
//! attention are in `attend/bound.rs`.

use selfattn::Activation;

use super::oracle::{self, Mat};

/// Unit roundoff of f32: an operation rounds by at most this much, relatively.
pub const U: f64 = 1.0 / (1_u64 << 24) as f64;

/// What rounding into the subnormals costs at most, absolutely: the smallest subnormal, 2^-149. (Half of it to nearest; the
/// whole pays for double rounding in a scaled result.)
pub const TINY: f64 = f32::MIN_POSITIVE as f64 / (1_u64 << 23) as f64;

/// Relative error of `exp` and `exp2` by a polynomial in Horner's scheme, |r| <= 0.35: the last sum rounds by 1 U, the
/// product in it by up to 0.5 U of the result, what it multiplies by 1.2 U, the reduced argument by 0.5 U, the polynomial by
/// 0.1 U. Together 3.3 U.
pub const EXP: f64 = 3.3 * U;

/// gamma_n = n u / (1 - n u): n roundings in a row change a value by at most this factor (Higham, lemma 3.1).
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * U;
    assert!(nu < 0.5, "the bound means nothing for {n} roundings");
    nu / (1.0 - nu)
}

/// How far a dot product of length k may be from the true one (Higham, section 3.1): gamma_k times the sum of the magnitudes
/// of its terms. Every term may also underflow.
pub fn dot(k: usize, magnitudes: f64) -> f64 {
    gamma(k) * magnitudes + k as f64 * TINY
}

/// As [`dot`], in pairs of bf16 by the CPU's own instruction, for operands that are [`flushed`].
///
/// A product of two bf16 has 16 bits, so it is exact unless it underflows. Two sums are left in a pair: of the products first
/// or one after the other, each rounded or not, so a term takes part in no more roundings than there are terms. What comes out
/// subnormal counts as 0, which costs less than the smallest normal number: for each product and each sum. BFDOT of AArch64 rounds
/// to odd, which is off by up to twice as much as to nearest.
pub fn dot_of_pairs(k: usize, magnitudes: f64) -> f64 {
    let k = k.next_multiple_of(2);
    gamma(k * if cfg!(target_arch = "aarch64") { 2 } else { 1 }) * magnitudes
        + 2.0 * k as f64 * f64::from(f32::MIN_POSITIVE)
}

/// An operand of that instruction: what is subnormal counts as 0.
pub fn flushed(x: f64) -> f64 {
    if x.abs() < f32::MIN_POSITIVE.into() { 0.0 } else { x }
}

/// The steepest slope of either form of GELU: 1.1290 at sqrt(2) for the erf form, 1.1291 for the other.
const GELU_SLOPE: f64 = 1.13;

/// Relative error of erf, or of tanh, with the rounding of its argument: a quotient of polynomials in x^2 whose terms are all
/// positive, so that each term of degree 5 takes part in no more than 11 roundings above and 11 below; then two for the
/// square, two for product and quotient, one for the argument (|x f'(x)| < 1/2), less than one for the fit.
pub const ERF_OR_TANH: f64 = 29.0 * U;

/// How far an activation's result may be off, given its true argument and how far the computed argument is from it.
pub fn activation(activation: Activation, x: f64, error: f64) -> f64 {
    match activation {
        Activation::None | Activation::Relu => error,
        // x/2 (1 + f): f's error, one rounding of the product and one of the sum, each at most |x|.
        Activation::Gelu | Activation::GeluTanh => {
            GELU_SLOPE * error + (x.abs() + error) * (0.5 * ERF_OR_TANH + 2.0 * U) + TINY
        }
    }
}

/// What the rest of softmax adds to the error of one exponential, relatively: the sum rounds with each term, and again each
/// time the maximum has moved, with a factor that is itself an exponential.
pub fn softmax_sum(terms: usize, per_move: usize) -> f64 {
    let moves = terms.div_ceil(per_move);
    gamma(terms + moves) + moves as f64 * (EXP + U)
}

/// Floats in the narrowest register: each moves a lane's maximum at most once. The first has no sum to rescale yet, but the
/// lanes are brought to one maximum at the end.
pub const NARROWEST: usize = 4;

/// How far each weight of a softmax row may be off.
///
/// The argument `x - max` rounds, which changes the exponential by U times that distance; when the maximum moves the
/// distances add up to the same. The sum has the mean of these errors, its reciprocal and the product round.
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let weights = oracle::softmax(x);
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let argument = |i: usize| if weights[i] > 0.0 { U * (max - x[i]) } else { 0.0 };
    let mean: f64 = (0..x.len()).map(|i| weights[i] * argument(i)).sum();
    let common = mean + EXP + softmax_sum(x.len(), NARROWEST) + 2.0 * U;
    (0..x.len()).map(|i| weights[i] * (argument(i) + common) * SECOND_ORDER + 2.0 * TINY).collect()
}

/// Products of errors: where the bounds are below 1 %, as they are here, these add no more than that.
pub const SECOND_ORDER: f64 = 1.01;

/// How far each element of a layer-normalised row may be off.
pub fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let n = x.len();
    let (mean, variance) = oracle::mean_and_variance(x);
    let of_magnitudes = x.iter().map(|x| x.abs()).sum::<f64>() / n as f64;
    // A sum and a division.
    let off_mean = gamma(n + 1) * of_magnitudes + TINY;
    // Around a mean that is off by e, the mean square is the variance plus e^2. Differences, squares, the sum, the division
    // and the addition of eps round.
    let shift = off_mean * off_mean;
    let rounding = gamma(n + 5) * (variance + shift + eps) + TINY;
    let (least, most) = (variance + eps - rounding, variance + eps + shift + rounding);
    let scale = 1.0 / (variance + eps).sqrt();
    // A root and a reciprocal round too.
    let off_scale = (1.0 / least.sqrt() - scale).max(scale - 1.0 / most.sqrt()) + gamma(2) / least.sqrt();
    let each = |((x, w), b): ((&f64, &f64), &f64)| {
        let centered = (x - mean).abs();
        let off_centered = off_mean + U * (centered + off_mean);
        let product = w.abs() * centered * scale;
        let off = w.abs() * (centered * off_scale + off_centered * (scale + off_scale));
        let off = off + gamma(2) * (product + off) + 2.0 * TINY;
        off + U * ((x - mean) * scale * w + b).abs() + U * off
    };
    x.iter().zip(weight).zip(bias).map(each).collect()
}

/// Fails where `got` is farther from `expected` than `bound` allows, or is not finite where `expected` is, or the reverse.
#[track_caller]
pub fn assert_within(what: &str, got: &Mat, expected: &Mat, bound: &Mat) {
    assert_eq!((got.rows, got.cols), (expected.rows, expected.cols), "{what}: shape");
    for i in 0..got.rows {
        for j in 0..got.cols {
            let (g, e, b) = (got[(i, j)], expected[(i, j)], bound[(i, j)]);
            let same = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= b;
            assert!(same, "element ({i}, {j}) is {g:e}, not {e:e}: off by {:e}, allowed {b:e}: {what}", (g - e).abs());
        }
    }
}

/// The largest distance between two matrices, element by element; NaN if there is one in either.
pub fn max_error(got: &Mat, expected: &Mat) -> f64 {
    assert_eq!((got.rows, got.cols), (expected.rows, expected.cols));
    // Equal infinities are not apart.
    let errors = got.data.iter().zip(&expected.data).map(|(g, e)| if g == e { 0.0 } else { (g - e).abs() });
    errors.fold(0.0, |max, e| if e > max || e.is_nan() { e } else { max })
}
