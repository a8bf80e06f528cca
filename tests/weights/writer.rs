//! A writer of safetensors files that can also write wrong ones.

use std::fmt::Debug;

/// A file of the given header and data.
pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    raw_file(header.len() as u64, header.as_bytes(), data)
}

/// A file whose length field says `len`.
pub fn raw_file(len: u64, header: &[u8], data: &[u8]) -> Vec<u8> {
    [&len.to_le_bytes(), header, data].concat()
}

/// One member of a header.
pub fn entry<N: Debug>(name: &str, dtype: &str, shape: &[N], begin: usize, end: usize) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)
}

/// An object of the given members.
pub fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(","))
}

/// A file of tensors one behind the other, padded as the format's own writer pads it. Element `i` of the data, in
/// units of 4 bytes, is the f32 `i`.
pub fn tensors(list: &[(&str, &str, &[usize])]) -> Vec<u8> {
    let mut at = 0;
    let entries: Vec<String> = list
        .iter()
        .map(|(name, dtype, shape)| {
            let size = if dtype.ends_with("64") {
                8
            } else if dtype.ends_with("32") {
                4
            } else {
                2
            };
            let begin = at;
            at += size * shape.iter().product::<usize>();
            entry(name, dtype, shape, begin, at)
        })
        .collect();
    let mut header = object(&entries);
    header.extend(std::iter::repeat_n(' ', header.len().wrapping_neg() % 8));
    let data: Vec<u8> = (0..at.div_ceil(4)).flat_map(|i| (i as f32).to_le_bytes()).collect();
    file(&header, &data[..at])
}

/// Bytes that start `offset` bytes behind a multiple of 16.
pub struct Placed {
    buffer: Vec<u8>,
    start: usize,
}

impl Placed {
    pub fn new(bytes: &[u8], offset: usize) -> Self {
        let mut buffer = vec![0; bytes.len() + offset + 16];
        let start = buffer.as_ptr().align_offset(16) + offset;
        buffer[start..start + bytes.len()].copy_from_slice(bytes);
        buffer.truncate(start + bytes.len());
        Self { buffer, start }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}
