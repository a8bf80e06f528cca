//! Text to token ids, by a published tokenizer.json.

use core::ffi::{c_char, c_void};
use std::boxed::Box;
use std::format;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::ToString;

use tokenizers::{Encoding, PostProcessor, PostProcessorWrapper, TruncationDirection};

use super::fault::{Fault, Result};
use super::folder::{Folder, unreadable};
use super::raw::{self, Raw, Region, apart};
use crate::error::Error;

/// `selfattn_tokenizer`, opaque to C.
pub struct Tokenizer {
    magic: usize,
    /// Without its last step, which adds the special tokens: texts are cut before it.
    inner: tokenizers::Tokenizer,
    processor: Option<PostProcessorWrapper>,
    /// Special tokens around a text.
    specials: usize,
}

const MAGIC: usize = 0x70ce_0123;

impl Tokenizer {
    /// Its own truncation and padding are left aside: they say how the model was once served.
    fn new(json: &[u8]) -> Result<Self> {
        let wrong = |error: tokenizers::Error| Fault::Tokenizer(format!("not a tokenizer.json: {error}"));
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(wrong)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(wrong)?;
        let processor = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let specials = processor.as_ref().map_or(0, |processor| processor.added_tokens(false));
        Ok(Self { magic: MAGIC, inner, processor, specials })
    }

    /// The tokens of a text, at most `most`, and how many the whole text has.
    fn encode(&self, text: &str, most: usize) -> Result<(Encoding, usize)> {
        let wrong = |error: tokenizers::Error| Fault::Tokenizer(error.to_string());
        let mut encoding = self.inner.encode(text, false).map_err(wrong)?;
        let whole = encoding.len().saturating_add(self.specials);
        if whole > most {
            let room = most.checked_sub(self.specials).filter(|room| *room > 0);
            let room =
                room.ok_or(Error::Capacity { arg: "ids", needed: self.specials.saturating_add(1), got: most })?;
            encoding.truncate(room, 0, TruncationDirection::Right);
            // What was cut off would be carried along as further encodings.
            drop(encoding.take_overflowing());
        }
        let encoding = match &self.processor {
            Some(processor) => processor.process(encoding, None, true).map_err(wrong)?,
            None => encoding,
        };
        Ok((encoding, whole))
    }

    /// # Safety
    /// `this` is null or points to readable memory as large as a tokenizer.
    unsafe fn at<'a>(this: *const Self) -> Result<&'a Self> {
        if this.is_null() {
            return Err(Fault::Null("tokenizer"));
        }
        // SAFETY: aligned and readable, and numbers have no wrong bits.
        if this.is_aligned() && unsafe { (&raw const (*this).magic).read() } == MAGIC {
            // SAFETY: it is one.
            Ok(unsafe { &*this })
        } else {
            Err(Fault::Handle("tokenizer"))
        }
    }
}

/// The crate `tokenizers` is not free of panics.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(Fault::Panic))
}

export! {
    fn tokenizer_create(json: *const c_void, json_bytes: usize, tokenizer: *mut *mut Tokenizer) {
        let json = Raw::new("json", json.cast::<u8>(), json_bytes)?;
        let to = raw::place("tokenizer", tokenizer)?;
        // SAFETY: the header's word for `json`.
        let json = unsafe { json.read() };
        let created = guarded(|| Ok(Box::new(Tokenizer::new(json)?)))?;
        // SAFETY: the header's word for `tokenizer`.
        unsafe { to.put(Box::into_raw(created)) };
        Ok(())
    }

    fn tokenizer_open(folder: *const c_char, tokenizer: *mut *mut Tokenizer) {
        // SAFETY: the header's word for `folder`.
        let path = unsafe { Folder::new(folder) }?.file("tokenizer.json");
        let to = raw::place("tokenizer", tokenizer)?;
        let json = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        let created = guarded(|| Ok(Box::new(Tokenizer::new(&json)?)))?;
        // SAFETY: the header's word for `tokenizer`.
        unsafe { to.put(Box::into_raw(created)) };
        Ok(())
    }

    fn tokenizer_destroy(tokenizer: *mut Tokenizer) -> () {
        // SAFETY: the header's word: null, or a tokenizer that no call is using.
        unsafe {
            if Tokenizer::at(tokenizer).is_ok() {
                (*tokenizer).magic = 0;
                let owned = Box::from_raw(tokenizer);
                // There is nobody to tell.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
            }
        }
    }

    fn tokenizer_encode(
        tokenizer: *const Tokenizer,
        text: *const c_char,
        text_bytes: usize,
        ids: *mut u32,
        ids_len: usize,
        count: *mut usize,
        whole: *mut usize,
    ) {
        // SAFETY: the header's word for `tokenizer`.
        let tokenizer = unsafe { Tokenizer::at(tokenizer) }?;
        let text = Raw::new("text", text.cast::<u8>(), text_bytes)?;
        let ids = Raw::new("ids", ids.cast_const(), ids_len)?;
        let count = raw::place("count", count)?;
        let whole = if whole.is_null() { None } else { Some(raw::place("whole", whole)?) };
        let whole_region = whole.map_or(Region::NONE, |whole| whole.region());
        apart(&[ids.region(), count.region(), whole_region], &[text.region()])?;
        // SAFETY: the header's word for `text`.
        let text = unsafe { text.read() };
        let utf8 = core::str::from_utf8(text);
        let text = utf8.map_err(|error| Fault::Utf8 { arg: "text", at: error.valid_up_to() })?;
        let (encoding, tokens) = guarded(|| tokenizer.encode(text, ids_len))?;
        let found = encoding.get_ids();
        // SAFETY: the header's word for the outputs, which lie apart.
        unsafe {
            let room = ids.write().get_mut(..found.len());
            let room = room.ok_or(Error::Capacity { arg: "ids", needed: found.len(), got: ids_len })?;
            room.iter_mut().zip(found).for_each(|(to, id)| *to = *id);
            count.put(found.len());
            if let Some(whole) = whole {
                whole.put(tokens);
            }
        }
        Ok(())
    }
}
