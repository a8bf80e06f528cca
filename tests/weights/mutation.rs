//! Random damage: any file is refused, or everything it shows lies within its bytes and agrees with its header.

use proptest::prelude::*;
use selfattn::weights::{EncoderConfig, Family, Names, Part, SafeTensors};

use crate::writer::{Placed, tensors};

#[derive(Clone, Debug)]
enum Damage {
    Set(usize, u8),
    Insert(usize, u8),
    Delete(usize, usize),
    /// Copies a stretch to another place: entries twice, brackets that do not match.
    Copy(usize, usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Bytes that mean something in JSON come up as often as all others together.
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"{}[],:\"\\0123456789eE+-. utfn"[..])];
    let at = any::<usize>();
    prop_oneof![
        (at, byte.clone()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at, byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        (at, 1usize..20).prop_map(|(at, len)| Damage::Delete(at, len)),
        (at, at, 1usize..80).prop_map(|(from, to, len)| Damage::Copy(from, to, len)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let len = bytes.len().max(1);
    match *damage {
        Damage::Set(at, byte) => bytes.iter_mut().skip(at % len).take(1).for_each(|slot| *slot = byte),
        Damage::Insert(at, byte) => bytes.insert(at % (bytes.len() + 1), byte),
        Damage::Delete(at, n) => drop(bytes.drain(at % len..bytes.len().min(at % len + n))),
        Damage::Copy(from, to, n) => {
            let piece: Vec<u8> = bytes.iter().skip(from % len).take(n).copied().collect();
            let to = to % (bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
    }
}

/// Repairs the length, so that damage to the header is not all caught by it.
fn repair_length(bytes: &mut [u8], data: usize) {
    let len = bytes.len().saturating_sub(8 + data) as u64;
    if let Some(prefix) = bytes.first_chunk_mut::<8>() {
        *prefix = len.to_le_bytes();
    }
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(file) = SafeTensors::new(bytes) else { return Ok(()) };
    let within = bytes.as_ptr_range();
    let mut total = 0;
    for tensor in file.tensors() {
        let data = tensor.data().as_ptr_range();
        prop_assert!(within.start <= data.start && data.end <= within.end);
        let bits = tensor.shape().product::<usize>() as u64 * tensor.dtype().bits();
        prop_assert_eq!(bits, tensor.data().len() as u64 * 8);
        total += tensor.data().len();
    }
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    prop_assert_eq!(8 + header + total, bytes.len());
    prop_assert_eq!(file.tensors().count(), file.len());
    for family in [Family::Bert, Family::DistilBert] {
        if let Ok(names) = Names::detect(&file, family) {
            let _ = names.check_no_unknown(&file, 1);
            let _ = file.matrix(names.name(0, Part::WordEmbeddings), 2, 3);
        }
    }
    Ok(())
}

const CONFIG: &[u8] = br#"{"model_type":"roberta","vocab_size":100,"hidden_size":8,"num_attention_heads":2,
    "layer_norm_eps":1e-05,"max_position_embeddings":514,"hidden_act":"gelu","x":[{"y":null},"\u00e9",-1.5e3]}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files(damages in prop::collection::vec(damage(), 1..4), repair: bool) {
        let mut bytes = tensors(&[
            ("embeddings.word_embeddings.weight", "F32", &[2, 3]),
            ("embeddings.LayerNorm.\\u0077eight", "F16", &[2]),
            ("cls.x", "I64", &[1, 1, 1]),
        ]);
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        if repair {
            repair_length(&mut bytes, 24 + 4 + 8);
        }
        check(Placed::new(&bytes, 0).bytes())?;
    }

    #[test]
    fn damaged_configurations(damages in prop::collection::vec(damage(), 1..4)) {
        let mut bytes = CONFIG.to_vec();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        if let Ok(config) = EncoderConfig::from_json(&bytes) {
            prop_assert_eq!(config.validate(), Ok(()));
            prop_assert_eq!(config.head_dim() * config.heads, config.hidden_size);
        }
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes)?;
        let _ = EncoderConfig::from_json(&bytes);
    }
}
