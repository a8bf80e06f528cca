//! `include/selfattn.abi`, which `scripts/check_abi.py` holds the header to, is what Rust has: sizes, offsets, numbers.

#![cfg(target_pointer_width = "64")]

use std::collections::BTreeSet;
use std::mem::offset_of;

use selfattn::capi::{
    AttentionOptions, Batch, Config, Engine, Epilogue, ErrorDetail, Kv, Mat, MatMut, Status, Weights,
};

const LIST: &str = include_str!("../../include/selfattn.abi");

/// The bytes of a field, by a function that is never called.
fn bytes_of<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// The list's lines for a struct, and those that Rust has.
macro_rules! layout {
    ($lines:ident, $type:ty, $name:literal, $($field:ident),+ $(,)?) => {
        $lines.insert(format!("struct {} {}", $name, size_of::<$type>()));
        $(
            let (offset, bytes) = (offset_of!($type, $field), bytes_of(|this: &$type| &this.$field));
            $lines.insert(format!("field {}.{} {offset} {bytes}", $name, stringify!($field)));
        )+
    };
}

#[test]
fn structs_are_laid_out_as_the_list_says() {
    let mut lines = BTreeSet::new();
    layout!(lines, ErrorDetail, "selfattn_error", size, status, reserved, index, expected, got, argument, message);
    layout!(lines, Engine, "selfattn_engine", size, threads, run, context, level, reserved);
    layout!(lines, Mat, "selfattn_mat", data, rows, cols, stride, dtype, reserved);
    layout!(lines, MatMut, "selfattn_mat_mut", data, rows, cols, stride);
    layout!(lines, Weights, "selfattn_weights", data, n, k, stride, dtype, order, level, reserved);
    layout!(lines, Epilogue, "selfattn_epilogue", size, bias, bias_len, residual, activation, reserved);
    layout!(
        lines,
        AttentionOptions,
        "selfattn_attention_options",
        size,
        heads,
        head_dim,
        kv_heads,
        value_dim,
        flags,
        scale,
        softcap,
        sequences,
        window_left,
        window_right,
        query_offset,
        key_block,
        lengths,
        lengths_len,
        key_offsets,
        key_offsets_len,
        bias,
        bias_len,
        bias_strides,
        mask,
        mask_len,
        mask_strides,
        alibi,
        alibi_len,
        sinks,
        sinks_len,
    );
    layout!(
        lines,
        Kv,
        "selfattn_kv",
        memory,
        memory_bytes,
        kv_heads,
        head_dim,
        value_dim,
        capacity,
        first,
        len,
        dtype,
        is_ring,
    );
    layout!(
        lines,
        Config,
        "selfattn_config",
        size,
        family,
        activation,
        vocab_size,
        hidden_size,
        layers,
        heads,
        intermediate_size,
        max_positions,
        position_offset,
        token_types,
        norm_eps,
        reserved,
    );
    layout!(lines, Batch, "selfattn_batch", size, ids, ids_len, lengths, lengths_len, type_ids, type_ids_len);
    let listed = LIST.lines().filter(|line| line.starts_with("struct ") || line.starts_with("field "));
    assert_eq!(lines, listed.map(str::to_owned).collect());
}

#[test]
fn every_status_has_the_number_of_the_list() {
    let mut statuses = 0;
    for line in LIST.lines().filter(|line| line.starts_with("enum SELFATTN_ERROR_")) {
        let (name, number) = line.rsplit_once(' ').unwrap();
        let words = name.trim_start_matches("enum SELFATTN_ERROR_").split('_');
        let rust: String = words.map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect();
        let number: i32 = number.parse().unwrap();
        let status = ALL.iter().find(|status| **status as i32 == number);
        assert_eq!(status.map(|status| format!("{status:?}")), Some(rust), "{line}");
        statuses += 1;
    }
    assert_eq!(statuses, ALL.len());
}

const ALL: [Status; 31] = [
    Status::Null,
    Status::Overflow,
    Status::Shape,
    Status::Value,
    Status::Enum,
    Status::StructSize,
    Status::Misaligned,
    Status::Overlap,
    Status::Scratch,
    Status::Capacity,
    Status::Level,
    Status::Packed,
    Status::BigEndian,
    Status::Handle,
    Status::Memory,
    Status::Token,
    Status::TooLong,
    Status::Config,
    Status::Json,
    Status::Truncated,
    Status::HeaderTooLarge,
    Status::Header,
    Status::MissingTensor,
    Status::UnknownTensor,
    Status::TensorShape,
    Status::TensorType,
    Status::File,
    Status::Tokenizer,
    Status::Utf8,
    Status::Threads,
    Status::Panic,
];
