//! Weight files against the reference reader of the format: what is accepted here is accepted there, with the same tensors;
//! what is only accepted there breaks a rule that is documented to be stricter.

use std::collections::HashSet;

use arbitrary::{Result, Unstructured};
use selfattn::weights::{Family, FileDtype, Names, Part, SafeTensors};
use selfattn::{Error, HeaderFault};

use crate::common::memory::Bytes;
use crate::config::Members;
use crate::draw::{list, rarely};

pub fn run(data: &[u8]) {
    let Some((form, rest)) = data.split_first() else { return };
    let file = match form % 4 {
        // A file as it is; a header whose length is right; or a header put together from entries.
        0 => rest.to_vec(),
        1 => with_length(rest, usize::from(form >> 2)),
        _ => match draw(&mut Unstructured::new(rest)) {
            Ok(file) => file,
            Err(_) => return,
        },
    };
    let mut placed = Bytes::new(file.len(), usize::from(form >> 2) % 9);
    placed.copy_from_slice(&file);
    check(&placed);
}

/// A header, and so many bytes of data.
fn with_length(header: &[u8], data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.extend((0..data).map(|byte| byte as u8));
    file
}

const NAMES: [&str; 6] =
    ["a", "b", "\\u0061", "bert.embeddings.word_embeddings.weight", "__metadata__", "embeddings.x"];

fn draw(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut end = 0;
    let mut entries = list(u, 8, |u| entry(u, &mut end))?;
    if u.arbitrary()? {
        let at = u.int_in_range(0..=entries.len())?;
        entries.insert(at, r#""__metadata__":{"format":"pt"}"#.to_owned());
    }
    let header = format!("{{{}}}{}", entries.join(","), " ".repeat(u.int_in_range(0..=8)?));
    let data = if !rarely(u, 8)? { end } else { u.int_in_range(0..=end + 9)? };
    let mut file = with_length(header.as_bytes(), data);
    if let Some(length) = rarely(u, 16)?.then(|| u.arbitrary::<u64>()).transpose()? {
        file[..8].copy_from_slice(&length.to_le_bytes());
    }
    Ok(file)
}

/// One tensor behind the others, which now and then says something else of its size or place.
fn entry(u: &mut Unstructured<'_>, end: &mut usize) -> Result<String> {
    let number = u.arbitrary::<u8>()?;
    let name = if rarely(u, 4)? { u.choose(&NAMES)?.to_string() } else { format!("t{number}") };
    let dtype = *u.choose(FileDtype::ALL)?;
    let shape = list(u, 3, |u| u.int_in_range(0..=5_usize))?;
    let bytes = shape.iter().product::<usize>() * dtype.bits() as usize / 8;
    let mut span = [*end, *end + bytes];
    *end += bytes;
    if rarely(u, 16)? {
        span[u.int_in_range(0..=1)?] = u.int_in_range(0..=*end + 9)?;
    }
    let sizes = match rarely(u, 16)? {
        true => format!("[{}]", u.arbitrary::<u64>()?),
        false => format!("{shape:?}"),
    };
    let fields =
        [format!(r#""dtype":"{dtype}""#), format!(r#""shape":{sizes}"#), format!(r#""data_offsets":{span:?}"#)];
    let [first, second] = *u.choose(&[[0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2], [0, 0], [1, 1]])?;
    let third = 3 - (first + second).min(3);
    Ok(format!(r#""{name}":{{{},{},{}}}"#, fields[first], fields[second], fields[third.min(2)]))
}

fn check(bytes: &[u8]) {
    let theirs = ::safetensors::SafeTensors::deserialize(bytes);
    match (SafeTensors::new(bytes), theirs) {
        (Ok(ours), Ok(theirs)) => compare(bytes, &ours, &theirs),
        (Ok(ours), Err(error)) => panic!("{ours:?} is accepted, but not by the reference: {error}"),
        (Err(error), Ok(theirs)) => {
            assert!(is_stricter(bytes, &error), "{error} is refused, but {theirs:?} is the file")
        }
        (Err(_), Err(_)) => {}
    }
}

fn compare(bytes: &[u8], ours: &SafeTensors<'_>, theirs: &::safetensors::SafeTensors<'_>) {
    assert_eq!(ours.len(), theirs.len());
    assert_eq!(ours.tensors().count(), theirs.len());
    let within = bytes.as_ptr_range();
    for tensor in ours.tensors() {
        let name: String = tensor.name().chars().collect();
        assert_eq!(tensor.name().to_string(), name);
        let reference = theirs.tensor(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tensor.dtype().name(), reference.dtype().to_string(), "{name}");
        assert!(tensor.shape().eq(reference.shape().iter().copied()), "{name}");
        assert_eq!(tensor.data().as_ptr_range(), reference.data().as_ptr_range(), "{name}");
        assert!(within.start <= tensor.data().as_ptr() && tensor.data().as_ptr_range().end <= within.end, "{name}");
        let found = ours.find(&name).expect("a tensor that is listed is found");
        assert_eq!(found.data().as_ptr_range(), tensor.data().as_ptr_range(), "{name}");
    }
    for family in [Family::Bert, Family::Roberta, Family::DistilBert] {
        let Ok(names) = Names::detect(ours, family) else { continue };
        let words = names.name(0, Part::WordEmbeddings);
        assert!(theirs.tensor(&words.to_string()).is_ok());
        for (rows, cols) in [(1, 0), (2, 3), (3, 1)] {
            match ours.matrix(words, rows, cols) {
                Ok(matrix) => assert_eq!([matrix.rows(), matrix.cols()], [rows, cols]),
                Err(Error::TensorShape { .. } | Error::TensorType { .. } | Error::Misaligned { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// What only this reader refuses: names that come twice (of which there the last counts, whatever the others say), fields that
/// are none of the format's, too many or too long entries, metadata that are no object of strings, white space before the
/// header's brace (which the format forbids).
fn is_stricter(bytes: &[u8], error: &Error) -> bool {
    match error {
        Error::Header { fault: HeaderFault::Duplicate | HeaderFault::Field | HeaderFault::TooMany, .. } => true,
        Error::Header { fault: HeaderFault::Syntax, at: 0 } if bytes.get(8).is_some_and(u8::is_ascii_whitespace) => {
            true
        }
        _ => has_repeated_name(bytes),
    }
}

/// Whether a header that is JSON has a member twice.
fn has_repeated_name(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let Some(header) = bytes.get(8..).and_then(|rest| rest.get(..length)) else { return false };
    let Ok(Members(members)) = serde_json::from_slice::<Members>(header) else { return false };
    let names: HashSet<_> = members.iter().map(|(name, _)| name).collect();
    names.len() < members.len()
}
