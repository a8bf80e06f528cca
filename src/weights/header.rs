//! The entries of a safetensors header, one after the other.

use core::fmt;
use core::ops::Range;

use super::dtype::FileDtype;
use super::json::{Fault, Reader, Wrong};
use super::json_str::JsonStr;
use crate::error::{Error, HeaderFault, Result};

/// The one member of a header that is no tensor.
const METADATA: &str = "__metadata__";

/// One tensor's line in the header. Its shape and its span agree; whether the span lies within the data is for the
/// caller to check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: JsonStr<'a>,
    pub(super) dtype: FileDtype,
    pub(super) shape: Shape<'a>,
    /// Bytes of the data that belong to the tensor: `begin <= end`.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Where it starts in the header.
    pub(super) at: usize,
    /// Bytes of the header from the end of the entry before to the end of this one.
    pub(super) len: usize,
}

/// Reads entries until one is wrong or the header is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a> {
    reader: Reader<'a>,
    /// Where the metadata end, once they have been read: they may be long, and later passes jump over them.
    metadata_end: Option<usize>,
}

impl<'a> Entries<'a> {
    /// # Errors
    /// [`Error::Header`] if the header is not an object.
    pub(super) fn new(header: &'a str, metadata_end: Option<usize>) -> Result<Self> {
        // The format allows no white space here.
        if !header.starts_with('{') {
            return fail(0, HeaderFault::Syntax);
        }
        let mut reader = Reader::from_text(header);
        reader.object()?;
        Ok(Self { reader, metadata_end })
    }

    pub(super) fn metadata_end(&self) -> Option<usize> {
        self.metadata_end
    }

    /// The next tensor; `None` at the end of the header.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>> {
        loop {
            let from = self.reader.at();
            let Some(name) = self.reader.member()? else {
                self.reader.end()?;
                return Ok(None);
            };
            if name != METADATA {
                let mut entry = read_entry(&mut self.reader, name)?;
                entry.len = self.reader.at().saturating_sub(from);
                return Ok(Some(entry));
            }
            self.metadata()?;
        }
    }

    /// An object of strings; once.
    fn metadata(&mut self) -> Result<()> {
        if let Some(end) = self.metadata_end {
            if self.reader.at() > end {
                return fail(self.reader.token(), HeaderFault::Field);
            }
            self.reader.resume_at(end);
            return Ok(());
        }
        self.reader.object()?;
        while self.reader.member()?.is_some() {
            self.reader.string()?;
        }
        self.metadata_end = Some(self.reader.at());
        Ok(())
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>, name: JsonStr<'a>) -> Result<Entry<'a>> {
    let at = reader.token();
    let (mut dtype, mut shape, mut offsets) = (None, None, None);
    reader.object()?;
    while let Some(field) = reader.member()? {
        let field_at = reader.token();
        if field == "dtype" && dtype.is_none() {
            dtype = Some(read_dtype(reader)?);
        } else if field == "shape" && shape.is_none() {
            shape = Some(read_shape(reader)?);
        } else if field == "data_offsets" && offsets.is_none() {
            offsets = Some(read_offsets(reader)?);
        } else {
            return fail(field_at, HeaderFault::Field);
        }
    }
    let (Some(dtype), Some(shape), Some(Range { start: begin, end })) = (dtype, shape, offsets) else {
        return fail(at, HeaderFault::Field);
    };
    let span = end.checked_sub(begin).and_then(|span| u64::try_from(span).ok());
    if span.is_none() || span != shape.elements().and_then(|elements| dtype.span(elements)) {
        return fail(at, HeaderFault::Span);
    }
    Ok(Entry { name, dtype, shape, begin, end, at, len: 0 })
}

fn read_dtype(reader: &mut Reader<'_>) -> Result<FileDtype> {
    let name = reader.string()?;
    FileDtype::from_name(name).ok_or(Error::Header { at: reader.token(), fault: HeaderFault::Dtype })
}

fn read_shape<'a>(reader: &mut Reader<'a>) -> Result<Shape<'a>> {
    reader.array()?;
    let shape = Shape { items: *reader };
    while reader.integer_item()?.is_some() {}
    Ok(shape)
}

fn read_offsets(reader: &mut Reader<'_>) -> Result<Range<usize>> {
    reader.array()?;
    let at = reader.token();
    let begin = reader.integer_item()?;
    let end = reader.integer_item()?;
    let (Some(begin), Some(end), None) = (begin, end, reader.integer_item()?) else {
        return fail(at, HeaderFault::Field);
    };
    if begin > end {
        return fail(at, HeaderFault::Offsets);
    }
    Ok(begin..end)
}

/// The dimensions of a tensor, outermost first, read from the header as they are asked for.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// Stands behind the opening bracket of an array of whole numbers.
    items: Reader<'a>,
}

impl Shape<'_> {
    /// Elements in the tensor: the product; `None` if it overflows.
    fn elements(mut self) -> Option<u64> {
        self.try_fold(1u64, |product, dim| product.checked_mul(u64::try_from(dim).ok()?))
    }

    /// The shape as a matrix: a vector is one row. `None` for other ranks than 1 and 2.
    pub(crate) fn as_matrix(mut self) -> Option<[usize; 2]> {
        match (self.next(), self.next(), self.next()) {
            (Some(cols), None, None) => Some([1, cols]),
            (Some(rows), Some(cols), None) => Some([rows, cols]),
            _ => None,
        }
    }
}

impl Iterator for Shape<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        // The array has been read once, so there are no errors left; its end leaves the reader where it would find the
        // next member, so it stays put.
        let before = self.items;
        let item = self.items.integer_item().ok().flatten();
        if item.is_none() {
            self.items = before;
        }
        item
    }
}

impl core::iter::FusedIterator for Shape<'_> {}

impl fmt::Debug for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

pub(super) fn fail<T>(at: usize, fault: HeaderFault) -> Result<T> {
    Err(Error::Header { at, fault })
}

impl From<Fault> for Error {
    /// As an error of the header; configurations have their own.
    fn from(Fault { at, wrong }: Fault) -> Self {
        let fault = match wrong {
            Wrong::Syntax | Wrong::Range => HeaderFault::Syntax,
            Wrong::Kind => HeaderFault::Field,
        };
        Self::Header { at, fault }
    }
}
