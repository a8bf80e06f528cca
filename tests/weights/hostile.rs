//! Each way in which a file can be wrong gives its own error, at the right place.

use selfattn::weights::{FileDtype, MAX_ENTRY_BYTES, MAX_TENSORS, SafeTensors};
use selfattn::{Error, HeaderFault};

use crate::damage::weight_files;
use crate::writer::{entry, file, object, raw_file, tensors};

fn error(bytes: &[u8]) -> Error {
    SafeTensors::new(bytes).map(|file| file.len()).expect_err("the file must be refused")
}

/// What a header with `data` bytes behind it is refused for, and where.
fn fault(header: &str, data: usize) -> (HeaderFault, usize) {
    match error(&file(header, &vec![0; data])) {
        Error::Header { at, fault } => (fault, at),
        other => panic!("{other:?} for {header}"),
    }
}

/// Floats named by letters, at the given offsets.
fn floats(spans: &[(usize, usize)]) -> String {
    let name = |i: usize| char::from(b'a' + i as u8).to_string();
    let entries: Vec<String> = spans
        .iter()
        .enumerate()
        .map(|(i, &(begin, end))| entry(&name(i), "F32", &[(end - begin) / 4], begin, end))
        .collect();
    object(&entries)
}

#[test]
fn a_file_cut_at_any_byte_is_truncated() {
    let whole = tensors(&[("a", "F32", &[2, 3]), ("b", "BF16", &[5]), ("c", "F32", &[1])]);
    let read = SafeTensors::new(&whole).unwrap();
    assert_eq!((read.len(), read.is_empty()), (3, false));
    for cut in 0..whole.len() {
        let Error::Truncated { needed, got } = error(&whole[..cut]) else { panic!("cut at {cut}") };
        assert_eq!(got, cut as u64);
        assert!(got < needed && needed <= whole.len() as u64, "cut at {cut}, {needed} needed");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(error(&longer), Error::Header { fault: HeaderFault::Coverage, .. }));
}

#[test]
fn a_cut_file_is_truncated_in_any_order_of_its_tensors() {
    let header = floats(&[(8, 12), (0, 8), (12, 20)]);
    let before = 8 + header.len() as u64;
    assert!(SafeTensors::new(&file(&header, &[0; 20])).is_ok());
    for data in 0..20 {
        let got = before + data as u64;
        assert_eq!(error(&file(&header, &vec![0; data])), Error::Truncated { needed: before + 20, got });
    }
}

#[test]
fn header_lengths_that_lie() {
    let header = b"{}";
    assert!(SafeTensors::new(&raw_file(2, header, &[])).is_ok_and(|file| file.is_empty()));
    assert_eq!(error(&raw_file(3, header, &[])), Error::Truncated { needed: 11, got: 10 });
    assert_eq!(error(&raw_file(1, header, &[])), Error::Header { at: 1, fault: HeaderFault::Syntax });
    assert_eq!(error(&raw_file(0, header, &[])), Error::Header { at: 0, fault: HeaderFault::Syntax });
    let max = 100_000_000;
    assert_eq!(error(&raw_file(max, header, &[])), Error::Truncated { needed: max + 8, got: 10 });
    for claimed in [max + 1, 1 << 32, 1 << 63, u64::MAX - 7, u64::MAX] {
        assert_eq!(error(&raw_file(claimed, header, &[])), Error::HeaderTooLarge { claimed, max });
    }
}

#[test]
fn headers_that_are_not_json() {
    let a = entry("a", "F32", &[1], 0, 4);
    let valid = object(std::slice::from_ref(&a));
    assert_eq!(SafeTensors::new(&file(&(valid.clone() + " \n"), &[0; 4])).map(|file| file.len()), Ok(1));
    for (header, at) in [
        (format!("{valid}x"), valid.len()),
        (format!("{valid}\0"), valid.len()),
        (format!("{valid}{{}}"), valid.len()),
        (format!("\u{feff}{valid}"), 0),
        (format!(" {valid}"), 0),
        (format!("[{valid}]"), 0),
        (format!("{{{a},}}"), valid.len()),
        (format!("{{{a}"), valid.len() - 1),
        ("null".to_owned(), 0),
        (valid.replace("[1]", "[01]"), valid.find("[1]").unwrap() + 2),
        (valid.replace("\"a\"", "\"\n\""), 2),
        (valid.replace("\"a\"", "\"\\ud800\""), 2),
    ] {
        assert_eq!(fault(&header, 4), (HeaderFault::Syntax, at), "{header}");
    }
    let not_utf8 =
        valid.clone().into_bytes().iter().map(|&byte| if byte == b'a' { 0xff } else { byte }).collect::<Vec<_>>();
    assert_eq!(
        error(&raw_file(valid.len() as u64, &not_utf8, &[0; 4])),
        Error::Header { at: 2, fault: HeaderFault::Syntax }
    );
}

