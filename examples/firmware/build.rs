//! On the host: the linker script of the board, the model as constants, and what the host's engine says of the texts.

#[cfg(feature = "c")]
#[path = "build/c.rs"]
mod c;
#[path = "src/data.rs"]
mod data;
#[path = "build/expected.rs"]
mod expected;
#[path = "build/model.rs"]
mod model;
#[path = "src/texts.rs"]
#[allow(dead_code, reason = "scratch is planned by the firmware")]
mod texts;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let target = env::var("TARGET")?;
    for part in ["build.rs", "build", "src/data.rs", "src/texts.rs"] {
        println!("cargo:rerun-if-changed={part}");
    }
    link(&target, &out)?;
    model::write(&out)?;
    #[cfg(feature = "c")]
    c::compile();
    expected::write(&out)
}

/// The board of a target, and the linker script of its runtime crate.
fn link(target: &str, out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rustc-check-cfg=cfg(board, values(\"mps2-an386\", \"mps3-an547\", \"riscv-virt\"))");
    let board = match target.split('-').next() {
        Some("thumbv7em") => "mps2-an386",
        Some("thumbv8m.main") => "mps3-an547",
        Some("riscv32imac" | "riscv64gc") => "riscv-virt",
        // Clippy and the like, on the host.
        _ => return Ok(()),
    };
    println!("cargo:rustc-cfg=board=\"{board}\"");
    let script = format!("boards/{board}.x");
    fs::copy(&script, out.join("memory.x"))?;
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-search={}", out.display());
    if board == "riscv-virt" {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    Ok(())
}
