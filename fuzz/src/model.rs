//! A small model, damaged or not, through `bind` and `forward`: an error that leaves the result unwritten, or the same bits from
//! plain and packed weights; finite ones if the weights are; those of the f64 encoder if nothing was damaged.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use selfattn::block::{Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};
use selfattn::{Activation, Dtype, Engine, Error, Level};

use crate::common::bound::max_error;
use crate::common::encoder::encode;
use crate::common::memory::{Bytes, Strided};
use crate::common::model::{Model, Sizes, Spelling, Tensor, safetensors};
use crate::common::run::Text;
use crate::draw::{dtype, list, rarely};

/// Layers that memory is kept for. A configuration may claim any number.
const LAYERS: usize = 4;

/// Weights up to here leave every intermediate result within f32: the largest is the square of what the second layer of a
/// feed-forward network gives, (1e3)^4 times some widths.
const MODERATE: f32 = 1e3;

/// What rounding may do to a hidden state, whose numbers are about 1: a hundred times what `tests/encoder.rs` sees, and far
/// below any mistake.
const TOLERANCE: f64 = 1e-3;

pub fn run(data: &[u8]) {
    if let Ok(case) = Case::draw(&mut Unstructured::new(data)) {
        case.check();
    }
}

struct Case {
    level: Level,
    model: Model,
    tensors: BTreeMap<String, Tensor>,
    config: Vec<u8>,
    file: Bytes,
    text: Text,
    /// Tokens of scratch, and bytes that it lacks of these.
    scratch: (usize, usize),
    damaged: bool,
}

impl Case {
    fn draw(u: &mut Unstructured<'_>) -> Result<Self> {
        let levels: Vec<Level> = Level::available().collect();
        let level = *u.choose(&levels)?;
        let model = model(u)?;
        let text = text(u, &model.sizes)?;
        let scratch = (u.int_in_range(1..=20)?, usize::from(rarely(u, 16)?));
        let mut tensors = model.spelled();
        let damages = u.int_in_range(0..=3)?;
        let before = list(u, damages, |u| damage_tensor(u, &mut tensors))?.len();
        let mut config = model.config_json().into_bytes();
        let mut file = safetensors(&tensors);
        let bytes = list(u, 3 - damages, |u| damage_bytes(u, &mut config, &mut file))?.len();
        Ok(Self { level, model, tensors, config, file, text, scratch, damaged: before + bytes > 0 })
    }

    fn check(&self) {
        let (Ok(config), Ok(tensors)) = (EncoderConfig::from_json(&self.config), SafeTensors::new(&self.file)) else {
            assert!(self.damaged, "a sound model is refused");
            return;
        };
        let mut memory;
        let mut layers = [Layer::default(); LAYERS];
        let mut encoder = match Encoder::bind(&config, &tensors, &mut layers) {
            Ok(encoder) => encoder,
            Err(_) if self.damaged => return,
            Err(error) => panic!("a sound model is refused: {error}"),
        };
        let engine = Engine::new().with_level(self.level);
        let plain = self.run(engine, &encoder);
        memory = Bytes::new(encoder.packed_bytes(self.level).unwrap(), 1);
        encoder.pack(self.level, &mut memory).unwrap();
        let packed = self.run(engine, &encoder);
        assert_eq!(plain.is_ok(), packed.is_ok(), "{plain:?} {packed:?}");
        let (Ok(plain), Ok(packed)) = (plain, packed) else { return };
        assert_eq!(canonical(&plain), canonical(&packed), "{}: packed weights differ", self.level);
        if is_moderate(&tensors) {
            assert!(plain.mat().data.iter().all(|x| x.is_finite()), "{}: not finite", self.level);
        }
        if !self.damaged {
            self.compare(&plain);
        }
    }

    /// The hidden states, after a check of what the input was refused for.
    fn run(&self, engine: Engine<'_>, encoder: &Encoder<'_, '_>) -> std::result::Result<Strided, Error> {
        let ((tokens, lacking), text) = (self.scratch, &self.text);
        let mut scratch = Bytes::new(encoder.scratch_bytes(&engine, tokens)?.saturating_sub(lacking), 1);
        let mut out = Strided::unwritten(text.ids.len(), encoder.config().hidden_size, 2, 1);
        let result = encoder.forward(&engine, &text.batch(), out.view_mut(), &mut scratch);
        out.assert_guards();
        let expected = self.refusal(encoder.config(), text);
        match result {
            Ok(()) => assert!(expected.is_none(), "{expected:?} was to be refused"),
            Err(error) => {
                out.assert_unwritten();
                // Scratch that is too small for the longest sequence counts as well.
                assert!(expected.is_some() || matches!(error, Error::Scratch { .. }), "{error}");
            }
        }
        result.map(|()| out)
    }

