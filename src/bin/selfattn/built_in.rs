//! The model that comes inside the program: the folder `model` of the repository.

/// What reports call it.
pub const NAME: &str = "the built-in model";

pub const CONFIG: &[u8] = include_bytes!("../../../model/config.json");
pub const TOKENIZER: &[u8] = include_bytes!("../../../model/tokenizer.json");

/// The weights, their numbers aligned: used where they lie in the program.
pub fn weights() -> &'static [u8] {
    &WEIGHTS.0
}

#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static WEIGHTS: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../model/model.safetensors"));
