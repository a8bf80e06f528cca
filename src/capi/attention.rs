//! Attention, over rows and over the tokens of a cache.

use core::ffi::c_void;

use super::cache::{Kv, RawKv};
use super::engine::{Engine, Runs};
use super::fault::Fault;
use super::matrix::{Mat, MatMut, RawMat, RawMatMut};
use super::options::{AttentionOptions, RawOptions};
use super::raw::{self, Region, apart};

/// What the header calls what Rust calls otherwise.
const NAMES: &[[&str; 2]] = &[
    ["attention", "options"],
    ["sequences", "lengths"],
    ["key_lengths", "lengths"],
    ["offsets", "lengths, key_offsets"],
];
const CACHED_NAMES: &[[&str; 2]] = &[["attention", "options"], ["k", "cache"], ["v", "cache"]];

export! {
    fn attention_scratch(engine: *const Engine, options: *const AttentionOptions, bytes: *mut usize) {
        // SAFETY: the header's word for both and the options' arrays.
        let (runs, attention) = unsafe { (Runs::read(engine)?, RawOptions::new(options)?.view()) };
        let to = raw::place("bytes", bytes)?;
        let bytes =
            runs.engine().attention_scratch(&attention).map_err(|error| Fault::from(error).renamed(NAMES))?;
        // SAFETY: the header's word for `bytes`.
        unsafe { to.put(bytes) };
        Ok(())
    }

    fn attention(
        engine: *const Engine,
        options: *const AttentionOptions,
        q: *const Mat,
        k: *const Mat,
        v: *const Mat,
        out: *const MatMut,
        lse: *const MatMut,
        scratch: *mut c_void,
        scratch_bytes: usize,
    ) {
        // SAFETY: the header's word for each.
        let (runs, options, [q, k, v], out, lse) = unsafe {
            let operands = [RawMat::new("q", q)?, RawMat::new("k", k)?, RawMat::new("v", v)?];
            let lse = if lse.is_null() { None } else { Some(RawMatMut::new("lse", lse)?) };
            (Runs::read(engine)?, RawOptions::new(options)?, operands, RawMatMut::new("out", out)?, lse)
        };
        let scratch = raw::buffer("scratch", scratch, scratch_bytes)?;
        let written = [out.region(), lse.map_or(Region::NONE, |lse| lse.region()), scratch.region()];
        apart(&written, &[q.region(), k.region(), v.region()])?;
        apart(&written, &options.regions())?;
        // SAFETY: the header's word for the arrays; what is written lies apart.
        let (attention, [q, k, v], out, lse, scratch) = unsafe {
            let lse = lse.map(|lse| lse.view()).transpose()?;
            (options.view(), [q.view()?, k.view()?, v.view()?], out.view()?, lse, scratch.write())
        };
        let engine = runs.engine();
        match lse {
            Some(lse) => engine.attention_lse(&attention, q, k, v, out, lse, scratch),
            None => engine.attention(&attention, q, k, v, out, scratch),
        }
        .map_err(|error| Fault::from(error).renamed(NAMES))
    }

    fn attention_merge(
        engine: *const Engine,
        out: *const MatMut,
        lse: *const MatMut,
        other_out: *const Mat,
        other_lse: *const Mat,
    ) {
        // SAFETY: the header's word for each.
        let (runs, out, lse, other_out, other_lse) = unsafe {
            let others = (RawMat::new("other_out", other_out)?, RawMat::new("other_lse", other_lse)?);
            (Runs::read(engine)?, RawMatMut::new("out", out)?, RawMatMut::new("lse", lse)?, others.0, others.1)
        };
        apart(&[out.region(), lse.region()], &[other_out.region(), other_lse.region()])?;
        // SAFETY: the header's word for the arrays; what is written lies apart.
        let (out, lse, other_out, other_lse) = unsafe {
            (out.view()?, lse.view()?, other_out.floats("other_out")?, other_lse.floats("other_lse")?)
        };
        Ok(runs.engine().merge_attention(out, lse, other_out, other_lse)?)
    }

    fn attention_cached(
        engine: *const Engine,
        options: *const AttentionOptions,
        q: *const Mat,
        cache: *const Kv,
        out: *const MatMut,
        lse: *const MatMut,
        scratch: *mut c_void,
        scratch_bytes: usize,
    ) {
        // SAFETY: the header's word for each.
        let (runs, options, q, cache, out, lse) = unsafe {
            let (options, cache) = (RawOptions::new(options)?, RawKv::new(cache)?);
            let lse = if lse.is_null() { None } else { Some(RawMatMut::new("lse", lse)?) };
            (Runs::read(engine)?, options, RawMat::new("q", q)?, cache, RawMatMut::new("out", out)?, lse)
        };
        let scratch = raw::buffer("scratch", scratch, scratch_bytes)?;
        let written = [out.region(), lse.map_or(Region::NONE, |lse| lse.region()), scratch.region()];
        apart(&written, &[q.region(), cache.region()])?;
        apart(&written, &options.regions())?;
        // SAFETY: the header's word for the arrays; what is written lies apart.
        let (attention, q, stored, out, lse, scratch) = unsafe {
            let lse = lse.map(|lse| lse.view()).transpose()?;
            (options.view(), q.view()?, cache.stored()?, out.view()?, lse, scratch.write())
        };
        runs.engine()
            .attention_stored(&attention, q, stored, out, lse, scratch)
            .map_err(|error| Fault::from(error).renamed(CACHED_NAMES))
    }
}
