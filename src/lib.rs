//! `no_std` inference for self-attention and the transformers built from it.
//!
//! From a microcontroller without a heap to a server core with AVX-512 on the same kernels. The crate computes; memory is the
//! caller's: every operation takes scratch whose size can be asked for first, nothing is allocated, and bad input gives an
//! [`Error`] that names the argument.
//!
//! ```
//! use selfattn::{Attention, Engine, MatMut, MatRef};
//!
//! // Three words of two dimensions: the third is like the first.
//! let words = [1.0, 0.0, 0.0, 1.0, 0.9, 0.1];
//! let words = MatRef::new(&words, 3, 2)?;
//!
//! let engine = Engine::new(); // the best SIMD level of this CPU, one thread
//! let attention = Attention::new(1, 2).scale(4.0);
//! let mut out = [0.0; 6];
//! let mut scratch = vec![0; engine.attention_scratch(&attention)?];
//! engine.attention(&attention, words, words, words, MatMut::new(&mut out, 3, 2)?, &mut scratch)?;
//!
//! assert!(out[0] > 0.9); // the first word's new vector: mostly itself and the third
//! # Ok::<(), selfattn::Error>(())
//! ```
//!
//! # Where to start
//! - [`block::Encoder`]: sentence and word vectors from a published BERT-class model.
//! - [`Engine`]: the operations one by one: matmul, attention, softmax, norms.
//! - [`lecture`]: the steps by which self-attention is taught.
//! - [`weights`]: reading `config.json` and `model.safetensors` in place.
//!
//! # Features
//! - `std` (default): the environment variable `SELFATTN_LEVEL` forces a SIMD level. Implies `alloc`.
//! - `alloc`: [`block::Runner`](crate::block), an encoder with memory of its own.
//! - `rayon`: `RayonPool`, threads; results do not depend on their number.
//! - `profile`: the module of that name, spans of every operation with FLOPs and bytes, by a clock and in memory of the caller's.
//! - `tracing`: the same spans as those of the crate `tracing`.
//! - `cli`: the command `selfattn`.
//! - `capi`: the C API of `include/selfattn.h`.
//!
//! Without default features the crate is `core` alone.

#![no_std]
#![deny(unsafe_code, missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks, clippy::missing_errors_doc)]
// No panic. What depends on input is checked and becomes an `Error`; where a sum is known to fit, it saturates, and a comment
// says why it fits.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod block;
#[cfg(feature = "capi")]
#[doc(hidden)]
#[allow(unsafe_code)]
pub mod capi;
#[allow(unsafe_code)]
mod element;
#[allow(unsafe_code)]
mod engine;
mod error;
#[allow(unsafe_code)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "pointers and registers, of sizes checked at the door"
)]
mod kernel;
pub mod lecture;
mod ops;
#[cfg(not(feature = "profile"))]
mod profile;
#[cfg(feature = "profile")]
pub mod profile;
pub mod roof;
#[allow(unsafe_code)]
mod scratch;
#[allow(unsafe_code)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "registers are arrays of constant length")]
mod simd;
mod view;
pub mod weights;
mod words;

pub use element::{Dtype, Element};
#[cfg(feature = "rayon")]
pub use engine::RayonPool;
pub use engine::{Engine, Pool, Serial};
pub use error::{Error, HeaderFault, Result};
pub use kernel::Activation;
pub use kernel::output::Epilogue;
pub use kernel::rhs::{Order, Plain};
pub use ops::attention::{Attention, AttentionWeights, Bias, Inspection, KvCache, Mask, Sequences};
pub use ops::weights::{Packed, Weights};
pub use simd::Level;
pub use view::{MatMut, MatRef, Matrix};