#[test]
fn numbers_that_are_no_sizes() {
    for number in ["-1", "1e400", "18446744073709551616", "1.5", "1.0", "1e0", "-0"] {
        let of_shape = format!(r#"{{"a":{{"dtype":"F32","shape":[{number}],"data_offsets":[0,4]}}}}"#);
        assert_eq!(fault(&of_shape, 4), (HeaderFault::Syntax, 29), "{number}");
        let of_offset = format!(r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,{number}]}}}}"#);
        assert_eq!(fault(&of_offset, 4), (HeaderFault::Syntax, 50), "{number}");
    }
}

#[test]
fn nesting_is_refused_at_any_depth() {
    for depth in [1, 10, 100, 1_000_000] {
        for open in ["[", "{\"x\":"] {
            let nested = open.repeat(depth);
            for header in [
                format!(r#"{{"a":{nested}"#),
                format!(r#"{{"a":{{"dtype":{nested}"#),
                format!(r#"{{"a":{{"shape":[{nested}"#),
                format!(r#"{{"__metadata__":{{"x":{nested}"#),
            ] {
                let (fault, _) = fault(&header, 0);
                assert!(matches!(fault, HeaderFault::Syntax | HeaderFault::Field), "{fault:?}");
            }
        }
    }
}

#[test]
fn fields_missing_repeated_or_of_the_wrong_kind() {
    let fields = [r#""dtype":"F32""#, r#""shape":[1]"#, r#""data_offsets":[0,4]"#];
    let entry = |fields: &[&str]| format!(r#"{{"a":{{{}}}}}"#, fields.join(","));
    let [dtype, shape, offsets] = fields;
    assert!(SafeTensors::new(&file(&entry(&[offsets, dtype, shape]), &[0; 4])).is_ok(), "any order will do");

    for header in [
        entry(&[]),
        entry(&[dtype, shape]),
        entry(&[dtype, offsets]),
        entry(&[shape, offsets]),
        entry(&[dtype, shape, offsets, dtype]),
        entry(&[dtype, shape, offsets, shape]),
        entry(&[dtype, shape, offsets, offsets]),
        entry(&[dtype, shape, offsets, r#""extra":0"#]),
        entry(&[dtype, shape, r#""data_offsets":[0]"#]),
        entry(&[dtype, shape, r#""data_offsets":[]"#]),
        entry(&[dtype, shape, r#""data_offsets":[0,4,4]"#]),
        entry(&[dtype, shape, r#""data_offsets":{"0":4}"#]),
        entry(&[dtype, shape, r#""data_offsets":["0","4"]"#]),
        entry(&[dtype, r#""shape":1"#, offsets]),
        entry(&[dtype, r#""shape":[[1]]"#, offsets]),
        entry(&[dtype, r#""shape":[null]"#, offsets]),
        entry(&[r#""dtype":32"#, shape, offsets]),
        r#"{"a":[]}"#.to_owned(),
        r#"{"a":null}"#.to_owned(),
    ] {
        assert_eq!(fault(&header, 4).0, HeaderFault::Field, "{header}");
    }
    let extra = entry(&[dtype, r#""extra":0"#, shape, offsets]);
    assert_eq!(fault(&extra, 4).1, extra.find("\"extra\"").unwrap());
}

#[test]
fn metadata_are_one_object_of_strings() {
    let a = entry("a", "F32", &[1], 0, 4);
    let accepted = |members: &[String]| SafeTensors::new(&file(&object(members), &[0; 4])).map(|file| file.len());
    let good = r#""__metadata__":{"format":"pt","k":"\u0000"}"#.to_owned();
    assert_eq!(accepted(&[good.clone(), a.clone()]), Ok(1));
    assert_eq!(accepted(&[a.clone(), good.clone()]), Ok(1));
    assert_eq!(accepted(&[a.clone(), r#""__metadata_\u005f":{}"#.to_owned()]), Ok(1));

    let twice = object(&[good.clone(), a.clone(), good]);
    assert_eq!(fault(&twice, 4), (HeaderFault::Field, twice.rfind("\"__meta").unwrap()));
    for bad in ["null", "[]", "\"x\"", r#"{"n":1}"#, r#"{"n":{}}"#] {
        assert_eq!(fault(&object(&[format!(r#""__metadata__":{bad}"#), a.clone()]), 4).0, HeaderFault::Field, "{bad}");
    }
}

#[test]
fn dtypes_of_the_format_and_no_other() {
    for &dtype in FileDtype::ALL {
        // Four elements take whole bytes in every type, but in the 6-bit ones only four do.
        let bytes = dtype.bits() as usize / 2;
        let header = object(&[entry("a", dtype.name(), &[4], 0, bytes)]);
        let bytes = file(&header, &vec![0; bytes]);
        let file = SafeTensors::new(&bytes).unwrap_or_else(|error| panic!("{dtype}: {error}"));
        assert!(file.tensors().all(|tensor| tensor.dtype() == dtype));
    }
    for unknown in ["", "f32", "F32 ", "F128", "F3", "float32"] {
        assert_eq!(fault(&object(&[entry("a", unknown, &[1], 0, 4)]), 4), (HeaderFault::Dtype, 14), "{unknown}");
    }
    assert_eq!(fault(&object(&[entry("a", "F4", &[3], 0, 2)]), 2), (HeaderFault::Span, 1));
    assert_eq!(fault(&object(&[entry("a", "F6_E2M3", &[2], 0, 1)]), 1), (HeaderFault::Span, 1));
}

#[test]
fn shapes_and_spans_agree() {
    let span = |shape: &[u64], end| {
        SafeTensors::new(&file(&object(&[entry("a", "F32", shape, 0, end)]), &vec![0; end])).map(drop)
    };
    let refused = Err(Error::Header { at: 1, fault: HeaderFault::Span });
    let largest = usize::MAX as u64;
    for (shape, end) in [(&[][..], 4), (&[0], 0), (&[3, 0, 2], 0), (&[0, largest], 0), (&[1, 2, 1, 3], 24)] {
        assert_eq!(span(shape, end), Ok(()), "{shape:?}");
        assert_eq!(span(shape, end + 1), refused, "{shape:?}");
        assert_eq!(span(shape, end + 4), refused, "{shape:?}");
    }
    // Products that are 0 or 1 modulo 2^64; the last overflows only when it is multiplied by
    // the element size.
    let half = 1 << 63;
    for shape in [&[half, 2][..], &[half, 2, 0], &[1 << 32, 1 << 32], &[u64::MAX, u64::MAX], &[half / 2], &[1 << 31, 2]]
    {
        for end in [0, 4] {
            let got = span(shape, end);
            if shape.iter().all(|&len| usize::try_from(len).is_ok()) {
                assert_eq!(got, refused, "{shape:?}");
            } else {
                // No number that this CPU has.
                assert!(matches!(got, Err(Error::Header { fault: HeaderFault::Syntax, .. })), "{shape:?} {got:?}");
            }
        }
    }
}

#[test]
fn offsets_reversed_or_past_the_end() {
    let reversed = object(&[entry("a", "F32", &[1], 4, 0)]);
    assert_eq!(fault(&reversed, 4), (HeaderFault::Offsets, reversed.find("[4").unwrap()));
    // With a hole before it, no longer file would make it right: this is not a cut.
    let past = floats(&[(0, 4), (8, 16), (16, 20)]);
    assert_eq!(fault(&past, 12), (HeaderFault::Offsets, past.find("\"b\"").unwrap()));
    let far = |end: usize| object(&[entry("a", "U8", &[end], 0, end)]);
    let end = usize::MAX / 8;
    assert!(matches!(error(&file(&far(end), &[])), Error::Truncated { needed, .. } if needed > end as u64));
    if usize::BITS == 64 {
        // In bits, as the format counts, this overflows.
        assert_eq!(fault(&far(end + 1), 0), (HeaderFault::Span, 1));
    }
}

#[test]
fn overlaps_and_holes() {
    for (spans, data, at) in [
        (&[(0, 8), (4, 12)][..], 12, "\"b\""),
        (&[(0, 8), (0, 8)], 8, "\"b\""),
        (&[(0, 8), (0, 4), (4, 8)], 8, "\"a\""),
        (&[(0, 4), (8, 12)], 12, "\"b\""),
        (&[(4, 8)], 8, "\"a\""),
        (&[(8, 12), (0, 4)], 12, "\"a\""),
        // An empty tensor inside another one.
        (&[(0, 8), (4, 4)], 8, "\"b\""),
    ] {
        let header = floats(spans);
        assert_eq!(fault(&header, data), (HeaderFault::Coverage, header.find(at).unwrap()), "{spans:?}");
    }
    let header = floats(&[(0, 4), (4, 8)]);
    assert_eq!(fault(&header, 12), (HeaderFault::Coverage, header.len()));
    assert_eq!(fault("{}", 1), (HeaderFault::Coverage, 2));
    for spans in [&[(4, 8), (0, 4)][..], &[(0, 0), (0, 4), (4, 4)], &[(4, 4), (0, 4), (0, 0), (4, 4)]] {
        assert!(SafeTensors::new(&file(&floats(spans), &vec![0; spans.iter().map(|s| s.1).max().unwrap()])).is_ok());
    }
}

/// `n` tensors of one byte; tensor `k` of the file has the name and the offset `order(k)`.
fn many(n: usize, order: impl Fn(usize) -> usize) -> Vec<String> {
    (0..n).map(order).map(|k| entry(&format!("t{k}"), "U8", &[1], k, k + 1)).collect()
}

#[test]
fn thousands_of_tensors_in_any_order() {
    let n = MAX_TENSORS;
    let orders: [fn(usize) -> usize; 4] =
        [|k| k, |k| MAX_TENSORS - 1 - k, |k| k.wrapping_mul(2_654_435_761) % MAX_TENSORS, |k| k ^ 127];
    for order in orders {
        let mut entries = many(n, order);
        assert_eq!(SafeTensors::new(&file(&object(&entries), &vec![0; n])).map(|file| file.len()), Ok(n));

        entries[n - 1] = entry("new", "U8", &[1], order(0), order(0) + 1);
        assert_eq!(fault(&object(&entries), n).0, HeaderFault::Coverage);

        entries.push(entry("more", "U8", &[0], 0, 0));
        let header = object(&entries);
        assert_eq!(fault(&header, n), (HeaderFault::TooMany, header.find("\"more\"").unwrap()));
    }
}

#[test]
fn a_name_twice_is_found_at_any_distance() {
    // More tensors than are compared at once, so that pairs meet across passes.
    let n = 400;
    let orders: [fn(usize) -> usize; 3] = [|k| k, |k| 399 - k, |k| (k * 277) % 400];
    for order in orders {
        let distances = [1, 127, 128, 129, 399];
        for (i, j) in (0..n).flat_map(|i| distances.map(|d| (i, i + d))).filter(|&(_, j)| j < n) {
            let mut entries = many(n, order);
            let (name, begin) = (order(i), order(j));
            entries[j] = entry(&format!("\\u0074{name}"), "U8", &[1], begin, begin + 1);
            let (fault, at) = fault(&object(&entries), n);
            assert_eq!(fault, HeaderFault::Duplicate, "{i} {j}");
            assert!(object(&entries)[at..].starts_with(&entries[j]), "{i} {j}");
        }
    }
}

#[test]
fn entries_have_a_longest_length() {
    let padded = |len: usize| {
        let bare = entry("", "U8", &[0], 0, 0).len();
        object(&[entry(&"x".repeat(len - bare), "U8", &[0], 0, 0)])
    };
    assert!(SafeTensors::new(&file(&padded(MAX_ENTRY_BYTES), &[])).is_ok());
    assert_eq!(fault(&padded(MAX_ENTRY_BYTES + 1), 0), (HeaderFault::TooMany, 1));
}

#[test]
fn every_kind_of_damage_is_named() {
    for damage in weight_files() {
        let error = SafeTensors::new(&damage.file).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(damage.words), "{:?} is not in {error:?}", damage.words);
    }
}
