//! The calls, and what they are given.

use std::ffi::c_void;
use std::mem::zeroed;
use std::ops::{Range, RangeInclusive};
use std::ptr::{null, null_mut};

use arbitrary::{Result, Unstructured};
use selfattn::capi::{self, AttentionOptions, Batch, Config, Encoder, Engine, Epilogue, Kv, Mat, MatMut, Weights};

use super::arena::{Arena, MOST};
use super::{call, sized};
use crate::common::model::{Model, Sizes, Spelling};
use crate::draw::{option, rarely};

/// What the program has made so far.
pub struct Program {
    arena: Arena,
    /// The newest packed weights, and the memory that they are in.
    packed: Option<Made<Weights>>,
    cache: Option<Made<Kv>>,
    encoder: Option<Made<*mut Encoder>>,
}

/// An object and the memory that it stands in.
pub struct Made<T> {
    pub it: T,
    pub memory: Vec<u64>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let encoder = self.encoder.take().map_or(null_mut(), |made| made.it);
        // SAFETY: it was created, and no call uses it.
        unsafe { capi::encoder_destroy(encoder) };
    }
}

/// Words for so many bytes. Exactly as many as that, but for the last word: a byte too far is found by AddressSanitizer.
fn memory(bytes: usize) -> Vec<u64> {
    vec![u64::MAX; bytes.div_ceil(8)]
}

unsafe extern "C" fn run_in_order(_: *mut c_void, tasks: usize, task: capi::Task, argument: *mut c_void) {
    for i in (0..tasks).rev() {
        // SAFETY: as the library asks for it.
        unsafe { task(argument, i) };
    }
}

/// Small, or a size that nothing in memory has.
fn dim(u: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match u.int_in_range(0..=40_u8)? {
        40 => *u.choose(&[usize::MAX, usize::MAX / 2, 1 << 62, 1 << 63])?,
        n => usize::from(n % 20),
    })
}

