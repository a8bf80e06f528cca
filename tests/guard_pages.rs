//! Every public kernel between pages that must not be touched, at every tail length, with all of its operands at the first
//! byte behind one and then at the last byte before one: a byte too far, read or written, and the process dies.

#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod common;

#[path = "guard_pages/attention.rs"]
mod attention;
#[path = "guard_pages/memory.rs"]
mod memory;
#[path = "guard_pages/model.rs"]
mod model;
#[path = "guard_pages/products.rs"]
mod products;
#[path = "guard_pages/rows.rs"]
mod rows;
