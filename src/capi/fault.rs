//! What can be wrong with a call from C: all that can be with one from Rust, and what only C lets happen.

#[cfg(feature = "std")]
use std::string::String;

use crate::error::Error;
use crate::words::{Say, Words, say};

/// The numbers of the header's `selfattn_status`. They never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    Null = 1,
    Overflow = 2,
    Shape = 3,
    Value = 4,
    Enum = 5,
    StructSize = 6,
    Misaligned = 7,
    Overlap = 8,
    Scratch = 9,
    Capacity = 10,
    Level = 11,
    Packed = 12,
    BigEndian = 13,
    Handle = 14,
    Memory = 15,
    Token = 16,
    TooLong = 17,
    Config = 18,
    Json = 19,
    Truncated = 20,
    HeaderTooLarge = 21,
    Header = 22,
    MissingTensor = 23,
    UnknownTensor = 24,
    TensorShape = 25,
    TensorType = 26,
    File = 27,
    Tokenizer = 28,
    Utf8 = 29,
    Threads = 30,
    Panic = 31,
}

/// What was wrong with a call.
pub(super) enum Fault {
    /// What Rust callers get too.
    Core(Error),
    Null(&'static str),
    /// A number that is none of an enum's, or has unknown flags.
    Enum {
        arg: &'static str,
        got: u64,
    },
    /// Numbers that are stored in half precision where only f32 will do.
    NotF32(&'static str),
    /// A `size` of no version, or a later one whose unknown part is not zero.
    StructSize {
        arg: &'static str,
        expected: usize,
        got: usize,
    },
    /// What is written, and what it overlaps with.
    Overlap {
        arg: &'static str,
        other: &'static str,
    },
    /// Too little memory for what is to stay there.
    Short {
        arg: &'static str,
        needed: usize,
        got: usize,
    },
    /// Not an object of this library.
    Handle(&'static str),
    #[cfg(feature = "std")]
    Utf8 {
        arg: &'static str,
        at: usize,
    },
    #[cfg(feature = "std")]
    File(String),
    #[cfg(feature = "capi-tokenizer")]
    Tokenizer(String),
    #[cfg(feature = "rayon")]
    Threads,
    #[cfg(any(feature = "capi-tokenizer", feature = "rayon"))]
    Panic,
}

pub(super) type Result<T> = core::result::Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Scratch { needed, got } => Self::Short { arg: "scratch", needed, got },
            error => Self::Core(error),
        }
    }
}

impl Fault {
    /// By the names of the C function's arguments: `names` has pairs of what Rust calls them and what C does.
    pub fn renamed(mut self, names: &[[&'static str; 2]]) -> Self {
        if let Some(arg) = self.arg_mut()
            && let Some([_, name]) = names.iter().find(|[from, _]| from == arg)
        {
            *arg = name;
        }
        self
    }

    /// The argument at fault.
    fn arg_mut(&mut self) -> Option<&mut &'static str> {
        match self {
            Self::Core(
                Error::Overflow { arg }
                | Error::Shape { arg, .. }
                | Error::Value { arg }
                | Error::Capacity { arg, .. }
                | Error::Misaligned { arg, .. }
                | Error::Packed { arg }
                | Error::Config { field: arg },
            )
            | Self::Null(arg)
            | Self::NotF32(arg)
            | Self::Enum { arg, .. }
            | Self::StructSize { arg, .. }
            | Self::Overlap { arg, .. }
            | Self::Short { arg, .. }
            | Self::Handle(arg) => Some(arg),
            #[cfg(feature = "std")]
            Self::Utf8 { arg, .. } => Some(arg),
            _ => None,
        }
    }

    pub fn arg(&mut self) -> &'static str {
        self.arg_mut().map_or("", |arg| *arg)
    }

    pub fn status(&self) -> Status {
        match self {
            Self::Core(error) => status_of(error),
            Self::Null(_) => Status::Null,
            Self::Enum { .. } | Self::NotF32(_) => Status::Enum,
            Self::StructSize { .. } => Status::StructSize,
            Self::Overlap { .. } => Status::Overlap,
            Self::Short { .. } => Status::Scratch,
            Self::Handle(_) => Status::Handle,
            #[cfg(feature = "std")]
            Self::Utf8 { .. } => Status::Utf8,
            #[cfg(feature = "std")]
            Self::File(_) => Status::File,
            #[cfg(feature = "capi-tokenizer")]
            Self::Tokenizer(_) => Status::Tokenizer,
            #[cfg(feature = "rayon")]
            Self::Threads => Status::Threads,
            #[cfg(any(feature = "capi-tokenizer", feature = "rayon"))]
            Self::Panic => Status::Panic,
        }
    }

