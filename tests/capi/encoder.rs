//! An encoder from C: placed, created and opened; the bits of the Rust API; what it refuses.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use selfattn::Engine;
use selfattn::capi::{self, Batch, Config, Encoder, MatMut, Status};

use super::support::{batch, config, engine_at, fails, mat_mut, size, start, works};
use crate::common::damage::weight_files;
use crate::common::memory::{Bytes, Strided};
use crate::common::model::{Model, Sizes, Spelling};
use crate::common::run::{Text, embed, hidden, with_encoder};

const HIDDEN: usize = 36;

pub fn model(spelling: Spelling) -> Model {
    Model::random(spelling, Sizes::default(), 1)
}

pub fn parsed(json: &str) -> Config {
    let mut config = config();
    // SAFETY: what the header asks for.
    works(|error| unsafe { capi::config_parse(json.as_ptr().cast(), json.len(), &raw mut config, error) });
    config
}

/// An encoder in memory of the test's.
pub struct Placed {
    pub encoder: *mut Encoder,
    _memory: Bytes,
}

impl Placed {
    pub fn new(config: &Config, weights: &[u8]) -> Self {
        // SAFETY: what the header asks for.
        let needed = size(|bytes, error| unsafe { capi::encoder_bytes(config, bytes, error) });
        let (mut memory, mut encoder) = (Bytes::new(needed, 9), null_mut());
        // SAFETY: what the header asks for: the memory is kept beside it.
        works(|error| unsafe {
            let weights = (weights.as_ptr().cast(), weights.len());
            capi::encoder_place(config, weights.0, weights.1, start(&mut memory), needed, &raw mut encoder, error)
        });
        Self { encoder, _memory: memory }
    }
}

/// Token vectors and sentence vectors, with scratch for so many tokens at once.
pub fn run(engine: *const capi::Engine, encoder: *const Encoder, text: &Text, tokens: usize) -> [Strided; 2] {
    // SAFETY: what the header asks for.
    let needed = size(|bytes, error| unsafe { capi::encoder_scratch(engine, encoder, tokens, bytes, error) });
    let mut scratch = Bytes::new(needed, 1);
    let given = batch(&text.ids, &text.lengths);
    let given = Batch { type_ids: text.types.as_ptr(), type_ids_len: text.types.len(), ..given };
    let mut states = Strided::unwritten(text.ids.len(), HIDDEN, 1, 0);
    let mut vectors = Strided::unwritten(text.lengths.len(), HIDDEN, 2, 0);
    let (hidden, out) = (mat_mut(&mut states), mat_mut(&mut vectors));
    let room = start(&mut scratch);
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        capi::encoder_forward(engine, encoder, &raw const given, &raw const hidden, room, needed, error)
    });
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        capi::encoder_embed(engine, encoder, &raw const given, &raw const out, room, needed, error)
    });
    states.assert_guards();
    vectors.assert_guards();
    [states, vectors]
}

pub fn text() -> Text {
    let mut text = Text::of(&[1, 2, 3, 52]);
    text.push(&Text::of(&[7]));
    text.push(&Text::of(&(0..40).collect::<Vec<u32>>()));
    text
}

#[test]
fn every_family_gives_the_rust_apis_vectors() {
    for spelling in [Spelling::Bert, Spelling::Roberta, Spelling::DistilBert] {
        let (model, text) = (model(spelling), text());
        let (json, weights) = (model.config_json(), model.safetensors());
        let placed = Placed::new(&parsed(&json), &weights);
        for level in selfattn::Level::available() {
            let (rust, engine) = (Engine::new().with_level(level), engine_at(level.name()));
            with_encoder(&json, &weights, None, |encoder| {
                let [states, vectors] = run(&raw const engine, placed.encoder, &text, 40);
                assert_eq!(states.bits(), hidden(encoder, rust, &text).bits(), "{spelling:?} {level}");
                assert_eq!(vectors.bits(), embed(encoder, rust, &text).bits(), "{spelling:?} {level}");
            });
        }
    }
}

