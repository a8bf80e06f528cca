//! Where a model's tensors lie in its file, found ahead of time: for firmware, which then needs neither the file's header nor
//! names.

use super::config::EncoderConfig;
use super::names::Names;
use super::part::Part;
use super::safetensors::{SafeTensors, typed};
use crate::element::Dtype;
use crate::error::{Error, Result};
use crate::view::Matrix;

/// Where one tensor lies in its file, and what its numbers are. `Debug` writes it as the Rust expression that makes it, but for
/// the path of [`Dtype`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub offset: usize,
    /// The type of its elements.
    pub dtype: Dtype,
}

impl Place {
    /// The places of a model's tensors in the order of [`Part::ALL`]: first those of no layer, then those of each layer. A part
    /// that the model lacks (DistilBERT's token types) has the place of the one before it. For build scripts; the shapes are
    /// checked by [`Encoder::bind`](crate::block::Encoder::bind).
    ///
    /// # Errors
    /// [`Error::MissingTensor`] and [`Error::TensorType`] for the first tensor at fault.
    ///
    /// ```no_run
    /// use selfattn::weights::{EncoderConfig, Place, SafeTensors};
    ///
    /// # fn list(config: &EncoderConfig, file: &SafeTensors) -> Result<(), selfattn::Error> {
    /// let places: Vec<Place> = Place::of_all(config, file)?.collect::<Result<_, _>>()?;
    /// println!("pub const PLACES: [Place; {}] = {places:?};", places.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn of_all<'a>(
        config: &EncoderConfig,
        file: &SafeTensors<'a>,
    ) -> Result<impl Iterator<Item = Result<Self>> + use<'a>> {
        let (file, names, token_types) = (*file, Names::detect(file, config.family)?, config.token_types);
        let parts = |in_layer: bool| Part::ALL.into_iter().filter(move |part| part.in_layer() == in_layer);
        let of_layers = (0..config.layers).flat_map(move |layer| parts(true).map(move |part| (layer, part)));
        Ok(parts(false).map(|part| (0, part)).chain(of_layers).map(move |(layer, part)| {
            let lacks = part == Part::TokenTypeEmbeddings && token_types == 0;
            let tensor = names.name(layer, if lacks { Part::PositionEmbeddings } else { part });
            let info = file.find_named(tensor).ok_or(Error::MissingTensor { tensor })?;
            let dtype = info.dtype().compute().ok_or(Error::TensorType { tensor })?;
            Ok(Self { offset: file.offset(&info), dtype })
        }))
    }
}

/// The bytes of a weight file, and the [places](Place::of_all) of a model's tensors in it.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    bytes: &'a [u8],
    places: &'a [Place],
}

impl<'a> Placed<'a> {
    /// `bytes` are the whole file, aligned to 8.
    pub const fn new(bytes: &'a [u8], places: &'a [Place]) -> Self {
        Self { bytes, places }
    }

    /// Where the numbers of a part are, `rows x cols` of them.
    ///
    /// # Errors
    /// [`Error::Shape`] if the list has no place for it, [`Error::Truncated`] if the bytes end before it does,
    /// [`Error::Misaligned`] and [`Error::BigEndian`] as [`SafeTensors::matrix`].
    pub(crate) fn matrix(&self, layer: usize, part: Part, rows: usize, cols: usize) -> Result<Matrix<'a>> {
        let before = if part.in_layer() { layer.saturating_mul(Part::IN_LAYER) } else { 0 };
        let index = before.saturating_add(part as usize);
        let got = self.places.len();
        let Place { offset, dtype } =
            *self.places.get(index).ok_or(Error::Shape { arg: "places", expected: index.saturating_add(1), got })?;
        let len = rows.saturating_mul(cols).saturating_mul(dtype.size());
        let end = offset.saturating_add(len);
        let truncated = Error::Truncated { needed: end as u64, got: self.bytes.len() as u64 };
        typed(dtype, self.bytes.get(offset..end).ok_or(truncated)?, rows, cols)
    }
}
