//! Matrices as C has them.

use core::ffi::c_void;

use half::{bf16, f16};

use super::fault::{Fault, Result};
use super::level::unknown;
use super::raw::{self, Raw, Region, reserved};
use crate::element::{Dtype, Element};
use crate::error::Error;
use crate::view::{self, MatRef, Matrix};

/// `selfattn_mat`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Mat {
    pub data: *const c_void,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub dtype: i32,
    pub reserved: i32,
}

/// `selfattn_mat_mut`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MatMut {
    pub data: *mut f32,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
}

/// The storage type of a number.
pub(super) fn dtype(arg: &'static str, code: i32) -> Result<Dtype> {
    match code {
        0 => Ok(Dtype::F32),
        1 => Ok(Dtype::F16),
        2 => Ok(Dtype::Bf16),
        code => Err(unknown(arg, code)),
    }
}

/// An array of one of the storage types.
#[derive(Clone, Copy)]
pub(super) enum Numbers {
    F32(Raw<f32>),
    F16(Raw<f16>),
    Bf16(Raw<bf16>),
}

impl Numbers {
    pub fn new(arg: &'static str, dtype: Dtype, data: *const c_void, len: usize) -> Result<Self> {
        Ok(match dtype {
            Dtype::F32 => Self::F32(Raw::new(arg, data.cast(), len)?),
            Dtype::F16 => Self::F16(Raw::new(arg, data.cast(), len)?),
            Dtype::Bf16 => Self::Bf16(Raw::new(arg, data.cast(), len)?),
        })
    }

    pub fn region(&self) -> Region {
        match self {
            Self::F32(array) => array.region(),
            Self::F16(array) => array.region(),
            Self::Bf16(array) => array.region(),
        }
    }
}

/// How an array is a matrix.
#[derive(Clone, Copy)]
struct Form {
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Form {
    /// And the elements that it takes.
    fn new(arg: &'static str, rows: usize, cols: usize, stride: usize) -> Result<(Self, usize)> {
        let stride = if stride == 0 { cols } else { stride };
        if stride < cols {
            return Err(Error::Shape { arg, expected: cols, got: stride }.into());
        }
        let len = if cols == 0 { 0 } else { view::span(arg, rows, cols, stride)? };
        Ok((Self { rows, cols, stride }, len))
    }

    /// # Safety
    /// As `Raw::read`.
    unsafe fn view<'a, E: Element>(self, array: Raw<E>) -> Result<MatRef<'a, E>> {
        let Self { rows, cols, stride } = self;
        let stride = if cols == 0 { 0 } else { stride };
        // SAFETY: the same contract.
        Ok(MatRef::with_stride(unsafe { array.read() }, rows, cols, stride)?)
    }
}

/// A matrix to read, checked.
#[derive(Clone, Copy)]
pub(super) struct RawMat {
    form: Form,
    numbers: Numbers,
}

impl RawMat {
    /// # Safety
    /// `mat` is null or points to one.
    pub unsafe fn new(arg: &'static str, mat: *const Mat) -> Result<Self> {
        // SAFETY: the same contract.
        let Mat { data, rows, cols, stride, dtype: code, reserved: rest } = unsafe { raw::read(arg, mat) }?;
        reserved(rest)?;
        Self::from_parts(arg, dtype(arg, code)?, data, [rows, cols, stride])
    }

    pub fn from_parts(
        arg: &'static str,
        dtype: Dtype,
        data: *const c_void,
        [rows, cols, stride]: [usize; 3],
    ) -> Result<Self> {
        let (form, len) = Form::new(arg, rows, cols, stride)?;
        Ok(Self { form, numbers: Numbers::new(arg, dtype, data, len)? })
    }

    pub fn region(&self) -> Region {
        self.numbers.region()
    }

    /// # Safety
    /// As `Raw::read`.
    pub unsafe fn view<'a>(self) -> Result<Matrix<'a>> {
        // SAFETY: the same contract, in all arms.
        Ok(unsafe {
            match self.numbers {
                Numbers::F32(array) => Matrix::F32(self.form.view(array)?),
                Numbers::F16(array) => Matrix::F16(self.form.view(array)?),
                Numbers::Bf16(array) => Matrix::Bf16(self.form.view(array)?),
            }
        })
    }

    /// As `view`, where only f32 will do; `arg` is what it is called.
    ///
    /// # Safety
    /// As `Raw::read`.
    pub unsafe fn floats<'a>(self, arg: &'static str) -> Result<MatRef<'a>> {
        // SAFETY: the same contract.
        match unsafe { self.view() }? {
            Matrix::F32(view) => Ok(view),
            _ => Err(Fault::NotF32(arg)),
        }
    }
}

/// A matrix to write, checked.
#[derive(Clone, Copy)]
pub(super) struct RawMatMut {
    form: Form,
    array: Raw<f32>,
}

impl RawMatMut {
    /// # Safety
    /// `mat` is null or points to one.
    pub unsafe fn new(arg: &'static str, mat: *const MatMut) -> Result<Self> {
        // SAFETY: the same contract.
        let MatMut { data, rows, cols, stride } = unsafe { raw::read(arg, mat) }?;
        let (form, len) = Form::new(arg, rows, cols, stride)?;
        Ok(Self { form, array: Raw::new(arg, data, len)? })
    }

    pub fn region(&self) -> Region {
        self.array.region()
    }

    /// # Safety
    /// As `Raw::write`.
    pub unsafe fn view<'a>(self) -> Result<view::MatMut<'a>> {
        let Form { rows, cols, stride } = self.form;
        let stride = if cols == 0 { 0 } else { stride };
        // SAFETY: the same contract.
        Ok(view::MatMut::with_stride(unsafe { self.array.write() }, rows, cols, stride)?)
    }
}
