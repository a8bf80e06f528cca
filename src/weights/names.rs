//! The names that model families give their tensors.

use core::fmt;

use super::config::Family;
use super::json_str::JsonStr;
use super::part::Part;
use super::safetensors::SafeTensors;
use crate::error::{Error, Result};
use crate::words::{DIGITS, Say, Words, decimal, display};

/// The name of one tensor of a model: small, `Copy`, spelled out only when it is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorName {
    names: Names,
    layer: u32,
    part: Part,
}

/// How a file spells the names of its model: the family's names, with or without the family's prefix. Found by
/// [`Names::detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    family: Family,
    /// Names start with [`prefix`], because the file holds a model with a head.
    prefixed: bool,
    /// Norms have `gamma` and `beta` for `weight` and `bias`, as in checkpoints converted from TensorFlow.
    old_norms: bool,
}

/// Tensors of heads and such, which an encoder does without. Where a model has a prefix, these come without.
const HEADS: [&str; 8] = [
    "cls.",
    "lm_head.",
    "classifier.",
    "pre_classifier.",
    "qa_outputs.",
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",
];

/// A part of the model that only some heads use. It comes with the model's prefix.
const POOLER: &str = "pooler.";

/// A constant, 0, 1, 2, ..., that old versions of the reference library saved.
const POSITION_IDS: &str = "embeddings.position_ids";

impl Names {
    /// Finds out how `file` spells the names of a model of this family.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] for the word embeddings, if they are there under no spelling.
    pub fn detect(file: &SafeTensors<'_>, family: Family) -> Result<Self> {
        let plain = Self { family, prefixed: false, old_norms: false };
        let prefixed = Self { prefixed: true, ..plain };
        let words = plain.name(0, Part::WordEmbeddings);
        let found = [plain, prefixed].into_iter().find(|names| names.has(file, Part::WordEmbeddings));
        let names = found.ok_or(Error::MissingTensor { tensor: words })?;
        let old = Self { old_norms: true, ..names };
        Ok(if old.has(file, Part::EmbeddingsNormWeight) { old } else { names })
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The name of a part. `layer` counts from 0, and is ignored where the part is none of a layer's.
    pub fn name(&self, layer: usize, part: Part) -> TensorName {
        let layer = if part.in_layer() { u32::try_from(layer).unwrap_or(u32::MAX) } else { 0 };
        TensorName { names: *self, layer, part }
    }

    /// Checks that every tensor of `file` is a part of a model of `layers` layers, or one that encoders do without:
    /// heads, the pooler, position ids.
    ///
    /// # Errors
    /// [`Error::UnknownTensor`] for the first that is not.
    pub fn check_no_unknown(&self, file: &SafeTensors<'_>, layers: usize) -> Result<()> {
        let unknown = file.tensors().position(|tensor| {
            let mut buffer = [0; MAX_NAME];
            // A name that starts like a head's may be of any length, and needs no buffer unless it has escapes.
            tensor.name().resolve(&mut buffer).is_none_or(|name| !self.knows(name, layers))
        });
        unknown.map_or(Ok(()), |index| Err(Error::UnknownTensor { index }))
    }

    fn has(&self, file: &SafeTensors<'_>, part: Part) -> bool {
        file.find_named(self.name(0, part)).is_some()
    }

    fn knows(&self, name: &str, layers: usize) -> bool {
        HEADS.iter().any(|head| name.starts_with(head))
            || name.strip_prefix(self.prefix()).is_some_and(|name| self.knows_unprefixed(name, layers))
    }

    fn knows_unprefixed(&self, name: &str, layers: usize) -> bool {
        if name == POSITION_IDS || name.starts_with(POOLER) {
            return true;
        }
        match name.strip_prefix(self.family.layers_prefix()) {
            None => self.knows_part(name, false),
            Some(rest) => rest.split_once('.').is_some_and(|(layer, name)| {
                parse_layer(layer).is_some_and(|layer| layer < layers) && self.knows_part(name, true)
            }),
        }
    }

    fn knows_part(&self, name: &str, in_layer: bool) -> bool {
        Part::ALL.iter().any(|part| part.in_layer() == in_layer && self.is_part(name, *part))
    }

    fn is_part(&self, name: &str, part: Part) -> bool {
        let parameter = part.module(self.family).and_then(|module| name.strip_prefix(module)?.strip_prefix('.'));
        parameter == Some(part.parameter(self.old_norms))
    }

    fn prefix(&self) -> &'static str {
        if self.prefixed { self.family.prefix() } else { "" }
    }
}

/// A layer's number as a name has it: no sign, no zeros in front.
fn parse_layer(digits: &str) -> Option<usize> {
    let canonical = digits == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
    canonical.then(|| digits.parse().ok())?
}

/// Bytes that the longest [`TensorName`] takes, rounded up: the longest prefix and part, and a `u32`, have 77.
const MAX_NAME: usize = 96;

impl TensorName {
    /// Which part of the model it is.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Its layer, from 0, if it is part of one.
    pub fn layer(&self) -> Option<usize> {
        self.part.in_layer().then(|| usize::try_from(self.layer).ok())?
    }

    /// Whether this is the name that a file gives.
    pub(super) fn is(&self, name: JsonStr<'_>) -> bool {
        let mut digits = [0; DIGITS];
        let words = self.words(&mut digits);
        match name.as_str() {
            Some(plain) => words.iter().try_fold(plain, |rest, word| rest.strip_prefix(*word)) == Some(""),
            None => name.chars().eq(words.iter().flat_map(|word| word.chars())),
        }
    }

    /// What the name is put together from. Not by `core::fmt`: a microcontroller that looks tensors up has no need of it.
    fn words<'d>(&self, digits: &'d mut [u8; DIGITS]) -> [&'d str; 7] {
        let Self { names, layer, part } = *self;
        let [layers, number, dot] = match part.in_layer() {
            true => [names.family.layers_prefix(), decimal(layer.into(), digits), "."],
            false => [""; 3],
        };
        // A family lacks the module only if a caller asks for a part it does not have; then the usual name serves.
        let module = part.module(names.family).or(part.module(Family::Bert)).unwrap_or_default();
        [names.prefix(), layers, number, dot, module, ".", part.parameter(names.old_norms)]
    }
}

impl Words for TensorName {
    fn say(&self, to: &mut Say<'_>) {
        self.words(&mut [0; DIGITS]).into_iter().for_each(to);
    }
}

impl fmt::Display for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
