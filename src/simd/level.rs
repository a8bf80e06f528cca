//! Which instruction set to run on: detected once, forced lower on demand, and carried by a value that proves it is there.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::{DotOp, Op, Simd, TileOp};
use crate::error::{Error, Result};

#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
mod aarch64;
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon", target_endian = "little")
)))]
mod baseline;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
use aarch64::Kind;
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon", target_endian = "little")
)))]
use baseline::Kind;
#[cfg(target_arch = "x86_64")]
use x86::Kind;

/// A SIMD level that this CPU has.
///
/// The field is private and every constructor asks the CPU first: a `Level` is a proof, so running on it needs no
/// further check.
///
/// ```
/// use selfattn::Level;
///
/// let best = Level::detect();
/// assert!(Level::available().any(|level| level == best));
/// assert_eq!(Level::from_name("scalar"), Ok(Level::SCALAR));
/// assert!(Level::from_name("no such level").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Level(Kind);

/// A level that may not be known yet, in one byte: plain loads and stores only, which every target with atomics has.
struct Cell(AtomicU8);

impl Cell {
    const fn empty() -> Self {
        Self(AtomicU8::new(0))
    }

    fn get(&self) -> Option<Level> {
        let code = self.0.load(Relaxed);
        // Only `set` writes the byte, so the level it names is one that this CPU has. No kind has the code 0.
        Kind::ALL.iter().find(|kind| **kind as u8 == code).map(|kind| Level(*kind))
    }

    fn set(&self, level: Level) {
        self.0.store(level.0 as u8, Relaxed);
    }

    /// As [`Self::get_or_compute`] for what the CPU says. Where it is not asked the cell is not used, and not linked.
    fn get_or_ask(&self, ask: impl FnOnce() -> Level) -> Level {
        if Kind::IS_ASKED { self.get_or_compute(ask) } else { ask() }
    }

    /// The content, computed first if there is none. Two threads may both compute it; they get the same.
    fn get_or_compute(&self, compute: impl FnOnce() -> Level) -> Level {
        self.get().unwrap_or_else(|| {
            let level = compute();
            self.set(level);
            level
        })
    }
}

/// The highest level of this CPU.
static HIGHEST: Cell = Cell::empty();
/// The best one: the fastest.
static DETECTED: Cell = Cell::empty();
/// What the environment asks for, or else the best. Apart from `FORCED`, so that reading it never undoes a `set_current`.
static INITIAL: Cell = Cell::empty();
/// What `set_current` asked for.
static FORCED: Cell = Cell::empty();

impl Level {
    /// Portable code, no vector instructions asked for. Every CPU has it.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// The names of this architecture's levels, whether this CPU has them or not, upwards, each with all instructions of the one
    /// before: `scalar`, and `avx2`, `avx512`, `avx512bf16`, `amxbf16` on x86-64, `neon`, `neonbf16` on AArch64, `wasm128` on
    /// WebAssembly built with `simd128`.
    pub const NAMES: &[&str] = Kind::NAMES;

    /// The best level of this CPU, which is the fastest. Asked once, then remembered.
    ///
    /// That is the highest, but where it is `avx512bf16` on Intel's CPUs from Sapphire Rapids on: there it is `avx512`, as pairs of bf16
    /// are multiplied in more time than it takes to widen them (measured on Emerald Rapids).
    ///
    /// Where the CPU has AMX, Linux is asked once to save its tiles for this process (`arch_prctl`), and if it refuses, `amxbf16` is not
    /// there. From then on it refuses alternate signal stacks that are too small for tiles (`sysconf(_SC_SIGSTKSZ)` says what is enough).
    ///
    /// x86-64 is asked, but not on bare metal, where nobody may have switched its vector state on; AArch64 with the feature `std`.
    /// Everywhere else the level is what the build's target features promise.
    pub fn detect() -> Self {
        DETECTED.get_or_ask(|| Self(Self::highest().0.fastest()))
    }

    /// The highest level of this CPU.
    pub(super) fn highest() -> Self {
        HIGHEST.get_or_ask(|| Self(Kind::probe()))
    }

