//! Nothing of the library: what the other programs are larger by is its code.

#![no_std]
#![no_main]

use firmware::measure::measure;
use firmware::{entry, finish};

#[entry]
fn main() -> ! {
    let ((), cost) = measure(|| ());
    cost.print("nothing");
    finish(Ok(true))
}
