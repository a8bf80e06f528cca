//! Attention against the naive f64 one: every level, every option, its edges, and what it refuses.

mod common;

#[path = "attention/cache.rs"]
mod cache;
#[path = "attention/contract.rs"]
mod contract;
#[path = "attention/extreme.rs"]
mod extreme;
#[path = "attention/inspect.rs"]
mod inspect;
#[path = "attention/inspect_contract.rs"]
mod inspect_contract;
#[path = "attention/masked.rs"]
mod masked;
#[path = "attention/merge.rs"]
mod merge;
#[path = "attention/oracle.rs"]
mod oracle;
#[path = "attention/precision.rs"]
mod precision;
#[path = "attention/properties.rs"]
mod properties;
#[path = "attention/special.rs"]
mod special;
#[path = "attention/threads.rs"]
mod threads;