    /// The level that operations run at: what [`set_current`](Self::set_current) was given, or else the best of this CPU.
    ///
    /// With the feature `std`, the environment variable `SELFATTN_LEVEL` is read on the first call and, if it names a
    /// level that this CPU has, replaces the best one. Anything else in it is ignored.
    #[inline]
    pub fn current() -> Self {
        FORCED.get().unwrap_or_else(|| INITIAL.get_or_compute(|| Self::from_environment().unwrap_or_else(Self::detect)))
    }

    /// Makes this the level of the whole process, from now on.
    ///
    /// Weights that were packed at another level have to be packed again.
    pub fn set_current(self) {
        FORCED.set(self);
    }

    /// The level of that [`name`](Self::name).
    ///
    /// # Errors
    /// [`Error::Level`] if there is no such level, or this CPU does not have it.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::available().find(|level| level.name() == name).ok_or(Error::Level)
    }

    /// The levels of this CPU, from scalar upwards.
    pub fn available() -> impl Iterator<Item = Self> {
        let Self(highest) = Self::highest();
        Kind::ALL.iter().copied().filter(move |kind| *kind <= highest).map(Self)
    }

    /// The lower-case name, one of [`NAMES`](Self::NAMES).
    pub const fn name(self) -> &'static str {
        self.0.name()
    }

    /// A number from 1, for [`from_code`](Self::from_code).
    #[cfg(feature = "profile")]
    pub(crate) const fn code(self) -> u8 {
        self.0 as u8
    }

    /// The level of that code, if this CPU has it.
    #[cfg(feature = "profile")]
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::available().find(|level| level.code() == code)
    }

    /// Floats in a register.
    pub const fn lanes(self) -> usize {
        self.0.shape().lanes
    }

    /// Rows and columns of the matmul tile; weights are packed in panels of that many columns.
    pub const fn tile(self) -> (usize, usize) {
        let Shape { lanes, mr, nv, .. } = self.0.shape();
        (mr, nv * lanes)
    }

    /// Whether code is to be small, see [`Simd::SMALL`]. Builds for CPUs without vectors have no other level, so that nothing of
    /// what is for others is linked.
    pub(crate) const fn is_small(self) -> bool {
        self.0.shape().small
    }

    /// Runs `op` on this level.
    #[inline]
    pub(crate) fn dispatch<O: Op>(self, op: O) -> O::Out {
        // SAFETY: every constructor of `Level` asks the CPU first.
        unsafe { self.0.dispatch(op) }
    }

    /// Whether this level has the dot product of bf16 pairs.
    pub(crate) const fn has_bf16_dot(self) -> bool {
        self.0.has_bf16_dot()
    }

    /// Runs `op` on this level, if it has the dot product of bf16 pairs.
    #[inline]
    pub(crate) fn dispatch_dot<O: DotOp>(self, op: O) -> Option<O::Out> {
        // SAFETY: as above.
        unsafe { self.0.dispatch_dot(op) }
    }

    /// Whether this level multiplies tiles.
    pub(crate) const fn has_tiles(self) -> bool {
        self.0.has_tiles()
    }

    /// Runs `op` on this level, if it multiplies tiles.
    #[inline]
    pub(crate) fn dispatch_tiles<O: TileOp>(self, op: O) -> Option<O::Out> {
        // SAFETY: as above.
        unsafe { self.0.dispatch_tiles(op) }
    }

    /// Whether AMD has CPUs whose best level this is.
    pub(crate) const fn may_be_amd(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, Kind::Avx2 | Kind::Avx512Bf16);
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Whether the CPU is one of those.
    pub(crate) fn is_amd(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.may_be_amd() && x86::is_amd();
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    #[cfg(feature = "std")]
    fn from_environment() -> Option<Self> {
        Self::from_name(std::env::var_os("SELFATTN_LEVEL")?.to_str()?).ok()
    }

    #[cfg(not(feature = "std"))]
    const fn from_environment() -> Option<Self> {
        None
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the sizes of memory depend on: floats in a register, rows of the tile, registers across it, and [`Simd::SMALL`].
struct Shape {
    lanes: usize,
    mr: usize,
    nv: usize,
    small: bool,
}

impl Shape {
    const fn of<S: Simd>() -> Self {
        Self { lanes: S::LANES, mr: S::MR, nv: S::NV, small: S::SMALL }
    }
}
