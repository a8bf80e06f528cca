//! A file that is there whole or not at all: written beside its place under another name, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::interrupt;
use crate::error::{Failure, Result, reason};

/// A file in the making. Dropped without [`commit`](Self::commit), it leaves no trace.
pub struct WholeFile {
    inner: Inner,
    /// The path as the user gave it.
    name: String,
}

enum Inner {
    Temporary(BufWriter<NamedTempFile>, PathBuf),
    /// A device or a pipe (`/dev/null`, `>(gzip)`): replacing it by a file is not what is meant.
    Direct(BufWriter<File>),
}

impl WholeFile {
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let inner =
            create(path).map_err(|error| Failure::failed(format!("cannot write to {name}: {}", reason(&error))))?;
        Ok(Self { inner, name })
    }

    pub fn can_seek(&self) -> bool {
        matches!(self.inner, Inner::Temporary(..))
    }

    /// What to tell the user of a failed write.
    pub fn failure(&self, error: &io::Error) -> Failure {
        Failure::write(&self.name, error)
    }

    /// Brings the bytes to the disk, then gives the file its name.
    pub fn commit(self) -> Result<()> {
        let Self { inner, name } = self;
        commit(inner).map_err(|error| Failure::write(name, &error))
    }
}

fn create(path: &Path) -> io::Result<Inner> {
    let target = match fs::metadata(path) {
        Ok(data) if data.is_dir() => return Err(io::Error::other("it is a folder")),
        Ok(data) if !data.is_file() => {
            let file = OpenOptions::new().write(true).open(path)?;
            return Ok(Inner::Direct(BufWriter::new(file)));
        }
        // Through a link, the file it points to is replaced, not the link.
        Ok(_) => fs::canonicalize(path)?,
        Err(_) => path.to_owned(),
    };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = temporary(folder)?;
    if let Ok(data) = fs::metadata(&target) {
        file.as_file().set_permissions(data.permissions())?;
    }
    interrupt::remove_when_interrupted(file.path())?;
    Ok(Inner::Temporary(BufWriter::new(file), target))
}

fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".selfattn-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: the umask takes away what it takes away.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn commit(inner: Inner) -> io::Result<()> {
    match inner {
        Inner::Direct(mut out) => out.flush(),
        Inner::Temporary(out, target) => {
            let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            let temporary = file.path().to_owned();
            file.persist(&target).map_err(|error| error.error)?;
            interrupt::is_in_place(&temporary);
            Ok(())
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Temporary(out, _) => out.write(bytes),
            Inner::Direct(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Temporary(out, _) => out.flush(),
            Inner::Direct(out) => out.flush(),
        }
    }
}

impl Seek for WholeFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.inner {
            Inner::Temporary(out, _) => out.seek(to),
            Inner::Direct(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}
