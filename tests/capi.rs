//! The C API, called as C calls it: pointers, lengths and structs, every refusal with its status and its argument, and the
//! results of the Rust API bit by bit.

#![cfg(feature = "capi")]

mod common;

#[path = "capi/abi.rs"]
mod abi;
#[path = "capi/attention.rs"]
mod attention;
#[path = "capi/bad_attention.rs"]
mod bad_attention;
#[path = "capi/bad_matmul.rs"]
mod bad_matmul;
#[path = "capi/basics.rs"]
mod basics;
#[path = "capi/cache.rs"]
mod cache;
#[path = "capi/encoder.rs"]
mod encoder;
#[path = "capi/matmul.rs"]
mod matmul;
#[path = "capi/support.rs"]
mod support;
#[path = "capi/threads.rs"]
mod threads;
#[cfg(feature = "capi-tokenizer")]
#[path = "capi/tokenizer.rs"]
mod tokenizer;
