//! Version, level, status, the error struct, softmax.

use std::ffi::CStr;
use std::ptr::{null, null_mut};

use selfattn::capi::{self, Engine, ErrorDetail, Status};
use selfattn::{Error, Level};

use super::support::{detail, engine_at, fails, mat_mut, message, options, size, works};
use crate::common::data::Rng;
use crate::common::every_level;
use crate::common::memory::Strided;

fn name(level: i32) -> Option<&'static str> {
    // SAFETY: takes a number, gives static text or null.
    let name = unsafe { capi::level_name(level) };
    // SAFETY: as above.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_str().unwrap())
}

#[test]
fn the_version_is_the_crates() {
    // SAFETY: no arguments, static text.
    let (number, text) = unsafe { (capi::version(), CStr::from_ptr(capi::version_text())) };
    assert_eq!(text.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    let [major, minor, patch] = [number / 1_000_000, number / 1000 % 1000, number % 1000];
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_level_has_its_number_and_its_name() {
    for level in Level::available() {
        let engine = engine_at(level.name());
        assert_eq!(name(engine.level), Some(level.name()));
        // SAFETY: a number.
        assert_eq!(unsafe { capi::level_is_available(engine.level) }, 1);
    }
    // SAFETY: no arguments.
    let (best, current) = unsafe { (capi::level_best(), capi::level_current()) };
    assert_eq!(name(best), Some(Level::detect().name()));
    assert_eq!(name(current), Some(Level::current().name()));
    assert_eq!(name(0), name(current));
    assert_eq!(name(6), None);
    // SAFETY: a number.
    assert_eq!(unsafe { capi::level_is_available(6) }, 0);
}

#[test]
fn unknown_levels_are_refused() {
    let mut level = 77;
    // SAFETY: text with a NUL, a place for a number.
    fails(Status::Level, "", |error| unsafe { capi::level_from_name(c"avx1024".as_ptr(), &raw mut level, error) });
    // SAFETY: null is refused.
    fails(Status::Null, "name", |error| unsafe { capi::level_from_name(null(), &raw mut level, error) });
    // SAFETY: null is refused.
    fails(Status::Null, "level", |error| unsafe { capi::level_from_name(c"scalar".as_ptr(), null_mut(), error) });
    assert_eq!(level, 77);
    // SAFETY: numbers.
    let error = fails(Status::Enum, "level", |error| unsafe { capi::level_set(-3, error) });
    assert_eq!(error.got[0], u64::from((-3_i32).cast_unsigned()));
    // No CPU has both.
    for missing in [16, 2] {
        // SAFETY: a number.
        if unsafe { capi::level_is_available(missing) } == 0 {
            // SAFETY: a number.
            fails(Status::Level, "", |error| unsafe { capi::level_set(missing, error) });
        }
    }
}

#[test]
fn every_status_has_a_text_of_its_own() {
    // SAFETY: a number in, static text out.
    let text = |status| unsafe { CStr::from_ptr(capi::status_text(status)) }.to_str().unwrap();
    let texts: std::collections::HashSet<_> = (0..=Status::Panic as i32).map(text).collect();
    assert_eq!(texts.len(), Status::Panic as usize + 1);
    assert!(!texts.contains("unknown status"));
    for status in [-1, Status::Panic as i32 + 1, i32::MIN, i32::MAX] {
        assert_eq!(text(status), "unknown status");
    }
}

#[test]
fn the_error_struct_is_checked_before_all_else() {
    let mut bytes = 77;
    let to = &raw mut bytes;
    let options = options(1, 0); // which is refused as well
    // SAFETY: what the header asks for, but for the error's size.
    let call = |error| unsafe { capi::attention_scratch(null(), &raw const options, to, error) };
    assert_eq!(call(null_mut()), Status::Value as i32);
    for wrong in [0, size_of::<ErrorDetail>() - 1, 5000] {
        let mut error = detail();
        error.size = wrong;
        assert_eq!(call(&raw mut error), Status::StructSize as i32);
        assert_eq!((error.status, error.size, error.message[0]), (0, wrong, 0));
    }
    let misaligned = detail();
    let misaligned = (&raw const misaligned).cast_mut().wrapping_byte_add(1);
    assert_eq!(call(misaligned), Status::Misaligned as i32);
    assert_eq!(bytes, 77);
}

#[test]
fn an_error_says_what_the_rust_api_says() {
    let options = options(3, 0);
    let expected = Error::Value { arg: "head_dim" }.to_string();
    // SAFETY: what the header asks for.
    let error = fails(Status::Value, "head_dim", |error| unsafe {
        capi::attention_scratch(null(), &raw const options, &mut 0, error)
    });
    assert_eq!(message(&error), expected);
}

#[test]
fn an_engine_is_checked() {
    let mut x = Strided::dense(2, 3, |_, _| 0.0);
    let call = |engine: Engine, error| {
        let x = mat_mut(&mut x);
        // SAFETY: what the header asks for, but for the engine.
        unsafe { capi::softmax(&raw const engine, &raw const x, error) }
    };
    let good = engine_at("scalar");
    let mut call = call;
    works(|error| call(good, error));
    fails(Status::StructSize, "engine", |error| call(Engine { size: 8, ..good }, error));
    fails(Status::Enum, "level", |error| call(Engine { level: 99, ..good }, error));
    fails(Status::Value, "reserved", |error| call(Engine { reserved: 1, ..good }, error));
    fails(Status::Null, "run", |error| call(Engine { threads: 2, ..good }, error));
}

#[test]
fn softmax_is_the_rust_apis() {
    every_level(|rust| {
        let mut rng = Rng::new(5);
        let mut x = Strided::new(7, 33, 3, 2, |_, _| 8.0 * rng.unit());
        let mut expected = x.clone();
        rust.softmax(expected.view_mut());
        let (engine, given) = (engine_at(rust.level().name()), mat_mut(&mut x));
        // SAFETY: what the header asks for.
        works(|error| unsafe { capi::softmax(&raw const engine, &raw const given, error) });
        assert_eq!(x.bits(), expected.bits());
        x.assert_guards();
    });
}

#[test]
fn a_matrix_is_checked() {
    let mut x = Strided::dense(4, 6, |_, _| 1.0);
    let good = mat_mut(&mut x);
    let call = |x: capi::MatMut, error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::softmax(null(), &raw const x, error) }
    };
    use capi::MatMut;
    fails(Status::Null, "x", |error| call(MatMut { data: null_mut(), ..good }, error));
    fails(Status::Shape, "x", |error| call(MatMut { stride: 5, ..good }, error));
    fails(Status::Misaligned, "x", |error| call(MatMut { data: good.data.wrapping_byte_add(1), ..good }, error));
    fails(Status::Overflow, "x", |error| call(MatMut { rows: usize::MAX, ..good }, error));
    fails(Status::Overflow, "x", |error| call(MatMut { rows: usize::MAX / 12, ..good }, error));
    fails(Status::Overflow, "x", |error| {
        call(MatMut { rows: 1 << 20, cols: usize::MAX >> 19, stride: 0, ..good }, error)
    });
    // SAFETY: null is refused.
    fails(Status::Null, "x", |error| unsafe { capi::softmax(null(), null(), error) });
    assert!(x.bits().iter().all(|x| *x == 1.0_f32.to_bits()), "written by a call that failed");
    // Nothing to write is no error, wherever it is.
    works(|error| call(MatMut { data: null_mut(), rows: 0, ..good }, error));
    works(|error| call(MatMut { data: null_mut(), cols: 0, stride: 0, ..good }, error));
    works(|error| call(MatMut { rows: usize::MAX, cols: 0, ..good }, error));
    // A stride of 0 is that of no gaps.
    works(|error| call(MatMut { stride: 0, ..good }, error));
    assert_eq!(x.view().row(3), [1.0 / 6.0; 6]);
}

#[test]
fn sizes_are_given_or_nothing() {
    let options = options(2, 8);
    // SAFETY: what the header asks for.
    let bytes = size(|bytes, error| unsafe { capi::attention_scratch(null(), &raw const options, bytes, error) });
    assert!(bytes > 0 && bytes < 1 << 20);
    // SAFETY: null is refused.
    fails(Status::Null, "bytes", |error| unsafe {
        capi::attention_scratch(null(), &raw const options, null_mut(), error)
    });
    // SAFETY: null is refused.
    fails(Status::Null, "options", |error| unsafe { capi::attention_scratch(null(), null(), &mut 0, error) });
}
