//! Transformer blocks: the weights of a model bound to their places, and the way of data through them.

mod batch;
mod classifier;
mod encoder;
mod feed_forward;
mod forward;
mod layer;
mod linear;
#[cfg(feature = "alloc")]
mod runner;
mod scope;
mod self_attention;

pub use batch::Batch;
pub use classifier::TokenClassifier;
pub use encoder::Encoder;
pub use forward::Probe;
pub use layer::Layer;
#[cfg(feature = "alloc")]
pub use runner::Runner;
