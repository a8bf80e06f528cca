//! Model files that are refused, each for one reason: for the Rust API, the command line and C alike.

/// A file, what it is refused for in words of the message, and the number of the C API's status.
#[allow(dead_code, reason = "each test uses a part")]
pub struct Damage {
    pub file: Vec<u8>,
    pub words: &'static str,
    pub status: i32,
}

const TRUNCATED: i32 = 20;
const HEADER_TOO_LARGE: i32 = 21;
const HEADER: i32 = 22;

fn file(header: &[u8], data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, &vec![0; data]].concat()
}

/// Weight files: of the length, of the header's text, of its places.
pub fn weight_files() -> Vec<Damage> {
    let sound = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[2,1],"data_offsets":[8,12]}}"#;
    let instead = |from: &str, to: &str| {
        assert!(sound.contains(from), "{from}");
        file(sound.replacen(from, to, 1).as_bytes(), 12)
    };
    let deep = format!(r#"{{"a":{}"#, "[".repeat(1_000_000));
    // Numbers that every CPU has, whose product it has not.
    let most = format!("[{},8]", usize::MAX / 4 + 1);
    let lists = [
        // Lengths.
        (TRUNCATED, "cut off", vec![]),
        (TRUNCATED, "cut off", file(sound.as_bytes(), 12)[..7].to_vec()),
        (TRUNCATED, "cut off", file(sound.as_bytes(), 11)),
        (HEADER, "uncovered", file(sound.as_bytes(), 13)),
        (HEADER_TOO_LARGE, "claims a header", [&u64::MAX.to_le_bytes(), sound.as_bytes()].concat()),
        (HEADER_TOO_LARGE, "claims a header", [&100_000_001_u64.to_le_bytes(), sound.as_bytes()].concat()),
        // The text.
        (HEADER, "not valid JSON", file(b"", 0)),
        (HEADER, "not valid JSON", file(b"{\"a\xff\":{}}", 0)),
        (HEADER, "not valid JSON", file(format!("{sound} x").as_bytes(), 12)),
        (HEADER, "wrong", file(deep.as_bytes(), 0)),
        (HEADER, "wrong", instead("[2]", "[1e400]")),
        (HEADER, "wrong", instead("[2]", "[-1]")),
        (HEADER, "wrong", instead("[2]", "[18446744073709551616]")),
        (HEADER, "a field is missing", instead(r#""dtype":"F32","#, "")),
        // Places.
        (HEADER, "reversed or past the end", instead("[0,8]", "[8,0]")),
        (HEADER, "overlap", instead("[8,12]", "[4,8]")),
        (HEADER, "uncovered", file(sound.replace("[8,12]", "[12,16]").as_bytes(), 16)),
        (HEADER, "the same name", instead(r#""b""#, r#""a""#)),
        (HEADER, "unknown element type", instead("F32", "F33")),
        (HEADER, "shape and data offsets disagree", instead("[2]", "[3]")),
        (HEADER, "shape and data offsets disagree", instead("[2]", &most)),
    ];
    lists.map(|(status, words, file)| Damage { file, words, status }).into()
}
