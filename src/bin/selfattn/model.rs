//! A model, from a published folder or from inside the program: opened, checked, bound to an encoder.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapMut};
use selfattn::block::{Encoder, Layer, TokenClassifier};
use selfattn::weights::{EncoderConfig, SafeTensors};
use selfattn::{Error, Level};

use crate::args::{LengthArgs, ModelArgs};
use crate::built_in;
use crate::error::{Failure, Result, reason};
use crate::labels::Labels;
use crate::tokens::Tokenizer;

const GET: &str = "`python3 scripts/get_minilm.py` gets a model into ./models";
const TYPES: &str = "this program runs encoders of the types bert, distilbert, roberta, xlm-roberta and camembert";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
/// By how much packed weights may be larger than the file.
const ROUNDING: usize = 1 << 20;

/// The three files of a model, read as far as needed to bind an encoder to them.
pub struct Model {
    pub name: String,
    pub config: EncoderConfig,
    pub tokenizer: Tokenizer,
    /// Of a model that labels tokens.
    pub labels: Option<Labels>,
    weights: Weights,
    weights_path: PathBuf,
}

impl Model {
    /// Opens the model folder that was asked for, or else the model inside the program.
    pub fn open(args: &ModelArgs, length: &LengthArgs) -> Result<Self> {
        match &args.model {
            Some(dir) => Self::from_folder(dir, length),
            None => Self::built_in(length),
        }
    }

    fn from_folder(dir: &Path, length: &LengthArgs) -> Result<Self> {
        check_folder(dir)?;
        let read = |name| {
            let path = dir.join(name);
            fs::read(&path).map_err(|error| cannot_open(&path, &error))
        };
        let (config, tokenizer) = (read(CONFIG)?, read(TOKENIZER)?);
        let weights = Weights::open(&dir.join(WEIGHTS))?;
        let name =
            dir.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned());
        Self::new(name, dir, [&config, &tokenizer], weights, length)
    }

    fn built_in(length: &LengthArgs) -> Result<Self> {
        let files = [built_in::CONFIG, built_in::TOKENIZER];
        let weights = Weights::BuiltIn(built_in::weights());
        Self::new(built_in::NAME.to_owned(), Path::new(built_in::NAME), files, weights, length)
    }

    /// `dir` is where messages say the files are.
    fn new(
        name: String,
        dir: &Path,
        [config, tokenizer]: [&[u8]; 2],
        weights: Weights,
        length: &LengthArgs,
    ) -> Result<Self> {
        let labels = Labels::from_config(config);
        let config = EncoderConfig::from_json(config).map_err(|error| in_words(&dir.join(CONFIG), error))?;
        let tokenizer = Tokenizer::new(tokenizer, &dir.join(TOKENIZER), config.max_positions, length)?;
        Self { name, config, tokenizer, labels, weights, weights_path: dir.join(WEIGHTS) }.aligned()
    }

    /// With its weights copied to where they are aligned, if they are not where they are. A file that is refused is not copied.
    fn aligned(mut self) -> Result<Self> {
        if misalignment(self.weights.bytes()) != 0 {
            let refused = match self.try_bind(&mut self.layers()) {
                Ok(_) | Err((Error::Misaligned { .. }, _)) => None,
                Err((_, failure)) => Some(failure),
            };
            self.weights = refused.map_or_else(|| Weights::copy(self.weights.bytes()), Err)?;
        }
        Ok(self)
    }

    /// Binds an encoder to the weights, prepacks them for `level`, and lends it to `work`.
    pub fn with_encoder<T>(&self, level: Level, work: impl FnOnce(&Encoder<'_, '_>) -> Result<T>) -> Result<T> {
        let mut layers = self.layers();
        // Declared before the encoder that borrows it.
        let mut panels;
        let mut encoder = self.bind(&mut layers)?;
        let bytes = encoder.packed_bytes(level)?;
        // Panels of a matrix with one row are as wide as others: a model of odd shape runs from its file.
        if bytes <= self.weights.bytes().len().saturating_add(ROUNDING) {
            panels = large(bytes)?;
            encoder.pack(level, &mut panels)?;
        }
        work(&encoder)
    }

    /// Lends an encoder to `work` whose weights are as the file has them.
    pub fn with_plain_encoder<T>(&self, work: impl FnOnce(&Encoder<'_, '_>) -> Result<T>) -> Result<T> {
        work(&self.bind(&mut self.layers())?)
    }

    /// Numbers in the weight file, and its bytes.
    pub fn size(&self) -> Result<(u64, usize)> {
        let bytes = self.weights.bytes();
        let tensors = SafeTensors::new(bytes).map_err(|error| in_words(&self.weights_path, error))?;
        let numbers = tensors.tensors().map(|tensor| tensor.shape().map(|dim| dim as u64).product::<u64>()).sum();
        Ok((numbers, bytes.len()))
    }

    /// How the weights are stored: `f32`, `f16`, `bf16`.
    pub fn dtype(&self) -> Result<&'static str> {
        Ok(self.bind(&mut self.layers())?.word_table().dtype().name())
    }

    /// What labels the tokens, with its labels, if the model has that.
    pub fn classifier(&self) -> Result<Option<(TokenClassifier<'_>, &Labels)>> {
        let Some(labels) = &self.labels else { return Ok(None) };
        let tensors = SafeTensors::new(self.weights.bytes()).map_err(|error| in_words(&self.weights_path, error))?;
        let classifier = TokenClassifier::bind(&tensors, self.config.hidden_size)
            .map_err(|error| misfit(&self.weights_path, &error.to_string()))?;
        match classifier {
            Some(classifier) if classifier.labels() != labels.len() => Err(misfit(
                &self.weights_path,
                &format!("its classifier has {} labels, id2label {}", classifier.labels(), labels.len()),
            )),
            classifier => Ok(classifier.map(|classifier| (classifier, labels))),
        }
    }

    fn layers<'w>(&self) -> Vec<Layer<'w>> {
        vec![Layer::default(); self.config.layers]
    }

    fn bind<'s, 'w>(&'w self, layers: &'s mut [Layer<'w>]) -> Result<Encoder<'s, 'w>> {
        self.try_bind(layers).map_err(|(_, failure)| failure)
    }

    /// The encoder; or what is wrong, and what to say about it.
    fn try_bind<'s, 'w>(
        &'w self,
        layers: &'s mut [Layer<'w>],
    ) -> std::result::Result<Encoder<'s, 'w>, (Error, Failure)> {
        let path = &self.weights_path;
        let tensors = SafeTensors::new(self.weights.bytes()).map_err(|error| (error, in_words(path, error)))?;
        Encoder::bind(&self.config, &tensors, layers).map_err(|error| match error {
            Error::UnknownTensor { index } => {
                let name = tensors.tensors().nth(index).map_or_else(String::new, |tensor| tensor.name().to_string());
                (error, misfit(path, &format!("the model has no place for its tensor `{name}`")))
            }
            _ => (error, in_words(path, error)),
        })
    }
}