/// `right`, but for some.
fn about<T: Copy>(
    u: &mut Unstructured<'_>,
    right: T,
    wrong: impl FnOnce(&mut Unstructured<'_>) -> Result<T>,
) -> Result<T> {
    if rarely(u, 20)? { wrong(u) } else { Ok(right) }
}

/// Not the size of a struct of `size` bytes, nor one that claims bytes that are not there: those are read, to see that they are zero.
fn wrong_size(u: &mut Unstructured<'_>, size: usize) -> Result<usize> {
    if u.ratio(1, 4)? { u.int_in_range(4097..=usize::MAX) } else { u.int_in_range(0..=size - 1) }
}

/// In the range, but for some.
fn within(u: &mut Unstructured<'_>, range: RangeInclusive<usize>) -> Result<usize> {
    let right = u.int_in_range(range)?;
    about(u, right, dim)
}

/// A number of an enum with so many, or one that is none of its.
fn code(u: &mut Unstructured<'_>, count: i32) -> Result<i32> {
    if rarely(u, 32)? { u.arbitrary() } else { u.int_in_range(0..=count - 1) }
}

fn engine(u: &mut Unstructured<'_>) -> Result<Engine> {
    let mut engine = sized!(Engine);
    engine.size = about(u, engine.size, |u| wrong_size(u, engine.size))?;
    engine.threads = u.int_in_range(0..=5)?;
    engine.run = if rarely(u, 16)? { None } else { Some(run_in_order) };
    engine.level = *u.choose(&[0, 1, 2, 3, 4, 16, -1])?;
    Ok(engine)
}

impl Program {
    pub fn new() -> Self {
        Self { arena: Arena::new(), packed: None, cache: None, encoder: None }
    }

    pub fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=11_u8)? {
            0 | 1 => self.matmul(u),
            2 => self.gemv(u),
            3 => self.pack(u),
            4 => self.softmax(u),
            5 | 6 => self.attention(u),
            7 => self.merge(u),
            8 => self.new_cache(u),
            9 => self.append(u),
            10 => self.attend(u),
            _ => self.encoder(u),
        }
    }

    fn mat(&mut self, u: &mut Unstructured<'_>, rows: usize, cols: usize) -> Result<Mat> {
        let (rows, cols) = (about(u, rows, dim)?, about(u, cols, dim)?);
        let stride = if rarely(u, 4)? { cols.wrapping_add(u.int_in_range(0..=3)?) } else { 0 };
        let stride = about(u, stride, dim)?;
        let dtype = if rarely(u, 4)? { code(u, 3)? } else { 0 };
        Ok(Mat {
            data: self.arena.numbers::<c_void>(u)?.cast_const(),
            rows,
            cols,
            stride,
            dtype,
            reserved: about(u, 0, |_| Ok(1))?,
        })
    }

    fn mat_mut(&mut self, u: &mut Unstructured<'_>, rows: usize, cols: usize) -> Result<MatMut> {
        let Mat { rows, cols, stride, .. } = self.mat(u, rows, cols)?;
        Ok(MatMut { data: self.arena.numbers(u)?, rows, cols, stride })
    }

    /// Where a matrix is written, if the call succeeds.
    fn written(&mut self, out: &MatMut) -> Vec<Range<usize>> {
        // A success has checked that it fits in memory; so many rows are of no column.
        // The stride of a single row is never used.
        let stride = if out.rows > 1 { out.stride } else { 0 };
        if out.rows.saturating_mul(stride.max(out.cols)) > MOST {
            return Vec::new();
        }
        self.arena.rows(out.data, out.rows, out.cols, stride)
    }

    fn weights(&mut self, u: &mut Unstructured<'_>) -> Result<Weights> {
        if let (Some(packed), true) = (&self.packed, u.arbitrary()?) {
            return Ok(packed.it);
        }
        let (n, k, order) = (dim(u)?, dim(u)?, code(u, 2)?);
        let Mat { data, stride, dtype, reserved, .. } = self.mat(u, n, k)?;
        let stride = if rarely(u, 4)? { stride } else { 0 };
        Ok(Weights { data, n, k, stride, dtype, order, level: about(u, 0, |u| code(u, 5))?, reserved })
    }

    /// As much scratch as a size query says, or a byte less, or none.
    fn scratch(u: &mut Unstructured<'_>, needed: usize) -> Result<(Vec<u64>, usize)> {
        let bytes = about(u, needed, |u| Ok(if u.arbitrary()? { needed.saturating_sub(1) } else { 0 }))?;
        Ok((memory(bytes), bytes))
    }

    fn matmul(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (engine, weights) = (engine(u)?, self.weights(u)?);
        let m = dim(u)?;
        let (a, out) = (self.mat(u, m, weights.k)?, self.mat_mut(u, m, weights.n)?);
        let residual = self.mat(u, m, weights.n)?;
        let mut epilogue = sized!(Epilogue);
        epilogue.size = about(u, epilogue.size, |u| wrong_size(u, epilogue.size))?;
        epilogue.activation = code(u, 4)?;
        if rarely(u, 3)? {
            (epilogue.bias, epilogue.bias_len) = (self.arena.numbers(u)?, about(u, weights.n.min(100), dim)?);
        }
        if rarely(u, 3)? {
            epilogue.residual = &raw const residual;
        }
        let mut needed = 0;
        // SAFETY: structs, and places for numbers.
        if !call(&mut self.arena, "matmul_scratch", &[], |error| unsafe {
            capi::matmul_scratch(&raw const engine, m, a.dtype, &raw const weights, &raw mut needed, error)
        }) {
            needed = 64;
        }
        let (mut scratch, bytes) = Self::scratch(u, needed)?;
        let written = self.written(&out);
        // SAFETY: every array is in the arena as far as it is claimed to be, or in memory of its own.
        call(&mut self.arena, "matmul", &written, |error| unsafe {
            let scratch = scratch.as_mut_ptr().cast();
            let (a, weights, epilogue) = (&raw const a, &raw const weights, &raw const epilogue);
            capi::matmul(&raw const engine, a, weights, epilogue, &raw const out, scratch, bytes, error)
        });
        Ok(())
    }

    fn gemv(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (engine, weights) = (engine(u)?, self.weights(u)?);
        let (x, y) = (self.arena.numbers(u)?, self.arena.numbers(u)?);
        let (x_len, y_len) = (about(u, weights.k.min(100), dim)?, about(u, weights.n.min(100), dim)?);
        let written = self.arena.rows(y, 1, if y_len > MOST { 0 } else { y_len }, 0);
        // SAFETY: as for a product.
        call(&mut self.arena, "gemv", &written, |error| unsafe {
            capi::gemv(&raw const engine, &raw const weights, x, x_len, y, y_len, error)
        });
        Ok(())
    }

    fn pack(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (engine, weights) = (engine(u)?, self.weights(u)?);
        let mut needed = 0;
        // SAFETY: structs, and a place for a number.
        if !call(&mut self.arena, "packed_bytes", &[], |error| unsafe {
            capi::packed_bytes(&raw const engine, &raw const weights, &raw mut needed, error)
        }) {
            return Ok(());
        }
        let (mut memory, bytes) = Self::scratch(u, needed)?;
        // SAFETY: numbers and pointers.
        let mut packed: Weights = unsafe { zeroed() };
        // SAFETY: as for a product; what is packed is kept together with its memory.
        let done = call(&mut self.arena, "pack", &[], |error| unsafe {
            let to = memory.as_mut_ptr().cast();
            capi::pack(&raw const engine, &raw const weights, to, bytes, &raw mut packed, error)
        });
        if done {
            self.packed = Some(Made { it: packed, memory });
        }
        Ok(())
    }

    fn softmax(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (rows, cols) = (dim(u)?, dim(u)?);
        let (engine, x) = (engine(u)?, self.mat_mut(u, rows, cols)?);
        let written = self.written(&x);
        // SAFETY: in the arena.
        call(&mut self.arena, "softmax", &written, |error| unsafe {
            capi::softmax(&raw const engine, &raw const x, error)
        });
        Ok(())
    }

    fn options(&mut self, u: &mut Unstructured<'_>) -> Result<AttentionOptions> {
        let mut options = sized!(AttentionOptions);
        options.size = about(u, options.size, |u| wrong_size(u, options.size))?;
        let kv_heads = u.int_in_range(1..=3)?;
        options.kv_heads = kv_heads;
        let group = u.int_in_range(1..=2)?;
        options.heads = about(u, kv_heads * group, dim)?;
        options.head_dim = within(u, 1..=9)?;
        options.value_dim = about(u, 0, dim)?;
        let flags = u.int_in_range(0..=31)?;
        options.flags = about(u, flags, |u| u.arbitrary())?;
        options.scale = about(u, 0.5, |u| u.arbitrary())?;
        options.softcap = about(u, 0.0, |u| u.arbitrary())?;
        options.sequences = about(u, 0, |u| code(u, 4))?;
        (options.window_left, options.window_right, options.query_offset) = (dim(u)?, dim(u)?, about(u, 0, dim)?);
        options.key_block = about(u, 0, dim)?;
        // Claims of lengths stay far below what is in memory behind any place.
        let short = |u: &mut Unstructured<'_>| u.int_in_range(0..=400_usize);
        if let Some(len) = option(u, |u| u.int_in_range(0..=5))? {
            (options.lengths, options.lengths_len) = (self.arena.list(u)?, len);
            (options.key_offsets, options.key_offsets_len) = (self.arena.list(u)?, len);
        }
        if rarely(u, 4)? {
            (options.bias, options.bias_len) = (self.arena.numbers(u)?, short(u)?);
            options.bias_strides = [dim(u)?, dim(u)?, dim(u)?, 1];
        }
        if rarely(u, 4)? {
            (options.mask, options.mask_len) = (self.arena.numbers(u)?, short(u)?);
            options.mask_strides = [dim(u)?, dim(u)?, dim(u)?, 1];
        }
        if rarely(u, 4)? {
            (options.alibi, options.alibi_len) = (self.arena.numbers(u)?, about(u, options.heads.min(99), dim)?);
        }
        if rarely(u, 4)? {
            (options.sinks, options.sinks_len) = (self.arena.numbers(u)?, about(u, options.heads.min(99), dim)?);
        }
        Ok(options)
    }

    fn attention_scratch(&mut self, engine: &Engine, options: &AttentionOptions) -> usize {
        let mut needed = 0;
        // SAFETY: structs, and a place for a number.
        let known = call(&mut self.arena, "attention_scratch", &[], |error| unsafe {
            capi::attention_scratch(engine, options, &raw mut needed, error)
        });
        // Widths that no query comes with may need what no memory has.
        if known && needed < 1 << 24 { needed } else { 64 }
    }

    /// Where attention is written, if the call succeeds.
    fn all_written(&mut self, out: &MatMut, lse: Option<&MatMut>) -> Vec<Range<usize>> {
        let mut written = self.written(out);
        written.extend(lse.into_iter().flat_map(|lse| self.written(lse)));
        written
    }

    fn attention(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (engine, options) = (engine(u)?, self.options(u)?);
        let value_dim = if options.value_dim == 0 { options.head_dim } else { options.value_dim };
        let (n_q, n_k) = (u.int_in_range(0..=12)?, u.int_in_range(0..=12)?);
        let q = self.mat(u, n_q, options.heads.wrapping_mul(options.head_dim))?;
        let k = self.mat(u, n_k, options.kv_heads.wrapping_mul(options.head_dim))?;
        let v = self.mat(u, n_k, options.kv_heads.wrapping_mul(value_dim))?;
        let out = self.mat_mut(u, n_q, options.heads.wrapping_mul(value_dim))?;
        let lse = option(u, |u| self.mat_mut(u, n_q, options.heads))?;
        let (mut scratch, bytes) = Self::scratch(u, self.attention_scratch(&engine, &options))?;
        let written = self.all_written(&out, lse.as_ref());
        // SAFETY: as for a product.
        call(&mut self.arena, "attention", &written, |error| unsafe {
            let lse = lse.as_ref().map_or(null(), std::ptr::from_ref);
            let (q, k, v, scratch) = (&raw const q, &raw const k, &raw const v, scratch.as_mut_ptr().cast());
            capi::attention(&raw const engine, &raw const options, q, k, v, &raw const out, lse, scratch, bytes, error)
        });
        Ok(())
    }

    fn merge(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (rows, heads, width) = (dim(u)?, u.int_in_range(1..=3)?, u.int_in_range(1..=6)?);
        let (engine, out) = (engine(u)?, self.mat_mut(u, rows, heads * width)?);
        let (lse, other) = (self.mat_mut(u, rows, heads)?, self.mat(u, rows, heads * width)?);
        let other_lse = self.mat(u, rows, heads)?;
        let written = [self.written(&out), self.written(&lse)].concat();
        // SAFETY: in the arena.
        call(&mut self.arena, "attention_merge", &written, |error| unsafe {
            let (out, lse) = (&raw const out, &raw const lse);
            capi::attention_merge(&raw const engine, out, lse, &raw const other, &raw const other_lse, error)
        });
        Ok(())
    }

    fn new_cache(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        // SAFETY: numbers and pointers.
        let mut cache: Kv = unsafe { zeroed() };
        (cache.kv_heads, cache.head_dim) = (within(u, 1..=3)?, within(u, 1..=9)?);
        (cache.value_dim, cache.capacity) = (about(u, 0, dim)?, dim(u)?);
        (cache.dtype, cache.is_ring) = (code(u, 3)?, code(u, 2)?);
        // SAFETY: a struct, and a place for a number.
        let known = call(&mut self.arena, "kv_bytes", &[], |error| unsafe {
            capi::kv_bytes(&raw const cache, &raw mut cache.memory_bytes, error)
        });
        if known && cache.memory_bytes < 1 << 20 {
            let mut memory = memory(cache.memory_bytes);
            cache.memory = memory.as_mut_ptr().cast();
            self.cache = Some(Made { it: cache, memory });
        }
        Ok(())
    }

    /// Forgets some tokens, or breaks the cache; then adds tokens.
    fn append(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(Made { it: mut cache, memory }) = self.cache.take() else { return Ok(()) };
        if rarely(u, 4)? {
            let kept = u.int_in_range(0..=20)?;
            cache.len = about(u, cache.len.min(kept), dim)?;
        }
        cache.first = about(u, cache.first, dim)?;
        let value_dim = if cache.value_dim == 0 { cache.head_dim } else { cache.value_dim };
        let tokens = u.int_in_range(0..=6)?;
        let k = self.mat(u, tokens, cache.kv_heads.wrapping_mul(cache.head_dim))?;
        let v = self.mat(u, tokens, cache.kv_heads.wrapping_mul(value_dim))?;
        let (before, contents) = (cache, memory.clone());
        // SAFETY: numbers in the arena, and a cache with its memory.
        let done = call(&mut self.arena, "kv_append", &[], |error| unsafe {
            capi::kv_append(&raw mut cache, &raw const k, &raw const v, error)
        });
        if !done {
            assert_eq!((cache.first, cache.len), (before.first, before.len), "a refusal has changed the cache");
            assert_eq!(memory, contents, "a refusal has written to the cache");
            return Ok(());
        }
        // Not `tokens`: both may have been made of another number of rows.
        let all = before.len + k.rows;
        assert_eq!(cache.len, if cache.is_ring == 1 { cache.capacity.min(all) } else { all });
        self.cache = Some(Made { it: cache, memory });
        Ok(())
    }

    fn attend(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (engine, mut options) = (engine(u)?, self.options(u)?);
        let Some(Made { it: cache, .. }) = &self.cache else { return Ok(()) };
        let cache = *cache;
        if !rarely(u, 8)? {
            (options.kv_heads, options.head_dim, options.value_dim) = (cache.kv_heads, cache.head_dim, cache.value_dim);
            options.heads = cache.kv_heads * u.int_in_range(1..=2)?;
        }
        let value_dim = if options.value_dim == 0 { options.head_dim } else { options.value_dim };
        let n_q = u.int_in_range(0..=6)?;
        let q = self.mat(u, n_q, options.heads.wrapping_mul(options.head_dim))?;
        let out = self.mat_mut(u, n_q, options.heads.wrapping_mul(value_dim))?;
        let lse = option(u, |u| self.mat_mut(u, n_q, options.heads))?;
        let (mut scratch, bytes) = Self::scratch(u, self.attention_scratch(&engine, &options))?;
        let written = self.all_written(&out, lse.as_ref());
        // SAFETY: as for attention, and a cache with its memory.
        call(&mut self.arena, "attention_cached", &written, |error| unsafe {
            let (options, scratch) = (&raw const options, scratch.as_mut_ptr().cast());
            let cache = &raw const cache;
            let lse = lse.as_ref().map_or(null(), std::ptr::from_ref);
            capi::attention_cached(
                &raw const engine,
                options,
                &raw const q,
                cache,
                &raw const out,
                lse,
                scratch,
                bytes,
                error,
            )
        });
        Ok(())
    }

    /// Makes an encoder from a model with some wrong bytes, or runs the one that is there.
    fn encoder(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match &self.encoder {
            Some(made) => self.forward(u, made.it),
            None => self.new_encoder(u),
        }
    }

    fn new_encoder(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let sizes = Sizes { vocab: 5, positions: 9, types: 1, hidden: 6, layers: 1, heads: 2, intermediate: 7 };
        let model = Model::random(Spelling::Bert, sizes, 3);
        let (mut json, mut file) = (model.config_json().into_bytes(), model.safetensors().to_vec());
        for bytes in [&mut json, &mut file] {
            if rarely(u, 4)? {
                let at = u.int_in_range(0..=bytes.len().min(2000) - 1)?;
                bytes[at] = u.arbitrary()?;
            }
            if rarely(u, 16)? {
                bytes.truncate(u.int_in_range(0..=bytes.len())?);
            }
        }
        let mut config = sized!(Config);
        // SAFETY: bytes, and a place for a config.
        if !call(&mut self.arena, "config_parse", &[], |error| unsafe {
            capi::config_parse(json.as_ptr().cast(), json.len(), &raw mut config, error)
        }) {
            return Ok(());
        }
        config.heads = about(u, config.heads, dim)?;
        config.intermediate_size = about(u, config.intermediate_size, dim)?;
        // In words, so that the numbers are aligned.
        let mut words = memory(file.len());
        for (word, bytes) in words.iter_mut().zip(file.chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(eight);
        }
        let mut encoder = null_mut();
        // SAFETY: bytes that are kept as long as the encoder, and a place for it.
        let done = call(&mut self.arena, "encoder_create", &[], |error| unsafe {
            capi::encoder_create(&raw const config, words.as_ptr().cast(), file.len(), &raw mut encoder, error)
        });
        assert_eq!(done, !encoder.is_null(), "an encoder of a refusal, or none of a success");
        if done {
            self.encoder = Some(Made { it: encoder, memory: words });
        }
        Ok(())
    }

    fn forward(&mut self, u: &mut Unstructured<'_>, encoder: *mut Encoder) -> Result<()> {
        let engine = engine(u)?;
        let mut batch = sized!(Batch);
        (batch.ids, batch.ids_len) = (self.arena.list(u)?, u.int_in_range(0..=12)?);
        (batch.lengths, batch.lengths_len) = (self.arena.list(u)?, u.int_in_range(0..=4)?);
        // One sequence of all tokens, as often as not: what stands in the arena rarely adds up.
        let whole = [batch.ids_len];
        if u.arbitrary()? {
            (batch.lengths, batch.lengths_len) = (whole.as_ptr(), 1);
        }
        if rarely(u, 3)? {
            (batch.type_ids, batch.type_ids_len) = (self.arena.list(u)?, about(u, batch.ids_len, dim)?);
        }
        let embed = u.arbitrary()?;
        let rows = if embed { batch.lengths_len } else { batch.ids_len };
        let out = self.mat_mut(u, rows, 6)?;
        let mut needed = 0;
        // SAFETY: an encoder that lives, and a place for a number.
        call(&mut self.arena, "encoder_scratch", &[], |error| unsafe {
            capi::encoder_scratch(&raw const engine, encoder, batch.ids_len, &raw mut needed, error)
        });
        let (mut scratch, bytes) = Self::scratch(u, needed)?;
        let written = self.written(&out);
        // SAFETY: as for attention, and an encoder that lives.
        call(&mut self.arena, "encoder_forward", &written, |error| unsafe {
            let (engine, scratch) = (&raw const engine, scratch.as_mut_ptr().cast());
            let run = if embed { capi::encoder_embed } else { capi::encoder_forward };
            run(engine, encoder, &raw const batch, &raw const out, scratch, bytes, error)
        });
        Ok(())
    }
}
