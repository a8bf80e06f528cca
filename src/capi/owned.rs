//! An encoder in memory of the library's own, and one that is read from files.

use alloc::vec::Vec;
use core::ffi::c_void;

use super::config::Config;
use super::encoder::{Encoder, bytes, place};
use super::fault::Result;
use super::raw::{self, Raw};
use crate::error::Error;
use crate::weights::EncoderConfig;

/// What an encoder keeps: the memory that it stands in itself, and its weights, if they are not the caller's.
pub struct Owned {
    _memory: Vec<u8>,
    _weights: Vec<u8>,
}

/// A buffer that holds `len` bytes without growing.
fn room(len: usize) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(len).map_err(|_| Error::Memory { bytes: len })?;
    Ok(memory)
}

/// An encoder in new memory that keeps `kept`, of which `weights` may be a part.
///
/// # Safety
/// `weights` are readable as long as the encoder lives.
unsafe fn create(config: &EncoderConfig, weights: &'static [u8], kept: Vec<u8>) -> Result<*mut Encoder> {
    let len = bytes(config)?;
    let mut memory = room(len)?;
    memory.resize(len, 0);
    let place_for_it = Raw::new("memory", memory.as_ptr(), len)?;
    // SAFETY: `memory` is kept by the encoder itself, on the heap, where it does not move.
    let encoder = unsafe { place(config, weights, place_for_it) }?;
    // SAFETY: it has just been made.
    unsafe { (*encoder).keep(Owned { _memory: memory, _weights: kept }) };
    Ok(encoder)
}

export! {
    fn encoder_create(
        config: *const Config,
        weights: *const c_void,
        weights_bytes: usize,
        encoder: *mut *mut Encoder,
    ) {
        // SAFETY: the header's word for `config`.
        let config = unsafe { Config::valid(config) }?;
        let weights = Raw::new("weights", weights.cast::<u8>(), weights_bytes)?;
        let to = raw::place("encoder", encoder)?;
        // SAFETY: the header's word for `weights`, as long as the encoder lives.
        let created = unsafe { create(&config, weights.read(), Vec::new()) }?;
        // SAFETY: the header's word for `encoder`.
        unsafe { to.put(created) };
        Ok(())
    }

    fn encoder_destroy(encoder: *mut Encoder) -> () {
        // SAFETY: the header's word: null, or an encoder that no call is using.
        let owned = unsafe { if Encoder::check(encoder).is_ok() { (*encoder).end() } else { None } };
        // The memory that the encoder stands in goes with it.
        drop(owned);
    }
}

#[cfg(feature = "std")]
pub use files::encoder_open;

#[cfg(feature = "std")]
mod files {
    use core::ffi::c_char;
    use std::fs::{self, File};
    use std::io::{self, Read};
    use std::path::Path;

    use super::*;
    use crate::capi::folder::{Folder, unreadable};

    /// What the format's writers align the data to today. Older ones did not, and such files are still published.
    const DATA_ALIGN: usize = 8;

    /// The bytes of a weight file, in a buffer where its numbers are aligned, and where they begin.
    fn read(path: &Path) -> Result<(Vec<u8>, usize)> {
        let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let len = file.metadata().map_err(|error| unreadable(path, &error))?.len();
        let too_large = || unreadable(path, &io::Error::from(io::ErrorKind::FileTooLarge));
        let len = usize::try_from(len).map_err(|_| too_large())?;
        let mut bytes = room(len.checked_add(DATA_ALIGN).ok_or_else(too_large)?)?;
        let mut prefix = Vec::new();
        Read::by_ref(&mut file).take(8).read_to_end(&mut prefix).map_err(|error| unreadable(path, &error))?;
        let header = prefix.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
        // The prefix has 8 bytes, so it leaves the alignment to the header.
        let past = header.checked_rem(DATA_ALIGN as u64).unwrap_or(0) as usize;
        let start = bytes.as_ptr().wrapping_add(past).align_offset(DATA_ALIGN);
        bytes.resize(start, 0);
        bytes.extend_from_slice(&prefix);
        // A file that grows meanwhile must not move the buffer.
        let rest = len.saturating_sub(prefix.len()) as u64;
        file.take(rest).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
        Ok((bytes, start))
    }

    export! {
        fn encoder_open(folder: *const c_char, encoder: *mut *mut Encoder) {
            // SAFETY: the header's word for `folder`.
            let folder = unsafe { Folder::new(folder) }?;
            let to = raw::place("encoder", encoder)?;
            let path = folder.file("config.json");
            let config = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            let config = EncoderConfig::from_json(&config)?;
            let (bytes, start) = read(&folder.file("model.safetensors"))?;
            let weights = core::ptr::from_ref(bytes.get(start..).unwrap_or_default());
            // SAFETY: the encoder keeps the buffer, which stays where it is on the heap.
            let created = unsafe { create(&config, &*weights, bytes) }?;
            // SAFETY: the header's word for `encoder`.
            unsafe { to.put(created) };
            Ok(())
        }
    }
}