    /// Why the text cannot be run, whatever the scratch.
    fn refusal(&self, config: &EncoderConfig, text: &Text) -> Option<&'static str> {
        let beyond = |ids: &[u32], count: usize| ids.iter().any(|&id| id as usize >= count);
        [
            (text.lengths.iter().any(|&len| len > config.max_positions), "length"),
            (beyond(&text.ids, config.vocab_size), "id"),
            (config.token_types > 0 && beyond(&text.types, config.token_types), "type"),
        ]
        .into_iter()
        .find_map(|(wrong, what)| wrong.then_some(what))
    }

    fn compare(&self, got: &Strided) {
        let mut model = self.model.clone();
        for (name, tensor) in &mut model.tensors {
            *tensor = self.tensors[&self.model.spell(name)].clone();
        }
        let mut start = 0;
        for sequence in self.text.sequences() {
            let expected = encode::<f64>(&model, &sequence.ids, &sequence.types);
            let error = max_error(&got.mat().rows(start, sequence.ids.len()), &expected);
            assert!(error <= TOLERANCE, "{}: off by {error:e}, {:?} {:?}", self.level, model.spelling, model.sizes);
            start += sequence.ids.len();
        }
    }
}

/// Whether all numbers of the file are moderate; those of other types are not looked at by any encoder.
fn is_moderate(tensors: &SafeTensors<'_>) -> bool {
    let moderate = |x: f32| x.abs() <= MODERATE;
    tensors.tensors().all(|tensor| match tensor.dtype().compute() {
        Some(Dtype::F32) => numbers(tensor.data()).all(|x| moderate(f32::from_le_bytes(x))),
        Some(Dtype::F16) => numbers(tensor.data()).all(|x| moderate(half::f16::from_le_bytes(x).to_f32())),
        Some(Dtype::Bf16) => numbers(tensor.data()).all(|x| moderate(half::bf16::from_le_bytes(x).to_f32())),
        None => true,
    })
}

fn numbers<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|x| x.try_into().expect("of that many bytes"))
}

/// The bits, where any NaN is as good as another.
fn canonical(x: &Strided) -> Vec<u32> {
    x.bits().into_iter().map(|bits| if f32::from_bits(bits).is_nan() { f32::NAN.to_bits() } else { bits }).collect()
}

fn model(u: &mut Unstructured<'_>) -> Result<Model> {
    let heads = u.int_in_range(1..=3)?;
    let sizes = Sizes {
        vocab: u.int_in_range(1..=9)?,
        positions: u.int_in_range(1..=9)?,
        types: u.int_in_range(1..=2)?,
        hidden: heads * u.int_in_range(8..=12)?,
        layers: u.int_in_range(1..=2)?,
        heads,
        intermediate: u.int_in_range(1..=40)?,
    };
    let spelling = *u.choose(&[Spelling::Bert, Spelling::Roberta, Spelling::DistilBert])?;
    let model = Model::random(spelling, sizes, u.arbitrary()?).stored_as(dtype(u)?);
    let activation = *u.choose(&[Activation::Gelu, Activation::GeluTanh, Activation::Relu])?;
    Ok(Model { activation, ..model })
}

/// Sequences, mostly of ids and lengths that the model has.
fn text(u: &mut Unstructured<'_>, sizes: &Sizes) -> Result<Text> {
    let one_over = u32::from(rarely(u, 8)?);
    let below = |u: &mut Unstructured<'_>, count: usize| u.int_in_range(0..=count as u32 - 1 + one_over);
    let mut text =
        Text { lengths: list(u, 3, |u| u.int_in_range(1..=sizes.positions + one_over as usize))?, ..Text::default() };
    for _ in 0..text.lengths.iter().sum() {
        text.ids.push(below(u, sizes.vocab)?);
        text.types.push(if sizes.types > 0 { below(u, sizes.types)? } else { 0 });
    }
    Ok(text)
}

const NUMBERS: [f32; 8] = [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e30, 1e-40, MODERATE];

/// One tensor renamed, lost, doubled, of another type or shape, or with a number that no training leaves.
fn damage_tensor(u: &mut Unstructured<'_>, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let names: Vec<String> = tensors.keys().cloned().collect();
    let (name, other) = (u.choose(&names)?.clone(), u.choose(&names)?.clone());
    let tensor = tensors.get_mut(&name).expect("chosen from those that are there");
    match u.int_in_range(0..=6_u8)? {
        0 => drop(tensors.remove(&name)),
        1 => {
            let tensor = tensor.clone();
            tensors.insert(format!("{name}x"), tensor);
        }
        2 => {
            let tensor = tensor.clone();
            tensors.insert(other, tensor);
        }
        3 => *tensor = tensor.stored_as(dtype(u)?),
        4 => tensor.shape.reverse(),
        5 => tensor.shape.push(1),
        _ => {
            let at = u.int_in_range(0..=tensor.values.len() - 1)?;
            tensor.values[at] = *u.choose(&NUMBERS)?;
            *tensor = tensor.stored_as(tensor.dtype);
        }
    }
    Ok(())
}

/// A byte of the configuration or of the file, or the end of the file.
fn damage_bytes(u: &mut Unstructured<'_>, config: &mut Vec<u8>, file: &mut Bytes) -> Result<()> {
    let byte = u.arbitrary::<u8>()?;
    match u.int_in_range(0..=4_u8)? {
        0 => {
            let at = u.int_in_range(0..=config.len() - 1)?;
            config[at] = byte;
        }
        1 => {
            // A digit put into a number makes it another number.
            let at = u.int_in_range(0..=config.len() - 1)?;
            config.insert(at, b'0' + byte % 10);
        }
        2 => *file = Bytes::copy(&file[..u.int_in_range(0..=file.len())?]),
        _ if file.is_empty() => {}
        _ => {
            let at = u.int_in_range(0..=file.len() - 1)?;
            file[at] = byte;
        }
    }
    Ok(())
}
