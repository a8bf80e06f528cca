//! The options of attention as C has them.

use super::fault::{Fault, Result};
use super::level::unknown;
use super::raw::{Raw, Region, region_of};
use super::sized::{self, Sized as _};
use crate::error::Error;
use crate::ops::attention::{Attention, Bias, Mask, Sequences};

const CAUSAL: u32 = 1;
const SCALE: u32 = 2;
const WINDOW_LEFT: u32 = 4;
const WINDOW_RIGHT: u32 = 8;
const QUERY_OFFSET: u32 = 16;
const FLAGS: u32 = CAUSAL | SCALE | WINDOW_LEFT | WINDOW_RIGHT | QUERY_OFFSET;

const ONE: i32 = 0;
const PACKED: i32 = 1;
const PADDED: i32 = 2;
const OFFSETS: i32 = 3;

/// `selfattn_attention_options`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AttentionOptions {
    pub size: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub kv_heads: usize,
    pub value_dim: usize,
    pub flags: u32,
    pub scale: f32,
    pub softcap: f32,
    pub sequences: i32,
    pub window_left: usize,
    pub window_right: usize,
    pub query_offset: usize,
    pub key_block: usize,
    pub lengths: *const usize,
    pub lengths_len: usize,
    pub key_offsets: *const usize,
    pub key_offsets_len: usize,
    pub bias: *const f32,
    pub bias_len: usize,
    pub bias_strides: [usize; 4],
    pub mask: *const u8,
    pub mask_len: usize,
    pub mask_strides: [usize; 4],
    pub alibi: *const f32,
    pub alibi_len: usize,
    pub sinks: *const f32,
    pub sinks_len: usize,
}

// SAFETY: `size` is first; zeros are numbers and no arrays.
unsafe impl sized::Sized for AttentionOptions {
    const FIRST: usize = size_of::<Self>();
}

/// Options, checked as far as they can be without the operands.
pub(super) struct RawOptions {
    given: AttentionOptions,
    lengths: Option<Raw<usize>>,
    key_offsets: Option<Raw<usize>>,
    bias: Option<Raw<f32>>,
    mask: Option<Raw<u8>>,
    alibi: Option<Raw<f32>>,
    sinks: Option<Raw<f32>>,
}

impl RawOptions {
    /// # Safety
    /// `options` is null or points to ones that are as the header says.
    pub unsafe fn new(options: *const AttentionOptions) -> Result<Self> {
        // SAFETY: the same contract.
        let given = unsafe { AttentionOptions::need(options, "options") }?;
        check_flags(&given)?;
        let options = Self {
            lengths: Raw::optional("lengths", given.lengths, given.lengths_len)?,
            key_offsets: Raw::optional("key_offsets", given.key_offsets, given.key_offsets_len)?,
            bias: Raw::optional("bias", given.bias, given.bias_len)?,
            mask: Raw::optional("mask", given.mask, given.mask_len)?,
            alibi: Raw::optional("alibi", given.alibi, given.alibi_len)?,
            sinks: Raw::optional("sinks", given.sinks, given.sinks_len)?,
            given,
        };
        options.check_lists()?;
        Ok(options)
    }

    /// A list that the kind of sequences has no use for is a mistake.
    fn check_lists(&self) -> Result<()> {
        let (lengths, key_offsets) = match self.given.sequences {
            ONE => (self.lengths.is_some(), self.key_offsets.is_some()),
            PACKED | PADDED => (false, self.key_offsets.is_some()),
            OFFSETS => (false, false),
            code => return Err(unknown("sequences", code)),
        };
        match [("lengths", lengths), ("key_offsets", key_offsets)].into_iter().find(|(_, wrong)| *wrong) {
            Some((arg, _)) => Err(Error::Value { arg }.into()),
            None => Ok(()),
        }
    }

    pub fn regions(&self) -> [Region; 6] {
        [
            region_of(self.lengths),
            region_of(self.key_offsets),
            region_of(self.bias),
            region_of(self.mask),
            region_of(self.alibi),
            region_of(self.sinks),
        ]
    }

    /// # Safety
    /// As `Raw::read`.
    pub unsafe fn view<'a>(&self) -> Attention<'a> {
        let given = &self.given;
        let on = |flag| given.flags & flag != 0;
        let some = |flag, value| on(flag).then_some(value);
        let mut attention = Attention::new(given.heads, given.head_dim)
            .causal(on(CAUSAL))
            .window(some(WINDOW_LEFT, given.window_left), some(WINDOW_RIGHT, given.window_right))
            // SAFETY: the same contract.
            .sequences(unsafe { self.sequences() });
        if given.kv_heads != 0 {
            attention = attention.kv_heads(given.kv_heads);
        }
        if given.value_dim != 0 {
            attention = attention.value_dim(given.value_dim);
        }
        if on(SCALE) {
            attention = attention.scale(given.scale);
        }
        if given.softcap != 0.0 {
            attention = attention.softcap(given.softcap);
        }
        if on(QUERY_OFFSET) {
            attention = attention.query_offset(given.query_offset);
        }
        if given.key_block != 0 {
            attention = attention.key_block(given.key_block);
        }
        // SAFETY: the same contract.
        unsafe { self.with_tables(attention) }
    }

    /// # Safety
    /// As `Raw::read`.
    unsafe fn sequences<'a>(&self) -> Sequences<'a> {
        // SAFETY: the same contract.
        let list = |list: Option<Raw<usize>>| list.map_or(&[] as &[usize], |list| unsafe { list.read() });
        match self.given.sequences {
            PACKED => Sequences::Packed(list(self.lengths)),
            PADDED => Sequences::Padded { key_lengths: list(self.lengths) },
            OFFSETS => Sequences::Offsets { queries: list(self.lengths), keys: list(self.key_offsets) },
            _ => Sequences::One,
        }
    }

    /// # Safety
    /// As `Raw::read`.
    unsafe fn with_tables<'a>(&self, mut attention: Attention<'a>) -> Attention<'a> {
        // SAFETY: the same contract, for all four.
        unsafe {
            if let Some(bias) = self.bias {
                attention = attention.bias(Bias::new(bias.read(), self.given.bias_strides));
            }
            if let Some(mask) = self.mask {
                attention = attention.mask(Mask::from_bytes(mask.read(), self.given.mask_strides));
            }
            if let Some(alibi) = self.alibi {
                attention = attention.alibi(alibi.read());
            }
            if let Some(sinks) = self.sinks {
                attention = attention.sinks(sinks.read());
            }
        }
        attention
    }
}

/// No unknown flag, and no number that its flag has not switched on.
fn check_flags(given: &AttentionOptions) -> Result<()> {
    if given.flags & !FLAGS != 0 {
        return Err(Fault::Enum { arg: "flags", got: u64::from(given.flags) });
    }
    let fields = [
        ("scale", SCALE, given.scale == 0.0),
        ("window_left", WINDOW_LEFT, given.window_left == 0),
        ("window_right", WINDOW_RIGHT, given.window_right == 0),
        ("query_offset", QUERY_OFFSET, given.query_offset == 0),
    ];
    match fields.into_iter().find(|(_, flag, is_zero)| given.flags & flag == 0 && !is_zero) {
        Some((arg, ..)) => Err(Error::Value { arg }.into()),
        None => Ok(()),
    }
}
