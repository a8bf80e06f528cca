//! Weight files in the safetensors format, read in place.

use core::fmt;

use half::{bf16, f16};

use super::dtype::FileDtype;
use super::header::{Entries, Entry, Shape, fail};
use super::json::Reader;
use super::json_str::JsonStr;
use super::layout::{Limits, Survey, check_coverage, check_names};
use super::names::TensorName;
use crate::element::{Dtype, Element};
use crate::error::{Error, HeaderFault, Result};
use crate::view::{MatRef, Matrix};

/// Bytes of the length that a file starts with.
const PREFIX: usize = 8;

/// Longest header that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// Most tensors that a file may have. The format has no limit; the largest encoders have some 400.
pub const MAX_TENSORS: usize = 4096;

/// Most bytes of the header that one tensor may take, white space included. The format has no limit; a usual entry has
/// 150. Without one, a header of 100 MB would have to be read many times over.
pub const MAX_ENTRY_BYTES: usize = 1024;

/// A weight file in memory (or mapped into it), checked once and whole by [`SafeTensors::new`].
///
/// The format is that of <https://github.com/huggingface/safetensors>: a length of 8 bytes, little-endian; a JSON
/// header of that length; the data. Tensors are found by name and viewed where they lie; nothing is copied, and nothing
/// is kept but the bytes given: a look-up reads the header from its start.
#[derive(Clone, Copy)]
pub struct SafeTensors<'a> {
    header: &'a str,
    data: &'a [u8],
    tensors: usize,
    metadata_end: Option<usize>,
}

/// One tensor of a file.
#[derive(Clone, Copy)]
pub struct TensorInfo<'a> {
    entry: Entry<'a>,
    data: &'a [u8],
}

impl<'a> SafeTensors<'a> {
    /// Checks the whole file: the header's length, its JSON, each tensor's type, shape and place, that no name comes
    /// twice, and that the tensors cover the data to the end of the file without overlap and without hole.
    ///
    /// For the views of [`SafeTensors::matrix`], `bytes` should be aligned to 8: writers pad the header so that the data
    /// then are aligned for their type. Nothing else needs it.
    ///
    /// # Errors
    /// [`Error::Truncated`] and [`Error::HeaderTooLarge`] by the lengths; [`Error::Header`] with the offset in the header
    /// and the rule broken, also for more than [`MAX_TENSORS`] tensors or an entry of more than [`MAX_ENTRY_BYTES`].
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let (header, data) = split(bytes)?;
        let header = Reader::new(header)?.text();
        let mut entries = Entries::new(header, None)?;
        let limits = Limits { tensors: MAX_TENSORS, entry_bytes: MAX_ENTRY_BYTES };
        let survey = Survey::take(&mut entries, limits, data.len())?;

        let file = Self { header, data, tensors: survey.tensors, metadata_end: entries.metadata_end() };
        check_names(file.entries()?)?;
        file.check_data(&survey)?;
        Ok(file)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors
    }

    /// Whether the file has no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors == 0
    }

    /// The tensors in the order of the header.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo<'a>> + use<'a> {
        let data = self.data;
        // `new` has read the header to its end, so there are no errors left to see.
        let mut entries = self.entries().ok();
        core::iter::from_fn(move || {
            let entry = entries.as_mut()?.next().ok().flatten()?;
            Some(TensorInfo { entry, data: data.get(entry.begin..entry.end)? })
        })
    }

    /// The tensor of this name.
    pub fn find(&self, name: &str) -> Option<TensorInfo<'a>> {
        self.tensors().find(|tensor| tensor.name() == name)
    }

    /// Bytes of the file before a tensor's, which `new` has found to be there: nothing saturates.
    pub(super) fn offset(&self, tensor: &TensorInfo<'_>) -> usize {
        PREFIX.saturating_add(self.header.len()).saturating_add(tensor.entry.begin)
    }

    pub(super) fn find_named(&self, name: TensorName) -> Option<TensorInfo<'a>> {
        self.tensors().find(|tensor| name.is(tensor.name()))
    }

    /// The tensor of this name, viewed in place as `rows x cols` numbers, row-major. A vector is one row.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorShape`] for another shape or a rank other than 1 and 2,
    /// [`Error::TensorType`] for numbers that the engine does not compute with, [`Error::Misaligned`] if the bytes are not
    /// aligned for their type, [`Error::BigEndian`] on a target of that kind.
    pub fn matrix(&self, name: TensorName, rows: usize, cols: usize) -> Result<Matrix<'a>> {
        let tensor = self.find_named(name).ok_or(Error::MissingTensor { tensor: name })?;
        let expected = [rows, cols];
        let got = tensor.shape().as_matrix();
        if got != Some(expected) {
            return Err(Error::TensorShape { tensor: name, expected, got: got.unwrap_or_default() });
        }
        tensor.matrix(rows, cols)?.ok_or(Error::TensorType { tensor: name })
    }

    fn entries(&self) -> Result<Entries<'a>> {
        Entries::new(self.header, self.metadata_end)
    }

    /// Checks that the tensors and the data are of one extent. A layout that is sound in itself but goes past the end of
    /// the data is what a file cut off looks like; any other that does is a lie.
    fn check_data(&self, survey: &Survey) -> Result<()> {
        if !survey.contiguous {
            let covered = check_coverage(self.entries()?);
            match (covered, survey.past_end_at) {
                (Err(_), Some(at)) => return fail(at, HeaderFault::Offsets),
                (covered, _) => covered?,
            }
        }
        if survey.data_end > self.data.len() {
            let before = PREFIX.saturating_add(self.header.len());
            let needed = size(before.saturating_add(survey.data_end));
            return Err(Error::Truncated { needed, got: size(before.saturating_add(self.data.len())) });
        }
        if survey.data_end < self.data.len() {
            return fail(self.header.len(), HeaderFault::Coverage);
        }
        Ok(())
    }
}

