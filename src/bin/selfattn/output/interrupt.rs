//! Ctrl-C and `kill`: the line that is being written is ended first, and files in the making are removed.
//!
//! Such signals end a program without running destructors, and in the middle of a write. A thread waits for them instead.

#[cfg(unix)]
pub use unix::{is_in_place, remove_when_interrupted, undivided};

#[cfg(unix)]
mod unix {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
    use std::time::Duration;

    use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;

    /// How long a reader that has stopped reading may keep the program from ending.
    const PATIENCE: Duration = Duration::from_secs(1);

    static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    /// Whether a line is being written.
    static LINE: Mutex<bool> = Mutex::new(false);
    static LINE_ENDED: Condvar = Condvar::new();
    static THREAD: Once = Once::new();

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes of whole lines, which a signal does not cut.
    pub fn undivided<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        listen()?;
        *lock(&LINE) = true;
        let result = write();
        *lock(&LINE) = false;
        LINE_ENDED.notify_one();
        result
    }

    /// A file that is to go if the program ends before it [`is_in_place`].
    pub fn remove_when_interrupted(path: &Path) -> io::Result<()> {
        lock(&TEMPORARY).push(path.to_owned());
        listen()
    }

    pub fn is_in_place(path: &Path) {
        lock(&TEMPORARY).retain(|other| other != path);
    }

    fn listen() -> io::Result<()> {
        let mut result = Ok(());
        THREAD.call_once(|| result = wait_for_signals());
        result
    }

    fn wait_for_signals() -> io::Result<()> {
        // A file beyond `ulimit -f` would end the program by its signal; unless that is taken, as here, the write fails.
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGXFSZ])?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever().filter(|signal| *signal != SIGXFSZ) {
                end(signal);
            }
        })?;
        Ok(())
    }

    fn end(signal: i32) {
        // Both are held to the end: no line may begin and no new file appear before the process is gone.
        let line = LINE_ENDED.wait_timeout_while(lock(&LINE), PATIENCE, |writing| *writing);
        let paths = lock(&TEMPORARY);
        for path in &*paths {
            // Nothing more can be done about a file that does not go.
            let _ = std::fs::remove_file(path);
        }
        // As if there were no handler: the shell sees a program ended by this signal.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
        drop((line, paths));
    }
}

#[cfg(not(unix))]
pub fn undivided<T>(write: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    write()
}

#[cfg(not(unix))]
pub fn remove_when_interrupted(_: &std::path::Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub fn is_in_place(_: &std::path::Path) {}