    /// What the header calls `index`, `expected` and `got`.
    pub fn numbers(&self) -> (u64, [u64; 2], [u64; 2]) {
        let pair = |expected: usize, got: usize| (0, [wide(expected), 0], [wide(got), 0]);
        match *self {
            Self::Core(error) => numbers_of(error),
            Self::Enum { got, .. } => (0, [0; 2], [got, 0]),
            Self::StructSize { expected, got, .. } => pair(expected, got),
            Self::Short { needed, got, .. } => pair(needed, got),
            #[cfg(feature = "std")]
            Self::Utf8 { at, .. } => (wide(at), [0; 2], [0; 2]),
            _ => (0, [0; 2], [0; 2]),
        }
    }
}

fn status_of(error: &Error) -> Status {
    match error {
        Error::Overflow { .. } => Status::Overflow,
        Error::Shape { .. } => Status::Shape,
        Error::Value { .. } => Status::Value,
        Error::Scratch { .. } => Status::Scratch,
        Error::Capacity { .. } => Status::Capacity,
        Error::Memory { .. } => Status::Memory,
        Error::Misaligned { .. } => Status::Misaligned,
        Error::BigEndian => Status::BigEndian,
        Error::Packed { .. } => Status::Packed,
        Error::Level => Status::Level,
        Error::Token { .. } => Status::Token,
        Error::TooLong { .. } => Status::TooLong,
        Error::Config { .. } => Status::Config,
        Error::Json { .. } => Status::Json,
        Error::Truncated { .. } => Status::Truncated,
        Error::HeaderTooLarge { .. } => Status::HeaderTooLarge,
        Error::Header { .. } => Status::Header,
        Error::MissingTensor { .. } => Status::MissingTensor,
        Error::UnknownTensor { .. } => Status::UnknownTensor,
        Error::TensorShape { .. } => Status::TensorShape,
        Error::TensorType { .. } => Status::TensorType,
    }
}

fn numbers_of(error: Error) -> (u64, [u64; 2], [u64; 2]) {
    let none = [0; 2];
    let pair = |expected, got| (0, [expected, 0], [got, 0]);
    match error {
        Error::Shape { expected, got, .. } => pair(wide(expected), wide(got)),
        Error::Scratch { needed, got } | Error::Capacity { needed, got, .. } => pair(wide(needed), wide(got)),
        Error::Memory { bytes } => pair(wide(bytes), 0),
        Error::Misaligned { align, .. } => pair(wide(align), 0),
        Error::Token { index, id, vocab } => (wide(index), [wide(vocab), 0], [u64::from(id), 0]),
        Error::TooLong { got, max } => pair(wide(max), wide(got)),
        Error::Json { at } | Error::Header { at, .. } | Error::UnknownTensor { index: at } => (wide(at), none, none),
        Error::Truncated { needed, got } => pair(needed, got),
        Error::HeaderTooLarge { claimed, max } => pair(max, claimed),
        Error::TensorShape { expected, got, .. } => (0, expected.map(wide), got.map(wide)),
        _ => (0, none, none),
    }
}

fn wide(size: usize) -> u64 {
    // No target has sizes of more than 64 bits.
    u64::try_from(size).unwrap_or(u64::MAX)
}

impl Words for Fault {
    fn say(&self, to: &mut Say<'_>) {
        match self {
            Self::Core(error) => error.say(to),
            Self::Null(arg) => say!(to, "`", *arg, "`: is NULL"),
            Self::Enum { arg, got } => say!(to, "`", *arg, "`: ", *got, " has no meaning"),
            Self::NotF32(arg) => say!(to, "`", *arg, "`: must be f32"),
            Self::StructSize { arg, expected, got } => say!(
                to,
                "`",
                *arg,
                "`: its `size` is ",
                *got,
                ", and here ",
                *expected,
                "; set it to sizeof, and what is unused to 0"
            ),
            Self::Overlap { arg, other } => say!(to, "`", *arg, "`: overlaps with `", *other, "`"),
            Self::Short { arg, needed, got } => say!(to, "`", *arg, "`: ", *needed, " bytes are needed, got ", *got),
            Self::Handle(arg) => say!(to, "`", *arg, "`: is not such an object, or has been destroyed"),
            #[cfg(feature = "std")]
            Self::Utf8 { arg, at } => say!(to, "`", *arg, "`: not UTF-8 at byte ", *at),
            #[cfg(feature = "std")]
            Self::File(text) => text.as_str().say(to),
            #[cfg(feature = "capi-tokenizer")]
            Self::Tokenizer(text) => text.as_str().say(to),
            #[cfg(feature = "rayon")]
            Self::Threads => say!(to, "the system gives no threads"),
            #[cfg(any(feature = "capi-tokenizer", feature = "rayon"))]
            Self::Panic => say!(to, "a library that this one uses has panicked"),
        }
    }
}