#[test]
fn packing_changes_no_bit_and_ties_it_to_a_level() {
    let (model, text) = (model(Spelling::Bert), text());
    let weights = model.safetensors();
    let placed = Placed::new(&parsed(&model.config_json()), &weights);
    let engine = engine_at("scalar");
    let before = run(&raw const engine, placed.encoder, &text, 40);
    // SAFETY: what the header asks for.
    let needed =
        size(|bytes, error| unsafe { capi::encoder_packed_bytes(&raw const engine, placed.encoder, bytes, error) });
    let mut memory = Bytes::new(needed, 3);
    let room = start(&mut memory);
    let pack = |room: *mut c_void, len, error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::encoder_pack(&raw const engine, placed.encoder, room, len, error) }
    };
    let error = fails(Status::Scratch, "memory", |error| pack(room, needed - 1, error));
    assert_eq!(error.expected[0], needed as u64);
    fails(Status::Null, "memory", |error| pack(null_mut(), needed, error));
    works(|error| pack(room, needed, error));
    let after = run(&raw const engine, placed.encoder, &text, 40);
    assert_eq!(before.map(|x| x.bits()), after.map(|x| x.bits()));
    let best = engine_at(selfattn::Level::detect().name());
    if best.level != engine.level {
        let mut out = Strided::unwritten(1, HIDDEN, 0, 0);
        let (given, to) = (batch(&[1, 2], &[2]), mat_mut(&mut out));
        let mut scratch = Bytes::new(1 << 20, 0);
        // SAFETY: what the header asks for.
        fails(Status::Packed, "weights", |error| unsafe {
            let room = start(&mut scratch);
            capi::encoder_embed(&raw const best, placed.encoder, &raw const given, &raw const to, room, 1 << 20, error)
        });
        out.assert_unwritten();
    }
}

#[test]
fn the_config_comes_back() {
    let model = model(Spelling::Roberta);
    let weights = model.safetensors();
    let given = parsed(&model.config_json());
    let placed = Placed::new(&given, &weights);
    let mut got = config();
    // SAFETY: what the header asks for.
    works(|error| unsafe { capi::encoder_config(placed.encoder, &raw mut got, error) });
    assert_eq!(format!("{got:?}"), format!("{given:?}"));
    let Sizes { vocab, positions, types, hidden, layers, heads, intermediate } = model.sizes;
    assert_eq!((got.vocab_size, got.max_positions, got.token_types), (vocab, positions, types));
    assert_eq!((got.hidden_size, got.layers, got.heads), (hidden, layers, heads));
    assert_eq!((got.intermediate_size, got.family, got.activation, got.position_offset), (intermediate, 1, 1, 2));
    assert_eq!(got.norm_eps, 1e-12);
}

#[test]
fn a_config_that_is_wrong_is_refused_by_its_field() {
    let parse = |json: &[u8], to: *mut Config, error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::config_parse(json.as_ptr().cast(), json.len(), to, error) }
    };
    let mut to = config();
    let error = fails(Status::Json, "", |error| parse(b"{\"a\": tru}", &raw mut to, error));
    assert_eq!(error.index, 6);
    fails(Status::Config, "model_type", |error| parse(b"{\"model_type\": \"gpt2\"}", &raw mut to, error));
    fails(Status::Null, "config", |error| parse(b"{}", null_mut(), error));
    let mut short = Config { size: 16, ..config() };
    fails(Status::StructSize, "config", |error| parse(b"{}", &raw mut short, error));
    assert_eq!((to.hidden_size, short.hidden_size), (0, 0));

    let good = parsed(&model(Spelling::Bert).config_json());
    let bytes = |config: Config, error| {
        let mut bytes = 77;
        // SAFETY: what the header asks for, but for what is refused.
        let status = unsafe { capi::encoder_bytes(&raw const config, &raw mut bytes, error) };
        assert_eq!(bytes, 77);
        status
    };
    fails(Status::Config, "heads", |error| bytes(Config { heads: 5, ..good }, error));
    fails(Status::Config, "norm_eps", |error| bytes(Config { norm_eps: f32::NAN, ..good }, error));
    fails(Status::Enum, "family", |error| bytes(Config { family: 3, ..good }, error));
    fails(Status::Enum, "activation", |error| bytes(Config { activation: 9, ..good }, error));
    fails(Status::Value, "reserved", |error| bytes(Config { reserved: 1, ..good }, error));
    fails(Status::Config, "layers", |error| bytes(Config { layers: usize::MAX / 4, ..good }, error));
}

