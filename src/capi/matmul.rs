//! Matrix times weights.

use core::ffi::c_void;

use super::engine::{Engine, Runs};
use super::fault::Result;
use super::level::unknown;
use super::matrix::{Mat, MatMut, RawMat, RawMatMut, dtype};
use super::raw::{self, Raw, Region, apart, region_of, reserved};
use super::sized::{self, Sized as _};
use super::weights::{Form, Kind, RawWeights, Weights};
use crate::kernel::Activation;
use crate::kernel::matmul::{Size, Types};
use crate::kernel::output;
use crate::scratch;

/// `selfattn_epilogue`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Epilogue {
    pub size: usize,
    pub bias: *const f32,
    pub bias_len: usize,
    pub residual: *const Mat,
    pub activation: i32,
    pub reserved: i32,
}

// SAFETY: `size` is first; zeros are no bias and no residual.
unsafe impl sized::Sized for Epilogue {
    const FIRST: usize = size_of::<Self>();
}

/// The activation of a number.
pub(super) fn activation(code: i32) -> Result<Activation> {
    match code {
        0 => Ok(Activation::None),
        1 => Ok(Activation::Gelu),
        2 => Ok(Activation::GeluTanh),
        3 => Ok(Activation::Relu),
        code => Err(unknown("activation", code)),
    }
}

/// An epilogue, checked.
#[derive(Clone, Copy, Default)]
struct RawEpilogue {
    bias: Option<Raw<f32>>,
    residual: Option<RawMat>,
    activation: Activation,
}

impl RawEpilogue {
    /// # Safety
    /// `epilogue` is null or points to one that is as the header says.
    unsafe fn new(epilogue: *const Epilogue) -> Result<Self> {
        // SAFETY: the same contract.
        let Some(given) = (unsafe { Epilogue::read(epilogue, "epilogue") })? else { return Ok(Self::default()) };
        reserved(given.reserved)?;
        // SAFETY: the same contract.
        let residual = || unsafe { RawMat::new("residual", given.residual) };
        Ok(Self {
            bias: Raw::optional("bias", given.bias, given.bias_len)?,
            residual: if given.residual.is_null() { None } else { Some(residual()?) },
            activation: activation(given.activation)?,
        })
    }

    fn regions(&self) -> [Region; 2] {
        [region_of(self.bias), self.residual.map_or(Region::NONE, |mat| mat.region())]
    }

    /// # Safety
    /// As `Raw::read`.
    unsafe fn view<'a>(self) -> Result<output::Epilogue<'a>> {
        // SAFETY: the same contract, for both.
        let bias = self.bias.map(|bias| unsafe { bias.read() });
        // SAFETY: as above.
        let residual = self.residual.map(|mat| unsafe { mat.floats("residual") }).transpose()?;
        Ok(output::Epilogue { bias, activation: self.activation, residual })
    }
}

export! {
    fn matmul_scratch(
        engine: *const Engine,
        m: usize,
        a_dtype: i32,
        weights: *const Weights,
        bytes: *mut usize,
    ) {
        // SAFETY: the header's word for both.
        let (runs, form) = unsafe { (Runs::read(engine)?, Form::read(weights)?) };
        let to = raw::place("bytes", bytes)?;
        let plain = matches!(form.kind, Kind::Plain(_));
        let types = Types { a: dtype("a_dtype", a_dtype)?, b: form.dtype, plain };
        let lens = runs.engine().product_lens(Size { m, n: form.n, k: form.k }, types)?;
        let bytes = scratch::bytes(lens)?;
        // SAFETY: the header's word for `bytes`.
        unsafe { to.put(bytes) };
        Ok(())
    }

    fn matmul(
        engine: *const Engine,
        a: *const Mat,
        weights: *const Weights,
        epilogue: *const Epilogue,
        out: *const MatMut,
        scratch: *mut c_void,
        scratch_bytes: usize,
    ) {
        // SAFETY: the header's word for each.
        let (runs, a, weights, epilogue, out) = unsafe {
            let epilogue = RawEpilogue::new(epilogue)?;
            (Runs::read(engine)?, RawMat::new("a", a)?, RawWeights::new(weights)?, epilogue, RawMatMut::new("out", out)?)
        };
        let scratch = raw::buffer("scratch", scratch, scratch_bytes)?;
        let [bias, residual] = epilogue.regions();
        apart(&[out.region(), scratch.region()], &[a.region(), weights.region(), bias, residual])?;
        // SAFETY: the header's word for the arrays; what is written lies apart.
        let (a, weights, epilogue, out, scratch) =
            unsafe { (a.view()?, weights.view()?, epilogue.view()?, out.view()?, scratch.write()) };
        Ok(runs.engine().matmul(a, &weights, &epilogue, out, scratch)?)
    }

    fn gemv(
        engine: *const Engine,
        weights: *const Weights,
        x: *const f32,
        x_len: usize,
        y: *mut f32,
        y_len: usize,
    ) {
        // SAFETY: the header's word for both.
        let (runs, weights) = unsafe { (Runs::read(engine)?, RawWeights::new(weights)?) };
        let (x, y) = (Raw::new("x", x, x_len)?, Raw::new("y", y.cast_const(), y_len)?);
        apart(&[y.region()], &[x.region(), weights.region()])?;
        // SAFETY: the header's word for the arrays; what is written lies apart.
        let (weights, x, y) = unsafe { (weights.plain()?, x.read(), y.write()) };
        Ok(runs.engine().gemv(weights, x, y)?)
    }
}