impl<'a> TensorInfo<'a> {
    /// A view of the numbers, which must be `rows * cols`; `None` if the engine does not compute with their type.
    pub(crate) fn matrix(&self, rows: usize, cols: usize) -> Result<Option<Matrix<'a>>> {
        self.dtype().compute().map(|dtype| typed(dtype, self.data, rows, cols)).transpose()
    }

    /// Its name, as the file writes it.
    pub fn name(&self) -> JsonStr<'a> {
        self.entry.name
    }

    /// The type of its elements.
    pub fn dtype(&self) -> FileDtype {
        self.entry.dtype
    }

    /// Its dimensions, outermost first; none for a single number.
    pub fn shape(&self) -> Shape<'a> {
        self.entry.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape().count()
    }

    /// Its bytes, row-major and little-endian, at no alignment in particular.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

impl fmt::Debug for SafeTensors<'_> {
    /// The names; not the data, which may be gigabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tensors()).finish()
    }
}

impl fmt::Debug for TensorInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { name, dtype, shape, begin, end, .. } = &self.entry;
        write!(f, "{name:?}: {dtype} {shape:?} at {begin}..{end}")
    }
}

/// Header and data.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let got = size(bytes.len());
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(Error::Truncated { needed: size(PREFIX), got });
    };
    let claimed = u64::from_le_bytes(*prefix);
    if claimed > MAX_HEADER {
        return Err(Error::HeaderTooLarge { claimed, max: MAX_HEADER });
    }
    let header = usize::try_from(claimed).ok().and_then(|len| rest.split_at_checked(len));
    header.ok_or(Error::Truncated { needed: claimed.saturating_add(size(PREFIX)), got })
}

/// A size as errors give it, the same on every target. (No target has pointers of more than 64 bits.)
fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Bytes of a file as `rows x cols` numbers.
pub(super) fn typed(dtype: Dtype, data: &[u8], rows: usize, cols: usize) -> Result<Matrix<'_>> {
    Ok(match dtype {
        Dtype::F32 => Matrix::F32(view::<f32>(data, rows, cols)?),
        Dtype::F16 => Matrix::F16(view::<f16>(data, rows, cols)?),
        Dtype::Bf16 => Matrix::Bf16(view::<bf16>(data, rows, cols)?),
    })
}

fn view<E: Element>(data: &[u8], rows: usize, cols: usize) -> Result<MatRef<'_, E>> {
    MatRef::new(cast(data)?, rows, cols)
}

/// The numbers in `data`, which must be whole and aligned.
#[allow(unsafe_code)]
fn cast<E: Element>(data: &[u8]) -> Result<&[E]> {
    if cfg!(target_endian = "big") {
        return Err(Error::BigEndian);
    }
    // SAFETY: `Element` is sealed: f32, f16 and bf16. All have no padding, and every pattern of bits is a value.
    let (before, numbers, after) = unsafe { data.align_to::<E>() };
    if !before.is_empty() || !after.is_empty() {
        return Err(Error::Misaligned { arg: "bytes", align: align_of::<E>() });
    }
    Ok(numbers)
}
