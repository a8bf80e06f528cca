//! The folder of a model.

use core::ffi::{CStr, c_char};
use std::format;
use std::io;
use std::path::{Path, PathBuf};

use super::fault::{Fault, Result};
use super::raw::Raw;

/// A folder, by a path of the caller's.
pub(super) struct Folder<'a>(&'a Path);

impl Folder<'_> {
    /// # Safety
    /// `folder` is null or points to text that ends with a NUL.
    pub unsafe fn new(folder: *const c_char) -> Result<Self> {
        let folder = Raw::new("folder", folder, 1)?;
        // SAFETY: not null; the caller's promise.
        let text = unsafe { CStr::from_ptr(folder.start()) };
        let text = text.to_str().map_err(|error| Fault::Utf8 { arg: "folder", at: error.valid_up_to() })?;
        Ok(Self(Path::new(text)))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// That a file cannot be read, and why.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::File(format!("cannot read {}: {error}", path.display()))
}
