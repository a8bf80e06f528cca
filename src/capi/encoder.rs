//! An encoder in the caller's memory.

use core::ffi::c_void;

use super::config::{Config, Room};
use super::engine::{Engine, Runs};
use super::fault::{Fault, Result};
use super::matrix::{MatMut, RawMatMut};
#[cfg(feature = "alloc")]
use super::owned::Owned;
use super::raw::{self, Raw, apart, region_of};
use super::sized::{self, Sized as _};
use crate::block;
use crate::error::Error;
use crate::weights::{EncoderConfig, SafeTensors};

/// `selfattn_encoder`, opaque to C. It stands at the start of its memory, the list of its layers behind it.
#[repr(C)]
pub struct Encoder {
    /// `MAGIC` while it lives.
    magic: usize,
    /// It lives no longer than what it borrows: the header's word.
    inner: block::Encoder<'static, 'static>,
    #[cfg(feature = "alloc")]
    owned: Option<Owned>,
}

type Layer = block::Layer<'static>;

const MAGIC: usize = 0x5e1f_a77e;

/// The alignment of its memory, and where the layers begin.
const ALIGN: usize =
    if align_of::<Encoder>() > align_of::<Layer>() { align_of::<Encoder>() } else { align_of::<Layer>() };
const LAYERS: usize = size_of::<Encoder>().next_multiple_of(ALIGN);

/// Bytes of memory, whatever its alignment.
pub(super) fn bytes(config: &EncoderConfig) -> Result<usize> {
    let layers = config.layers.checked_mul(size_of::<Layer>());
    let bytes = layers.and_then(|layers| layers.checked_add(const { LAYERS.saturating_add(ALIGN) }));
    bytes.filter(|bytes| isize::try_from(*bytes).is_ok()).ok_or(Error::Overflow { arg: "layers" }.into())
}

/// Makes an encoder.
///
/// # Safety
/// `memory` is writable, `weights` are readable and apart from it, both as long as the encoder lives.
pub(super) unsafe fn place(config: &EncoderConfig, weights: &'static [u8], memory: Raw<u8>) -> Result<*mut Encoder> {
    let (needed, got) = (bytes(config)?, memory.len());
    if got < needed {
        return Err(Fault::Short { arg: "memory", needed, got });
    }
    let start = memory.start();
    let start = start.wrapping_add(start.align_offset(ALIGN));
    let layers = start.wrapping_add(LAYERS).cast::<Layer>();
    for i in 0..config.layers {
        // SAFETY: there is room for as many, aligned: `bytes`.
        unsafe { layers.wrapping_add(i).write(Layer::default()) };
    }
    // SAFETY: they have just been written; the memory is the encoder's from now on.
    let layers = unsafe { core::slice::from_raw_parts_mut(layers, config.layers) };
    let renamed = |error| Fault::from(error).renamed(&[["bytes", "weights"]]);
    let tensors = SafeTensors::new(weights).map_err(renamed)?;
    let inner = block::Encoder::bind(config, &tensors, layers).map_err(renamed)?;
    let encoder = Encoder {
        magic: MAGIC,
        inner,
        #[cfg(feature = "alloc")]
        owned: None,
    };
    let to = start.cast::<Encoder>();
    // SAFETY: there is room for it before the layers, aligned: `bytes`.
    unsafe { to.write(encoder) };
    Ok(to)
}

impl Encoder {
    /// Whether there is one at this place.
    ///
    /// # Safety
    /// `this` is null or points to readable memory as large as an encoder.
    pub(super) unsafe fn check(this: *const Self) -> Result<()> {
        if this.is_null() {
            return Err(Fault::Null("encoder"));
        }
        // SAFETY: aligned, and the first field is a number.
        if this.is_aligned() && unsafe { this.cast::<usize>().read() } == MAGIC {
            Ok(())
        } else {
            Err(Fault::Handle("encoder"))
        }
    }

    /// # Safety
    /// As `check`; nobody writes to it for `'a`.
    unsafe fn at<'a>(this: *const Self) -> Result<&'a block::Encoder<'static, 'static>> {
        // SAFETY: the same contract; `check` says that it is one.
        unsafe {
            Self::check(this)?;
            Ok(&(*this).inner)
        }
    }

    /// Has it keep what it borrows.
    #[cfg(feature = "alloc")]
    pub(super) fn keep(&mut self, owned: Owned) {
        self.owned = Some(owned);
    }

    /// What it kept, which it no longer may use; `None` if it kept nothing.
    #[cfg(feature = "alloc")]
    pub(super) fn end(&mut self) -> Option<Owned> {
        let owned = self.owned.take()?;
        self.magic = 0;
        Some(owned)
    }
}

/// `selfattn_batch`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Batch {
    pub size: usize,
    pub ids: *const u32,
    pub ids_len: usize,
    pub lengths: *const usize,
    pub lengths_len: usize,
    pub type_ids: *const u32,
    pub type_ids_len: usize,
}

// SAFETY: `size` is first; zeros are no arrays.
unsafe impl sized::Sized for Batch {
    const FIRST: usize = size_of::<Self>();
}

/// What a forward pass is given besides its encoder, checked and borrowed.
struct Call<'a> {
    runs: Runs,
    batch: block::Batch<'a>,
    out: crate::view::MatMut<'a>,
    scratch: &'a mut [u8],
}

