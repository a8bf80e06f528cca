//! The one error type: a small `Copy` enum that names the argument at fault. No allocation, no text until it is displayed.

use core::fmt;

use crate::weights::TensorName;
use crate::words::{Say, Words, display, say};

/// What was wrong with a call. Nothing has been written when one of these is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A product or sum of sizes does not fit in `usize`.
    Overflow {
        /// The argument whose size overflows.
        arg: &'static str,
    },
    /// An argument has the wrong size.
    Shape {
        /// The argument at fault.
        arg: &'static str,
        /// The size it must have (or at least have, for slices), in elements, rows or columns.
        expected: usize,
        /// The size it has.
        got: usize,
    },
    /// An argument has a value outside its domain (an `eps` that is not positive, no heads, ...).
    Value {
        /// The argument at fault.
        arg: &'static str,
    },
    /// The caller's scratch is too small.
    Scratch {
        /// Bytes needed, as the matching size query says.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
    /// There is no room for as much as an argument holds.
    Capacity {
        /// The argument at fault.
        arg: &'static str,
        /// How much of it there is.
        needed: usize,
        /// How much there is room for.
        got: usize,
    },
    /// The system gives no more memory (feature `alloc`).
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// Weight bytes are not aligned for their element type.
    Misaligned {
        /// The argument at fault.
        arg: &'static str,
        /// The alignment needed, in bytes.
        align: usize,
    },
    /// Weight files hold little-endian numbers, and this target reads big-endian ones.
    BigEndian,
    /// Weights were packed for another SIMD level than the one they are run at.
    Packed {
        /// The argument at fault.
        arg: &'static str,
    },
    /// The SIMD level is unknown, or this CPU does not have it.
    Level,
    /// A token id is not in the vocabulary.
    Token {
        /// Position of the id in the input.
        index: usize,
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocab: usize,
    },
    /// A sequence is longer than the model has positions.
    TooLong {
        /// Tokens in the sequence.
        got: usize,
        /// Tokens the model can take.
        max: usize,
    },
    /// `config.json` lacks a field, or its value is outside what the model family allows.
    Config {
        /// The field at fault.
        field: &'static str,
    },
    /// The bytes are not JSON.
    Json {
        /// Byte offset of the first byte that does not fit.
        at: usize,
    },
    /// The weight file ends before its header or its data does.
    Truncated {
        /// Bytes needed.
        needed: u64,
        /// Bytes given.
        got: u64,
    },
    /// The weight file's header says it is longer than the limit, or than the file.
    HeaderTooLarge {
        /// The length it claims.
        claimed: u64,
        /// The largest allowed.
        max: u64,
    },
    /// The weight file's header is not what the format prescribes.
    Header {
        /// Byte offset in the header of the first byte that does not fit.
        at: usize,
        /// The rule that is broken.
        fault: HeaderFault,
    },
    /// The weight file lacks a tensor of the model.
    MissingTensor {
        /// The tensor.
        tensor: TensorName,
    },
    /// The weight file has a tensor that the model does not know.
    UnknownTensor {
        /// Its position in the header, in the order of the file, from 0.
        index: usize,
    },
    /// A tensor has another shape than the configuration demands.
    TensorShape {
        /// The tensor.
        tensor: TensorName,
        /// Rows and columns demanded (a vector has one row).
        expected: [usize; 2],
        /// Rows and columns found; zeros when the rank is wrong.
        got: [usize; 2],
    },
    /// A tensor's element type is not one the engine computes with (f32, f16, bf16).
    TensorType {
        /// The tensor.
        tensor: TensorName,
    },
}

/// Which rule of the weight file's header is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderFault {
    /// Not UTF-8, not JSON, or a number out of range.
    Syntax,
    /// A field is missing, repeated or of the wrong kind.
    Field,
    /// An element type the format does not have.
    Dtype,
    /// Offsets reversed or past the end of the data.
    Offsets,
    /// The tensors overlap, or leave bytes of the data uncovered.
    Coverage,
    /// The span is not shape times element size.
    Span,
    /// Two tensors of one name.
    Duplicate,
    /// More tensors than the limit, or an entry longer than the limit.
    TooMany,
}

impl Words for HeaderFault {
    fn say(&self, to: &mut Say<'_>) {
        to(match self {
            Self::Syntax => "not valid JSON",
            Self::Field => "a field is missing, repeated or of the wrong kind",
            Self::Dtype => "unknown element type",
            Self::Offsets => "data offsets reversed or past the end of the file",
            Self::Coverage => "tensors overlap or leave bytes of the file uncovered",
            Self::Span => "shape and data offsets disagree",
            Self::Duplicate => "two tensors have the same name",
            Self::TooMany => "too many tensors, or too long an entry",
        });
    }
}

impl Words for Error {
    fn say(&self, to: &mut Say<'_>) {
        match *self {
            Self::Overflow { arg } => say!(to, "`", arg, "`: the size overflows"),
            Self::Shape { arg, expected, got } => say!(to, "`", arg, "`: expected a size of ", expected, ", got ", got),
            Self::Value { arg } => say!(to, "`", arg, "`: the value is out of range"),
            Self::Scratch { needed, got } => say!(to, "`scratch`: ", needed, " bytes are needed, got ", got),
            Self::Capacity { arg, needed, got } => say!(to, "`", arg, "`: ", needed, " tokens, and room for ", got),
            Self::Memory { bytes } => say!(to, "the system gives no ", bytes, " bytes of memory"),
            Self::Misaligned { arg, align } => say!(to, "`", arg, "`: must be aligned to ", align, " bytes"),
            Self::BigEndian => say!(to, "weight files are little-endian, and this target is big-endian"),
            Self::Packed { arg } => say!(to, "`", arg, "`: packed for another SIMD level than it is run at"),
            Self::Level => say!(to, "the SIMD level is unknown or this CPU does not have it"),
            Self::Token { index, id, vocab } => {
                say!(to, "token ", index, " has id ", id, ", but the vocabulary has ", vocab, " entries");
            }
            Self::TooLong { got, max } => say!(to, "the sequence has ", got, " tokens, but the model can take ", max),
            Self::Config { field } => say!(to, "config: `", field, "` is missing or its value is not supported"),
            Self::Json { at } => say!(to, "not valid JSON at byte ", at),
            Self::Truncated { needed, got } => {
                say!(to, "the weight file is cut off: ", needed, " bytes are needed, got ", got);
            }
            Self::HeaderTooLarge { claimed, max } => {
                say!(to, "the weight file claims a header of ", claimed, " bytes; at most ", max, " are allowed");
            }
            Self::Header { at, fault } => say!(to, "the weight file's header is wrong at byte ", at, ": ", fault),
            Self::MissingTensor { tensor } => say!(to, "the weight file has no tensor `", tensor, "`"),
            Self::UnknownTensor { index } => say!(to, "tensor ", index, " of the weight file is not part of the model"),
            Self::TensorShape { tensor, expected: [er, ec], got: [gr, gc] } => {
                say!(to, "tensor `", tensor, "`: expected shape ", er, " x ", ec, ", got ", gr, " x ", gc);
            }
            Self::TensorType { tensor } => say!(to, "tensor `", tensor, "`: the element type is not f32, f16 or bf16"),
        }
    }
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
    }
}

impl core::error::Error for Error {}

/// `Result` with this crate's [`Error`].
pub type Result<T> = core::result::Result<T, Error>;