#[test]
fn weights_that_are_wrong_are_refused() {
    let model = model(Spelling::Bert);
    let (good, weights) = (parsed(&model.config_json()), model.safetensors());
    let mut memory = Bytes::new(1 << 16, 0);
    let room = start(&mut memory);
    let mut encoder = null_mut();
    let mut place = |config: Config, weights: (*const u8, usize), room: *mut c_void, len, error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe {
            let weights = (weights.0.cast(), weights.1);
            capi::encoder_place(&raw const config, weights.0, weights.1, room, len, &raw mut encoder, error)
        }
    };
    let (from, len, space) = (weights.as_ptr(), weights.len(), 1 << 16);
    let error = fails(Status::Truncated, "", |error| place(good, (from, len - 1), room, space, error));
    assert_eq!((error.expected[0], error.got[0]), (len as u64, len as u64 - 1));
    fails(Status::Truncated, "", |error| place(good, (null(), 0), room, space, error));
    fails(Status::Null, "weights", |error| place(good, (null(), 8), room, space, error));
    fails(Status::Null, "memory", |error| place(good, (from, len), null_mut(), space, error));
    fails(Status::Scratch, "memory", |error| place(good, (from, len), room, 64, error));
    fails(Status::Overlap, "memory", |error| place(good, (room.cast_const().cast(), 99), room, space, error));
    let error =
        fails(Status::MissingTensor, "", |error| place(Config { layers: 3, ..good }, (from, len), room, space, error));
    assert!(super::support::message(&error).contains("encoder.layer.2."));
    let error =
        fails(Status::UnknownTensor, "", |error| place(Config { layers: 1, ..good }, (from, len), room, space, error));
    assert!(error.index > 0);
    let error = fails(Status::TensorShape, "", |error| {
        place(Config { vocab_size: 54, ..good }, (from, len), room, space, error)
    });
    assert_eq!((error.expected, error.got), ([54, 36], [53, 36]));
    let mut shifted = Bytes::new(len, 2);
    shifted.copy_from_slice(&weights);
    fails(Status::Misaligned, "weights", |error| place(good, (shifted.as_ptr(), len), room, space, error));
    let mut damaged = Bytes::copy(&weights);
    damaged[8] = b'?';
    let error = fails(Status::Header, "", |error| place(good, (damaged.as_ptr(), len), room, space, error));
    assert_eq!(error.index, 0);
    damaged[..8].fill(0xFF);
    fails(Status::HeaderTooLarge, "", |error| place(good, (damaged.as_ptr(), len), room, space, error));
    assert!(encoder.is_null());
}

#[test]
fn damaged_weight_files_are_refused_by_their_status() {
    let good = parsed(&model(Spelling::Bert).config_json());
    let mut memory = Bytes::new(1 << 16, 0);
    for damage in weight_files() {
        let weights = Bytes::copy(&damage.file);
        let mut encoder = null_mut();
        let mut error = super::support::detail();
        // SAFETY: what the header asks for.
        let status = unsafe {
            let (weights, len) = (weights.as_ptr().cast(), weights.len());
            let (room, space) = (start(&mut memory), memory.len());
            capi::encoder_place(&raw const good, weights, len, room, space, &raw mut encoder, &raw mut error)
        };
        let message = super::support::message(&error);
        assert_eq!((status, error.status), (damage.status, damage.status), "{message}");
        assert!(message.contains(damage.words) && encoder.is_null(), "{message}");
    }
}

#[test]
fn a_batch_that_is_wrong_is_refused() {
    let model = model(Spelling::Bert);
    let weights = model.safetensors();
    let placed = Placed::new(&parsed(&model.config_json()), &weights);
    let mut out = Strided::unwritten(2, HIDDEN, 1, 0);
    let mut scratch = Bytes::new(1 << 20, 0);
    let (to, room) = (mat_mut(&mut out), start(&mut scratch));
    let call = |encoder: *const Encoder, batch: Batch, out: MatMut, len, error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::encoder_embed(null(), encoder, &raw const batch, &raw const out, room, len, error) }
    };
    let good = batch(&[1, 2, 3], &[2, 1]);
    let encoder = placed.encoder.cast_const();
    let len = 1 << 20;
    let error = fails(Status::Token, "", |error| call(encoder, batch(&[1, 53, 3], &[2, 1]), to, len, error));
    assert_eq!((error.index, error.got[0], error.expected[0]), (1, 53, 53));
    let long = [1; 72];
    let error = fails(Status::TooLong, "", |error| call(encoder, batch(&long, &[1, 71]), to, len, error));
    assert_eq!((error.got[0], error.expected[0]), (71, 70));
    fails(Status::Shape, "lengths", |error| call(encoder, batch(&[1, 2, 3], &[2, 2]), to, len, error));
    fails(Status::Value, "lengths", |error| call(encoder, batch(&[1, 2, 3], &[3, 0]), to, len, error));
    fails(Status::Null, "ids", |error| call(encoder, Batch { ids: null(), ..good }, to, len, error));
    fails(Status::Null, "lengths", |error| call(encoder, Batch { lengths: null(), ..good }, to, len, error));
    fails(Status::Null, "type_ids", |error| call(encoder, Batch { type_ids_len: 3, ..good }, to, len, error));
    let types = [0_u32; 3];
    let typed = Batch { type_ids: types.as_ptr(), type_ids_len: 2, ..good };
    fails(Status::Shape, "type_ids", |error| call(encoder, typed, to, len, error));
    fails(Status::StructSize, "batch", |error| call(encoder, Batch { size: 0, ..good }, to, len, error));
    fails(Status::Shape, "out", |error| call(encoder, good, MatMut { rows: 1, ..to }, len, error));
    fails(Status::Shape, "out", |error| call(encoder, good, MatMut { cols: 35, ..to }, len, error));
    let error = fails(Status::Scratch, "scratch", |error| call(encoder, good, to, 100, error));
    assert_eq!(error.got[0], 100);
    fails(Status::Overlap, "out", |error| call(encoder, good, MatMut { data: room.cast(), ..to }, len, error));
    fails(Status::Overlap, "out", |error| {
        call(encoder, Batch { ids: to.data.cast_const().cast(), ..good }, to, len, error)
    });
    fails(Status::Null, "encoder", |error| call(null(), good, to, len, error));
    let nothing = [0_usize; 128];
    fails(Status::Handle, "encoder", |error| call(nothing.as_ptr().cast(), good, to, len, error));
    fails(Status::Handle, "encoder", |error| call(encoder.wrapping_byte_add(1), good, to, len, error));
    // Nothing to embed is no error.
    works(|error| call(encoder, batch(&[], &[]), MatMut { data: null_mut(), rows: 0, ..to }, len, error));
    out.assert_unwritten();
    works(|error| call(encoder, good, to, len, error));
}

