//! Weight files and configurations: what is read, and that nothing in a hostile one gets through.

#[path = "weights/config.rs"]
mod config;
#[path = "common/damage.rs"]
mod damage;
#[path = "weights/hostile.rs"]
mod hostile;
#[path = "weights/matrix.rs"]
mod matrix;
#[path = "weights/mutation.rs"]
mod mutation;
#[path = "weights/names.rs"]
mod names;
#[path = "weights/writer.rs"]
mod writer;
