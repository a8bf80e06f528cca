//! Keys and values of the tokens so far: a struct of the caller's, checked anew at every use.

use core::ffi::c_void;

use half::{bf16, f16};

use super::fault::{Fault, Result};
use super::level::unknown;
use super::matrix::{Mat, Numbers, RawMat, dtype};
use super::raw::{self, Raw, Region, apart};
use crate::element::{Dtype, Element};
use crate::error::Error;
use crate::kernel::attention::head::Stored;
use crate::ops::attention::KvCache;
use crate::ops::attention::cache::Layout;
use crate::view::MatRef;

/// `selfattn_kv`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Kv {
    pub memory: *mut c_void,
    pub memory_bytes: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub value_dim: usize,
    pub capacity: usize,
    pub first: usize,
    pub len: usize,
    pub dtype: i32,
    pub is_ring: i32,
}

impl Kv {
    fn dtype(&self) -> Result<Dtype> {
        dtype("dtype", self.dtype)
    }

    fn layout(&self) -> Result<Layout> {
        let is_ring = match self.is_ring {
            0 => false,
            1 => true,
            code => return Err(unknown("is_ring", code)),
        };
        let value_dim = if self.value_dim == 0 { self.head_dim } else { self.value_dim };
        let Self { kv_heads, head_dim, capacity, first, len, .. } = *self;
        let layout = Layout { heads: kv_heads, dims: [head_dim, value_dim], capacity, is_ring, first, len };
        layout.check(layout.elements()?)?;
        let first_fits = first == 0 || is_ring && first < capacity;
        match [("first", first_fits), ("len", len <= capacity)].into_iter().find(|(_, fits)| !fits) {
            Some((arg, _)) => Err(Error::Value { arg }.into()),
            None => Ok(layout),
        }
    }

    /// Elements and bytes of its memory.
    fn lens(&self) -> Result<(usize, usize)> {
        let elements = self.layout()?.elements()?;
        let bytes = elements.checked_mul(self.dtype()?.size()).filter(|bytes| isize::try_from(*bytes).is_ok());
        Ok((elements, bytes.ok_or(Error::Overflow { arg: "capacity" })?))
    }
}

/// A cache, checked.
pub(super) struct RawKv {
    layout: Layout,
    memory: Numbers,
}

impl RawKv {
    /// # Safety
    /// `cache` is null or points to one.
    pub unsafe fn new(cache: *const Kv) -> Result<Self> {
        // SAFETY: the same contract.
        let cache = unsafe { raw::read("cache", cache) }?;
        let (elements, needed) = cache.lens()?;
        if cache.memory_bytes < needed {
            return Err(Fault::Short { arg: "memory", needed, got: cache.memory_bytes });
        }
        let memory = Numbers::new("memory", cache.dtype()?, cache.memory, elements)?;
        Ok(Self { layout: cache.layout()?, memory })
    }

    pub fn region(&self) -> Region {
        self.memory.region()
    }

    /// How many heads, and what they store.
    ///
    /// # Safety
    /// As `Raw::read`.
    pub unsafe fn stored<'a>(&self) -> Result<(usize, Stored<'a>)> {
        // SAFETY: the same contract, in all arms.
        let stored = unsafe {
            match self.memory {
                Numbers::F32(memory) => self.layout.stored_in::<f32>(memory.read()),
                Numbers::F16(memory) => self.layout.stored_in::<f16>(memory.read()),
                Numbers::Bf16(memory) => self.layout.stored_in::<bf16>(memory.read()),
            }
        };
        Ok((self.layout.heads, stored?))
    }

    /// Appends, and says where that leaves the cache.
    ///
    /// # Safety
    /// As `Raw::write`.
    unsafe fn append(&self, k: MatRef<'_>, v: MatRef<'_>) -> Result<Layout> {
        // SAFETY: the same contract, in all arms.
        unsafe {
            match self.memory {
                Numbers::F32(memory) => append(memory, self.layout, k, v),
                Numbers::F16(memory) => append(memory, self.layout, k, v),
                Numbers::Bf16(memory) => append(memory, self.layout, k, v),
            }
        }
    }
}

/// # Safety
/// As `Raw::write`.
unsafe fn append<E: Element>(memory: Raw<E>, layout: Layout, k: MatRef<'_>, v: MatRef<'_>) -> Result<Layout> {
    // SAFETY: the same contract.
    let mut cache = KvCache::with_layout(unsafe { memory.write() }, layout)?;
    cache.append(k, v)?;
    Ok(cache.layout())
}

export! {
    fn kv_bytes(cache: *const Kv, bytes: *mut usize) {
        // SAFETY: the header's word for `cache`.
        let cache = unsafe { raw::read("cache", cache) }?;
        let to = raw::place("bytes", bytes)?;
        let (_, bytes) = cache.lens()?;
        // SAFETY: the header's word for `bytes`.
        unsafe { to.put(bytes) };
        Ok(())
    }

    fn kv_append(cache: *mut Kv, k: *const Mat, v: *const Mat) {
        // SAFETY: the header's word for each.
        let (raw_cache, k, v) = unsafe { (RawKv::new(cache)?, RawMat::new("k", k)?, RawMat::new("v", v)?) };
        apart(&[raw_cache.region()], &[k.region(), v.region()])?;
        // SAFETY: the header's word for the arrays; the cache's memory lies apart.
        let layout = unsafe { raw_cache.append(k.floats("k")?, v.floats("v")?) }?;
        // SAFETY: `RawKv::new` has checked the pointer.
        unsafe { ((*cache).first, (*cache).len) = (layout.first, layout.len) };
        Ok(())
    }
}
