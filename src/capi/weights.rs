//! Weights of a linear layer as C has them, and their packing.

use core::ffi::c_void;

use super::engine::{Engine, Runs};
use super::fault::{Fault, Result};
use super::level::{code, level, unknown};
use super::matrix::{Numbers, RawMat, dtype};
use super::raw::{self, Region, apart, reserved};
use crate::element::Dtype;
use crate::error::Error;
use crate::kernel::rhs::{Order, Packed as Panels, Plain};
use crate::ops::weights as ops;
use crate::scratch::with_slack;
use crate::simd::Level;

const OUT_IN: i32 = 0;
const IN_OUT: i32 = 1;
const PACKED: i32 = 2;

/// `selfattn_weights`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Weights {
    pub data: *const c_void,
    pub n: usize,
    pub k: usize,
    pub stride: usize,
    pub dtype: i32,
    pub order: i32,
    pub level: i32,
    pub reserved: i32,
}

/// What is known of weights besides their numbers.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub n: usize,
    pub k: usize,
    pub dtype: Dtype,
    pub kind: Kind,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Plain(Order),
    Packed(Level),
}

impl Form {
    fn new(weights: &Weights) -> Result<Self> {
        reserved(weights.reserved)?;
        let kind = match weights.order {
            OUT_IN => Kind::Plain(Order::OutIn),
            IN_OUT => Kind::Plain(Order::InOut),
            PACKED => Kind::Packed(level("level", weights.level)?),
            order => return Err(unknown("order", order)),
        };
        if matches!(kind, Kind::Plain(_)) && weights.level != 0 {
            return Err(Error::Value { arg: "level" }.into());
        }
        Ok(Self { n: weights.n, k: weights.k, dtype: dtype("dtype", weights.dtype)?, kind })
    }

    /// Of weights that need not be there yet.
    ///
    /// # Safety
    /// `weights` is null or points to one.
    pub unsafe fn read(weights: *const Weights) -> Result<Self> {
        // SAFETY: the same contract.
        Self::new(&unsafe { raw::read("weights", weights) }?)
    }

    /// The order in which they stand, unless they are packed.
    fn order(&self) -> Result<Order> {
        match self.kind {
            Kind::Plain(order) => Ok(order),
            Kind::Packed(_) => Err(Error::Value { arg: "order" }.into()),
        }
    }
}

/// Weights, checked.
#[derive(Clone, Copy)]
pub(super) enum RawWeights {
    Plain(RawMat, Order),
    Packed { numbers: Numbers, level: Level, form: [usize; 2] },
}

impl RawWeights {
    /// # Safety
    /// `weights` is null or points to one.
    pub unsafe fn new(weights: *const Weights) -> Result<Self> {
        // SAFETY: the same contract.
        let weights = unsafe { raw::read("weights", weights) }?;
        let Form { n, k, dtype, kind } = Form::new(&weights)?;
        let Weights { data, stride, .. } = weights;
        let plain = |rows, cols| RawMat::from_parts("weights", dtype, data, [rows, cols, stride]);
        Ok(match kind {
            Kind::Plain(order @ Order::OutIn) => Self::Plain(plain(n, k)?, order),
            Kind::Plain(order @ Order::InOut) => Self::Plain(plain(k, n)?, order),
            Kind::Packed(level) => {
                Self::Packed { numbers: Numbers::new("weights", dtype, data, stride)?, level, form: [n, k] }
            }
        })
    }

    pub fn region(&self) -> Region {
        match self {
            Self::Plain(mat, _) => mat.region(),
            Self::Packed { numbers, .. } => numbers.region(),
        }
    }

    /// # Safety
    /// As `Raw::read`.
    pub unsafe fn view<'a>(self) -> Result<ops::Weights<'a>> {
        let (numbers, level, form) = match self {
            // SAFETY: the same contract.
            Self::Plain(..) => return Ok(unsafe { self.plain() }?.into()),
            Self::Packed { numbers, level, form } => (numbers, level, form),
        };
        // SAFETY: the same contract, in all arms.
        let panels = unsafe {
            match numbers {
                Numbers::F32(array) => Panels::F32(array.read()),
                Numbers::F16(array) => Panels::F16(array.read()),
                Numbers::Bf16(array) => Panels::Bf16(array.read()),
            }
        };
        let packed = ops::Packed::from_panels(level, panels, form);
        Ok(packed.ok_or(Error::Value { arg: "stride" })?.into())
    }

    /// Weights that must not be packed.
    ///
    /// # Safety
    /// As `Raw::read`.
    pub unsafe fn plain<'a>(self) -> Result<Plain<'a>> {
        match self {
            // SAFETY: the same contract.
            Self::Plain(mat, order) => Ok(Plain::new(unsafe { mat.view() }?, order)),
            Self::Packed { .. } => Err(Error::Value { arg: "order" }.into()),
        }
    }
}

/// Bytes of memory for packed weights.
fn bytes(level: Level, form: &Form) -> Result<usize> {
    form.order()?;
    Ok(with_slack(ops::Packed::add_bytes_of(level, form.dtype, [form.n, form.k], 0)?))
}

/// Packed weights as C keeps them.
fn packed_struct(packed: &ops::Packed<'_>) -> Weights {
    let (data, stride): (*const c_void, usize) = match packed.panels {
        Panels::F32(panels) => (panels.as_ptr().cast(), panels.len()),
        Panels::F16(panels) => (panels.as_ptr().cast(), panels.len()),
        Panels::Bf16(panels) => (panels.as_ptr().cast(), panels.len()),
    };
    let dtype = match packed.dtype() {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Bf16 => 2,
    };
    Weights {
        data,
        n: packed.n(),
        k: packed.k(),
        stride,
        dtype,
        order: PACKED,
        level: code(packed.level()),
        reserved: 0,
    }
}

export! {
    fn packed_bytes(engine: *const Engine, weights: *const Weights, out: *mut usize) {
        // SAFETY: the header's word for both.
        let (runs, form) = unsafe { (Runs::read(engine)?, Form::read(weights)?) };
        let to = raw::place("bytes", out)?;
        let bytes = bytes(runs.level(), &form)?;
        // SAFETY: the header's word for `bytes`.
        unsafe { to.put(bytes) };
        Ok(())
    }

    fn pack(
        engine: *const Engine,
        weights: *const Weights,
        memory: *mut c_void,
        memory_bytes: usize,
        packed: *mut Weights,
    ) {
        // SAFETY: the header's word for both.
        let (runs, raw_weights) = unsafe { (Runs::read(engine)?, RawWeights::new(weights)?) };
        let (memory, to) = (raw::buffer("memory", memory, memory_bytes)?, raw::place("packed", packed)?);
        apart(&[memory.region()], &[raw_weights.region()])?;
        // SAFETY: the header's word for the numbers; the memory lies apart from them.
        let (weights, memory) = unsafe { (raw_weights.plain()?, memory.write()) };
        let packed = ops::Packed::new(runs.level(), weights, memory)
            .map_err(|error| Fault::from(error).renamed(&[["scratch", "memory"]]))?;
        // SAFETY: the header's word for `packed`.
        unsafe { to.put(packed_struct(&packed)) };
        Ok(())
    }
}
