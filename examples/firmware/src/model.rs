//! The model and the texts, and what the host says of them: made by the build script.

use selfattn::Dtype;
use selfattn::weights::{Activation, EncoderConfig, Family, Place, Placed};

#[path = "texts.rs"]
mod texts;
pub use texts::{TEXTS, TOKENS};

include!(concat!(env!("OUT_DIR"), "/model.rs"));

/// Bytes at an address that any of their numbers may have.
#[repr(C, align(16))]
struct Aligned<const N: usize>([u8; N]);

/// The bytes themselves, not a reference to them: those of a reference would stand among the other constants.
#[unsafe(link_section = ".weights")]
static FILE: Aligned<{ include_bytes!(concat!(env!("OUT_DIR"), "/model.safetensors")).len() }> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.safetensors")));

/// The weight file, in flash, and where the host found the model's tensors in it.
pub static WEIGHTS: Placed<'static> = Placed::new(&FILE.0, &PLACES);

#[cfg(feature = "c")]
#[unsafe(link_section = ".weights")]
static FLOATS: Aligned<{ include_bytes!(concat!(env!("OUT_DIR"), "/model.f32")).len() }> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.f32")));

/// The weights as f32 one after the other, for the plain C.
#[cfg(feature = "c")]
pub fn weights_f32() -> &'static [u8] {
    &FLOATS.0
}
