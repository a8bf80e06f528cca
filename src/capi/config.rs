//! The sizes and options of an encoder as C has them.

use core::ffi::c_void;

use super::fault::{Fault, Result};
use super::level::unknown;
use super::matmul::activation;
use super::raw::{Raw, apart, reserved};
use super::sized::{self, Sized as _};
use crate::weights::{Activation, EncoderConfig, Family};

/// `selfattn_config`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Config {
    pub size: usize,
    pub family: i32,
    pub activation: i32,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub intermediate_size: usize,
    pub max_positions: usize,
    pub position_offset: usize,
    pub token_types: usize,
    pub norm_eps: f32,
    pub reserved: i32,
}

// SAFETY: `size` is first; numbers.
unsafe impl sized::Sized for Config {
    const FIRST: usize = size_of::<Self>();
}

impl Config {
    /// The config that `config` points to, valid.
    ///
    /// # Safety
    /// `config` is null or points to one that is as the header says.
    pub(super) unsafe fn valid(config: *const Self) -> Result<EncoderConfig> {
        // SAFETY: the same contract.
        let given = unsafe { Self::need(config, "config") }?;
        reserved(given.reserved)?;
        let family = match given.family {
            0 => Family::Bert,
            1 => Family::Roberta,
            2 => Family::DistilBert,
            code => return Err(unknown("family", code)),
        };
        let config = EncoderConfig {
            family,
            vocab_size: given.vocab_size,
            hidden_size: given.hidden_size,
            layers: given.layers,
            heads: given.heads,
            intermediate_size: given.intermediate_size,
            max_positions: given.max_positions,
            position_offset: given.position_offset,
            token_types: given.token_types,
            norm_eps: given.norm_eps,
            activation: activation(given.activation)?,
        };
        config.validate()?;
        Ok(config)
    }

    fn new(config: &EncoderConfig, size: usize) -> Self {
        Self {
            size,
            family: match config.family {
                Family::Bert => 0,
                Family::Roberta => 1,
                Family::DistilBert => 2,
            },
            activation: match config.activation {
                Activation::None => 0,
                Activation::Gelu => 1,
                Activation::GeluTanh => 2,
                Activation::Relu => 3,
            },
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            layers: config.layers,
            heads: config.heads,
            intermediate_size: config.intermediate_size,
            max_positions: config.max_positions,
            position_offset: config.position_offset,
            token_types: config.token_types,
            norm_eps: config.norm_eps,
            reserved: 0,
        }
    }
}

/// Room for a config: a pointer and its size.
pub(super) struct Room(*mut Config, usize);

impl Room {
    /// # Safety
    /// `config` is null or points to one whose size is set.
    pub unsafe fn new(config: *mut Config) -> Result<Self> {
        // SAFETY: the same contract.
        let size = unsafe { Config::size(config, "config") }?.ok_or(Fault::Null("config"))?;
        Ok(Self(config, size))
    }

    /// # Safety
    /// The memory is still there.
    pub unsafe fn put(self, config: &EncoderConfig) {
        // SAFETY: `new` has checked the pointer and the size.
        unsafe { sized::write(self.0, &Config::new(config, self.1), self.1) };
    }
}

export! {
    fn config_parse(json: *const c_void, json_bytes: usize, config: *mut Config) {
        // SAFETY: the header's word for `config`.
        let to = unsafe { Room::new(config) }?;
        let json = Raw::new("json", json.cast::<u8>(), json_bytes)?;
        apart(&[Raw::new("config", config.cast_const(), 1)?.region()], &[json.region()])?;
        // SAFETY: the header's word for `json`; the config lies apart.
        let config = EncoderConfig::from_json(unsafe { json.read() })?;
        // SAFETY: the header's word for `config`.
        unsafe { to.put(&config) };
        Ok(())
    }
}