fn check_folder(dir: &Path) -> Result<()> {
    match fs::metadata(dir) {
        Ok(data) if data.is_dir() => Ok(()),
        Ok(_) => Err(Failure::failed(format!(
            "{} is a file; a model is a folder with {CONFIG}, {TOKENIZER} and {WEIGHTS}",
            dir.display()
        ))),
        Err(error) => Err(Failure::failed(format!("no model folder {}: {}; {GET}", dir.display(), reason(&error)))),
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::failed(match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{path} is missing: a model folder has {CONFIG}, {TOKENIZER} and {WEIGHTS}; {GET}")
        }
        _ => format!("cannot read {path}: {}", reason(error)),
    })
}

/// What is wrong with a model's file, and what to do about it.
fn in_words(file: &Path, error: Error) -> Failure {
    let path = file.display();
    Failure::failed(match error {
        Error::Json { .. } => format!("{path}: {error}: the file is damaged, get it again"),
        Error::Config { .. } => format!("{path}: {error}; {TYPES}"),
        Error::Truncated { .. } | Error::HeaderTooLarge { .. } | Error::Header { .. } => {
            format!("{path} is damaged, or no safetensors file: {error}; get it again")
        }
        Error::MissingTensor { .. } | Error::TensorShape { .. } => return misfit(file, &error.to_string()),
        _ => format!("{path}: {error}"),
    })
}

fn misfit(path: &Path, what: &str) -> Failure {
    let path = path.display();
    Failure::failed(format!("{path} does not fit the {CONFIG} beside it: {what}; get both again, from one model"))
}

/// The bytes of a weight file, its numbers aligned.
enum Weights {
    BuiltIn(&'static [u8]),
    Mapped(Mmap),
    /// A copy, from a place in the buffer where the numbers are aligned.
    Copied(Vec<u8>, Range<usize>),
}

/// What the format's writers align the data to today. Older ones did not, and such files are still published.
const DATA_ALIGN: usize = 8;

impl Weights {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        // SAFETY: nobody may write to the file while it is mapped. No program can enforce that; as all who map files,
        // this one relies on weight files being written once and then only read.
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature, and reading 90 MB at each start is slow")]
        let map = unsafe { Mmap::map(&file) }.map_err(|error| cannot_open(path, &error))?;
        Ok(Self::Mapped(map))
    }

    fn copy(file: &[u8]) -> Result<Self> {
        let mut copy = zeros(file.len() + 2 * DATA_ALIGN)?;
        let start = copy.as_ptr().align_offset(DATA_ALIGN) + DATA_ALIGN - misalignment(file);
        let place = start..start + file.len();
        copy[place.clone()].copy_from_slice(file);
        Ok(Self::Copied(copy, place))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::BuiltIn(bytes) => bytes,
            Self::Mapped(map) => map,
            Self::Copied(copy, place) => &copy[place.clone()],
        }
    }
}

/// Zeros in large pages, where the system has them: weights are read from end to end for each text, and of small pages the CPU does
/// not know as many at a time.
fn large(bytes: usize) -> Result<MmapMut> {
    let memory = MmapMut::map_anon(bytes).map_err(|_| Error::Memory { bytes })?;
    // A system without them refuses, and gives small ones.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

fn zeros(bytes: usize) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|_| Error::Memory { bytes })?;
    memory.resize(bytes, 0);
    Ok(memory)
}

/// How far the data is from being aligned, in a file that itself is: its header has a length of its own.
fn misalignment(file: &[u8]) -> usize {
    let header = file.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    (header % DATA_ALIGN as u64) as usize
}
