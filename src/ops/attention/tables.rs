//! Biases and boolean masks: a number for each sequence, head, query and key, broadcast along those whose stride is 0.

use crate::kernel::attention::head::Table;

/// Numbers added to logits: that of query `i` and key `j` of head `h` of sequence `s` (`i` and `j` counted within the sequence) is
/// `data[s * strides[0] + h * strides[1] + i * strides[2] + j * strides[3]]`. A stride of 0 broadcasts.
#[derive(Clone, Copy, Debug)]
pub struct Bias<'a>(pub(super) Table<'a, f32>);

impl<'a> Bias<'a> {
    /// With the strides of sequence, head, query and key, in elements.
    pub fn new(data: &'a [f32], strides: [usize; 4]) -> Self {
        Self(Table { data, strides })
    }
}

/// Which keys are seen, laid out as a [`Bias`] is.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a>(pub(super) Table<'a, u8>);

impl<'a> Mask<'a> {
    /// A byte for each, 0 for a key that is not seen, with the strides of sequence, head, query and key.
    pub fn from_bytes(data: &'a [u8], strides: [usize; 4]) -> Self {
        Self(Table { data, strides })
    }

    /// True for a key that is seen, with the strides of sequence, head, query and key.
    pub fn new(data: &'a [bool], strides: [usize; 4]) -> Self {
        Self::from_bytes(crate::element::bytes_of_bools(data), strides)
    }
}
