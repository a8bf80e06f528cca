//! The C API (feature `capi`), as `include/selfattn.h` declares and documents it.
//!
//! What comes from C is a raw pointer until it has been checked: a `Raw` array knows its place, so that overlap can be refused
//! before anything is borrowed. Each function reads its structs, checks that what it writes lies apart from all else, makes views,
//! and calls the Rust API.
//!
//! # Safety
//! Of every function: a pointer that is not null points to what the header says, as long as the length beside it, and no other
//! thread writes to it meanwhile.

#![allow(missing_docs, clippy::missing_safety_doc, reason = "the header documents them")]

#[macro_use]
mod export;

mod attention;
mod cache;
mod config;
mod encoder;
mod engine;
mod error;
mod fault;
#[cfg(feature = "std")]
mod folder;
mod level;
mod matmul;
mod matrix;
mod options;
#[cfg(feature = "alloc")]
mod owned;
#[cfg(all(feature = "capi-panic-handler", not(feature = "std")))]
mod panic;
mod raw;
mod sized;
mod softmax;
#[cfg(feature = "rayon")]
mod threads;
#[cfg(feature = "capi-tokenizer")]
mod tokenizer;
mod version;
mod weights;

pub use attention::{attention, attention_cached, attention_merge, attention_scratch};
pub use cache::{Kv, kv_append, kv_bytes};
pub use config::{Config, config_parse};
pub use encoder::{
    Batch, Encoder, encoder_bytes, encoder_config, encoder_embed, encoder_forward, encoder_pack, encoder_packed_bytes,
    encoder_place, encoder_scratch,
};
pub use engine::{Engine, Run, Task};
pub use error::{ErrorDetail, status_text};
pub use fault::Status;
pub use level::{level_best, level_current, level_from_name, level_is_available, level_name, level_set};
pub use matmul::{Epilogue, gemv, matmul, matmul_scratch};
pub use matrix::{Mat, MatMut};
pub use options::AttentionOptions;
#[cfg(feature = "std")]
pub use owned::encoder_open;
#[cfg(feature = "alloc")]
pub use owned::{encoder_create, encoder_destroy};
pub use softmax::softmax;
#[cfg(feature = "rayon")]
pub use threads::{Threads, threads_create, threads_destroy, threads_run};
#[cfg(feature = "capi-tokenizer")]
pub use tokenizer::{Tokenizer, tokenizer_create, tokenizer_destroy, tokenizer_encode, tokenizer_open};
pub use version::{version, version_text};
pub use weights::{Weights, pack, packed_bytes};
