//! The element types that the safetensors format has.

use core::fmt;

use super::json_str::JsonStr;
use crate::element::Dtype;

macro_rules! file_dtypes {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $bits:literal;)*) => {
        /// Element type of a tensor in a file. The engine computes with some of them: see [`FileDtype::compute`].
        ///
        /// The list is that of the format's reference reader, version 0.7 (`Dtype` in its `tensor.rs`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FileDtype {
            $($(#[$doc])* $variant,)*
        }

        impl FileDtype {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As the file spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Bits of one element; not always whole bytes.
            pub const fn bits(self) -> u64 {
                match self {
                    $(Self::$variant => $bits,)*
                }
            }
        }
    };
}

file_dtypes! {
    /// A truth value in a byte.
    Bool, "BOOL", 8;
    /// 4-bit float of the OCP microscaling formats.
    F4, "F4", 4;
    /// 6-bit float, 2 bits of exponent.
    F6E2M3, "F6_E2M3", 6;
    /// 6-bit float, 3 bits of exponent.
    F6E3M2, "F6_E3M2", 6;
    /// Unsigned, 8 bits.
    U8, "U8", 8;
    /// Signed, 8 bits.
    I8, "I8", 8;
    /// 8-bit float, 5 bits of exponent.
    F8E5M2, "F8_E5M2", 8;
    /// 8-bit float, 4 bits of exponent.
    F8E4M3, "F8_E4M3", 8;
    /// 8-bit power of two.
    F8E8M0, "F8_E8M0", 8;
    /// Signed, 16 bits.
    I16, "I16", 16;
    /// Unsigned, 16 bits.
    U16, "U16", 16;
    /// IEEE 754 binary16.
    F16, "F16", 16;
    /// The upper half of a binary32.
    Bf16, "BF16", 16;
    /// Signed, 32 bits.
    I32, "I32", 32;
    /// Unsigned, 32 bits.
    U32, "U32", 32;
    /// IEEE 754 binary32.
    F32, "F32", 32;
    /// Complex of two binary32.
    C64, "C64", 64;
    /// IEEE 754 binary64.
    F64, "F64", 64;
    /// Signed, 64 bits.
    I64, "I64", 64;
    /// Unsigned, 64 bits.
    U64, "U64", 64;
}

impl FileDtype {
    pub(super) fn from_name(name: JsonStr<'_>) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| name == dtype.name())
    }

    /// The engine's own type, if it computes with this one.
    pub const fn compute(self) -> Option<Dtype> {
        match self {
            Self::F32 => Some(Dtype::F32),
            Self::F16 => Some(Dtype::F16),
            Self::Bf16 => Some(Dtype::Bf16),
            _ => None,
        }
    }

    /// Bytes that `elements` elements take; `None` if that overflows or is not whole bytes.
    pub(super) fn span(self, elements: u64) -> Option<u64> {
        let bits = elements.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

impl fmt::Display for FileDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
