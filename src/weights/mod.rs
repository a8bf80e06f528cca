//! Weights and configurations of trained models, read in place from bytes that the caller has loaded or mapped.
//!
//! A file is hostile until checked: [`SafeTensors::new`] checks all of it once, and [`EncoderConfig::from_json`] all of a
//! configuration. Reading takes no heap, no recursion and a few KiB of stack; the time is linear in the size of the
//! header for usual files, and bounded for the worst (see [`MAX_TENSORS`]).
//!
//! A model's tensors are found through [`Names`], which knows how the family and the file spell them:
//!
//! ```
//! use selfattn::weights::{Family, Names, Part, SafeTensors};
//!
//! # fn main() -> Result<(), selfattn::Error> {
//! let header = br#"{"bert.embeddings.word_embeddings.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}  "#;
//! let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
//! bytes.extend_from_slice(header);
//! bytes.extend_from_slice(&[0; 8]);
//!
//! let file = SafeTensors::new(&bytes)?;
//! let names = Names::detect(&file, Family::Bert)?;
//! let name = names.name(0, Part::WordEmbeddings);
//! assert_eq!(name.to_string(), "bert.embeddings.word_embeddings.weight");
//! names.check_no_unknown(&file, 12)?;
//! # Ok(())
//! # }
//! ```

mod config;
mod config_fields;
mod dtype;
mod header;
pub(crate) mod json;
mod json_str;
mod layout;
mod names;
mod part;
mod places;
mod safetensors;

pub use config::{Activation, EncoderConfig, Family};
pub use dtype::FileDtype;
pub use header::Shape;
pub use json_str::JsonStr;
pub use names::{Names, TensorName};
pub use part::Part;
pub use places::{Place, Placed};
pub use safetensors::{MAX_ENTRY_BYTES, MAX_TENSORS, SafeTensors, TensorInfo};