impl Call<'_> {
    /// `name` is what the output is called.
    ///
    /// # Safety
    /// All is as the header says.
    unsafe fn new(
        engine: *const Engine,
        batch: *const Batch,
        (name, out): (&'static str, *const MatMut),
        scratch: (*mut c_void, usize),
    ) -> Result<Self> {
        // SAFETY: the header's word for each.
        let (runs, batch, out) =
            unsafe { (Runs::read(engine)?, Batch::need(batch, "batch")?, RawMatMut::new(name, out)?) };
        let ids = Raw::new("ids", batch.ids, batch.ids_len)?;
        let lengths = Raw::new("lengths", batch.lengths, batch.lengths_len)?;
        let type_ids = Raw::optional("type_ids", batch.type_ids, batch.type_ids_len)?;
        let scratch = raw::buffer("scratch", scratch.0, scratch.1)?;
        apart(&[out.region(), scratch.region()], &[ids.region(), lengths.region(), region_of(type_ids)])?;
        // SAFETY: the header's word for the arrays; what is written lies apart.
        unsafe {
            let batch = block::Batch::new(ids.read(), lengths.read())?;
            let batch = match type_ids {
                Some(type_ids) => batch.with_type_ids(type_ids.read())?,
                None => batch,
            };
            Ok(Self { runs, batch, out: out.view()?, scratch: scratch.write() })
        }
    }
}

export! {
    fn encoder_bytes(config: *const Config, bytes: *mut usize) {
        // SAFETY: the header's word for `config`.
        let config = unsafe { Config::valid(config) }?;
        let to = raw::place("bytes", bytes)?;
        let bytes = self::bytes(&config)?;
        // SAFETY: the header's word for `bytes`.
        unsafe { to.put(bytes) };
        Ok(())
    }

    fn encoder_place(
        config: *const Config,
        weights: *const c_void,
        weights_bytes: usize,
        memory: *mut c_void,
        memory_bytes: usize,
        encoder: *mut *mut Encoder,
    ) {
        // SAFETY: the header's word for `config`.
        let config = unsafe { Config::valid(config) }?;
        let weights = Raw::new("weights", weights.cast::<u8>(), weights_bytes)?;
        let memory = raw::buffer("memory", memory, memory_bytes)?;
        let to = raw::place("encoder", encoder)?;
        apart(&[memory.region()], &[weights.region()])?;
        // SAFETY: the header's word for both, as long as the encoder lives; they lie apart.
        let placed = unsafe { place(&config, weights.read(), memory) }?;
        // SAFETY: the header's word for `encoder`.
        unsafe { to.put(placed) };
        Ok(())
    }

    fn encoder_config(encoder: *const Encoder, config: *mut Config) {
        // SAFETY: the header's word for both.
        let (encoder, to) = unsafe { (Encoder::at(encoder)?, Room::new(config)?) };
        // SAFETY: the header's word for `config`.
        unsafe { to.put(encoder.config()) };
        Ok(())
    }

    fn encoder_packed_bytes(engine: *const Engine, encoder: *const Encoder, bytes: *mut usize) {
        // SAFETY: the header's word for both.
        let (runs, encoder) = unsafe { (Runs::read(engine)?, Encoder::at(encoder)?) };
        let to = raw::place("bytes", bytes)?;
        let bytes = encoder.packed_bytes(runs.level())?;
        // SAFETY: the header's word for `bytes`.
        unsafe { to.put(bytes) };
        Ok(())
    }

    fn encoder_pack(
        engine: *const Engine,
        encoder: *mut Encoder,
        memory: *mut c_void,
        memory_bytes: usize,
    ) {
        // SAFETY: the header's word for both.
        let runs = unsafe {
            Encoder::check(encoder)?;
            Runs::read(engine)?
        };
        let memory = raw::buffer("memory", memory, memory_bytes)?;
        // SAFETY: `check` says that it is an encoder; no call uses it, and the memory is its own from now on: the header.
        let (encoder, memory) = unsafe { (&mut (*encoder).inner, memory.write()) };
        let packed = encoder.pack(runs.level(), memory);
        packed.map_err(|error| Fault::from(error).renamed(&[["scratch", "memory"]]))
    }

    fn encoder_scratch(engine: *const Engine, encoder: *const Encoder, tokens: usize, bytes: *mut usize) {
        // SAFETY: the header's word for both.
        let (runs, encoder) = unsafe { (Runs::read(engine)?, Encoder::at(encoder)?) };
        let to = raw::place("bytes", bytes)?;
        let bytes = encoder.scratch_bytes(&runs.engine(), tokens)?;
        // SAFETY: the header's word for `bytes`.
        unsafe { to.put(bytes) };
        Ok(())
    }

    fn encoder_forward(
        engine: *const Engine,
        encoder: *const Encoder,
        batch: *const Batch,
        hidden: *const MatMut,
        scratch: *mut c_void,
        scratch_bytes: usize,
    ) {
        // SAFETY: the header's word for each.
        let (encoder, call) = unsafe {
            (Encoder::at(encoder)?, Call::new(engine, batch, ("hidden", hidden), (scratch, scratch_bytes))?)
        };
        Ok(encoder.forward(&call.runs.engine(), &call.batch, call.out, call.scratch)?)
    }

    fn encoder_embed(
        engine: *const Engine,
        encoder: *const Encoder,
        batch: *const Batch,
        out: *const MatMut,
        scratch: *mut c_void,
        scratch_bytes: usize,
    ) {
        // SAFETY: the header's word for each.
        let (encoder, call) = unsafe {
            (Encoder::at(encoder)?, Call::new(engine, batch, ("out", out), (scratch, scratch_bytes))?)
        };
        Ok(encoder.embed(&call.runs.engine(), &call.batch, call.out, call.scratch)?)
    }
}