#[cfg(feature = "alloc")]
#[test]
fn a_created_encoder_is_a_placed_one() {
    let (model, text) = (model(Spelling::Bert), text());
    let weights = model.safetensors();
    let config = parsed(&model.config_json());
    let mut created = null_mut();
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        capi::encoder_create(&raw const config, weights.as_ptr().cast(), weights.len(), &raw mut created, error)
    });
    let placed = Placed::new(&config, &weights);
    let [one, other] = [created, placed.encoder].map(|encoder| run(null(), encoder, &text, 40).map(|x| x.bits()));
    assert_eq!(one, other);
    // SAFETY: created above; null and a placed one are ignored.
    unsafe {
        capi::encoder_destroy(created);
        capi::encoder_destroy(null_mut());
        capi::encoder_destroy(placed.encoder);
    }
    assert_eq!(run(null(), placed.encoder, &text, 40).map(|x| x.bits()), other);
}

#[cfg(feature = "std")]
mod files {
    use std::ffi::CString;
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A model's folder, with a header of that much more than a multiple of 8 bytes.
    fn folder(name: &str, past: usize) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let model = model(Spelling::Bert);
        fs::write(folder.join("config.json"), model.config_json()).unwrap();
        let file = model.safetensors();
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let mut longer = ((header + past) as u64).to_le_bytes().to_vec();
        longer.extend(&file[8..8 + header]);
        longer.resize(longer.len() + past, b' ');
        longer.extend(&file[8 + header..]);
        fs::write(folder.join("model.safetensors"), longer).unwrap();
        folder
    }

    fn open(folder: &std::path::Path, encoder: *mut *mut Encoder, error: *mut capi::ErrorDetail) -> i32 {
        let folder = CString::new(folder.to_str().unwrap()).unwrap();
        // SAFETY: what the header asks for.
        unsafe { capi::encoder_open(folder.as_ptr(), encoder, error) }
    }

    #[test]
    fn an_opened_encoder_is_a_placed_one() {
        let text = text();
        let model = model(Spelling::Bert);
        let weights = model.safetensors();
        let placed = Placed::new(&parsed(&model.config_json()), &weights);
        let expected = run(null(), placed.encoder, &text, 40).map(|x| x.bits());
        // Old writers did not align the data.
        for past in [0, 1, 3] {
            let folder = folder(&format!("capi-{past}"), past);
            let mut encoder = null_mut();
            works(|error| open(&folder, &raw mut encoder, error));
            assert_eq!(run(null(), encoder, &text, 40).map(|x| x.bits()), expected);
            // SAFETY: opened above.
            unsafe { capi::encoder_destroy(encoder) };
        }
    }

    #[test]
    fn a_folder_without_a_model_is_refused_by_its_path() {
        let folder = folder("capi-broken", 0);
        let mut encoder = null_mut();
        fs::write(folder.join("model.safetensors"), b"short").unwrap();
        fails(Status::Truncated, "", |error| open(&folder, &raw mut encoder, error));
        fs::remove_file(folder.join("model.safetensors")).unwrap();
        let error = fails(Status::File, "", |error| open(&folder, &raw mut encoder, error));
        assert!(super::super::support::message(&error).contains("model.safetensors"));
        fails(Status::File, "", |error| open(&folder.join("nowhere"), &raw mut encoder, error));
        // SAFETY: null is refused.
        fails(Status::Null, "folder", |error| unsafe { capi::encoder_open(null(), &raw mut encoder, error) });
        let latin = b"caf\xe9\0";
        // SAFETY: text with a NUL.
        let error = fails(Status::Utf8, "folder", |error| unsafe {
            capi::encoder_open(latin.as_ptr().cast(), &raw mut encoder, error)
        });
        assert_eq!(error.index, 3);
        assert!(encoder.is_null());
    }
}
