//! `config.json` against a reading by serde_json: what is accepted has the same values, what is not names a field that is wrong.

use std::fmt;

use arbitrary::{Result, Unstructured};
use selfattn::Error;
use selfattn::weights::{Activation, EncoderConfig, Family, MAX_TENSORS};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::draw::list;

/// Containers that the library reads within each other; serde_json takes 128.
const MAX_DEPTH: usize = 64;

pub fn run(data: &[u8]) {
    let Some((form, rest)) = data.split_first() else { return };
    match form % 2 {
        0 => check(rest),
        _ => {
            if let Ok(text) = draw(&mut Unstructured::new(rest)) {
                check(text.as_bytes());
            }
        }
    }
}

/// Names that some family or none reads.
const KEYS: [&str; 20] = [
    "model_type",
    "vocab_size",
    "hidden_size",
    "dim",
    "num_hidden_layers",
    "n_layers",
    "num_attention_heads",
    "n_heads",
    "intermediate_size",
    "hidden_dim",
    "max_position_embeddings",
    "pad_token_id",
    "type_vocab_size",
    "layer_norm_eps",
    "hidden_act",
    "activation",
    "position_embedding_type",
    "is_decoder",
    "\\u006dodel_type",
    "id2label",
];

const VALUES: [&str; 28] = [
    "\"bert\"",
    "\"roberta\"",
    "\"xlm-roberta\"",
    "\"camembert\"",
    "\"distilbert\"",
    "\"gpt2\"",
    "\"gelu\"",
    "\"gelu_new\"",
    "\"gelu_python\"",
    "\"gelu_fast\"",
    "\"gelu_pytorch_tanh\"",
    "\"relu\"",
    "\"\\u0072elu\"",
    "\"absolute\"",
    "\"relative_key\"",
    "true",
    "false",
    "null",
    "[]",
    "{\"a\":[{}]}",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "-0",
    "1e-46",
    "3.4028235677973366e38",
    "1e-12",
    "0",
];

/// Members of an object, each of a known name with a value by chance.
fn draw(u: &mut Unstructured<'_>) -> Result<String> {
    let members = list(u, 16, |u| {
        let key = u.choose(&KEYS)?;
        let value = match u.int_in_range(0..=3_u8)? {
            0 => u.int_in_range(0..=1000_u32)?.to_string(),
            1 => u.arbitrary::<i64>()?.to_string(),
            2 => format!("{:e}", u.arbitrary::<f32>()?).replace("inf", "1e99").replace("NaN", "null"),
            _ => u.choose(&VALUES)?.to_string(),
        };
        Ok(format!("\"{key}\": {value}"))
    })?;
    Ok(format!("{{\"model_type\":{},{}}}", u.choose(&VALUES[..6])?, members.join(",")))
}

fn check(bytes: &[u8]) {
    let got = EncoderConfig::from_json(bytes);
    let members = serde_json::from_slice::<Members>(bytes).ok().filter(|_| depth(bytes) <= MAX_DEPTH);
    match (members.as_ref().map(expected), got) {
        (None, Err(_)) => {}
        (Some(Ok(expected)), Ok(got)) => {
            assert_eq!(got, expected);
            assert_eq!(got.validate(), Ok(()));
            assert_eq!(got.head_dim() * got.heads, got.hidden_size);
        }
        (Some(Err(wrong)), Err(Error::Config { field })) => {
            assert!(wrong.contains(&field), "{field} is not in {wrong:?}")
        }
        (expected, got) => panic!("{got:?}, not {expected:?}: {}", String::from_utf8_lossy(bytes)),
    }
}

/// The members of the outermost object in their order, repeated ones too.
pub struct Members(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// How deep the containers of a text that is valid JSON stand in each other.
fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The configuration, or the fields of which each is reason enough to refuse it.
fn expected(members: &Members) -> std::result::Result<EncoderConfig, Vec<&'static str>> {
    let types: Vec<_> = members.0.iter().filter(|(key, _)| key == "model_type").map(|(_, value)| value).collect();
    let known = types.iter().all(|value| value.is_string()).then(|| types.last()).flatten();
    let (family, vocab) = match known.and_then(|value| value.as_str()) {
        Some("bert") => (Family::Bert, 30522),
        Some("roberta") => (Family::Roberta, 50265),
        Some("xlm-roberta" | "camembert") => (Family::Roberta, 30522),
        Some("distilbert") => (Family::DistilBert, 30522),
        _ => return Err(vec!["model_type"]),
    };
    let mut fields = Fields { members, wrong: Vec::new() };
    let distil = family == Family::DistilBert;
    let name = |bert, distilbert| if distil { distilbert } else { bert };
    let [hidden, layers, heads, inner] = [
        (name("hidden_size", "dim"), 768),
        (name("num_hidden_layers", "n_layers"), if distil { 6 } else { 12 }),
        (name("num_attention_heads", "n_heads"), 12),
        (name("intermediate_size", "hidden_dim"), 3072),
    ]
    .map(|(field, default)| (field, fields.size(field, default)));
    let vocab = ("vocab_size", fields.size("vocab_size", vocab));
    let rows = fields.size("max_position_embeddings", 512);
    let offset = if family == Family::Roberta { fields.size("pad_token_id", 1).checked_add(1) } else { Some(0) };
    let positions = offset.and_then(|offset| rows.checked_sub(offset)).unwrap_or(0);
    let types = if distil { 0 } else { fields.size("type_vocab_size", 2) };
    let norm_eps = if distil { 1e-12 } else { fields.float("layer_norm_eps", 1e-12) };
    let activation = fields.last(name("hidden_act", "activation"), Activation::Gelu, |value| match value.as_str()? {
        "gelu" | "gelu_python" => Some(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Activation::GeluTanh),
        "relu" => Some(Activation::Relu),
        _ => None,
    });
    fields.last("position_embedding_type", (), |value| (value.as_str()? == "absolute").then_some(()));
    fields.last("is_decoder", (), |value| (!value.as_bool()?).then_some(()));
    fields.reject_zeros(&[vocab, hidden, layers, heads, inner, ("max_position_embeddings", positions)]);
    if layers.1 > MAX_TENSORS {
        fields.wrong.push(layers.0);
    }
    if heads.1 == 0 || hidden.1 % heads.1 != 0 {
        fields.wrong.push(heads.0);
    }
    if !distil {
        fields.reject_zeros(&[("type_vocab_size", types)]);
    }
    if norm_eps <= 0.0 {
        fields.wrong.push("layer_norm_eps");
    }
    if !fields.wrong.is_empty() {
        return Err(fields.wrong);
    }
    Ok(EncoderConfig {
        family,
        vocab_size: vocab.1,
        hidden_size: hidden.1,
        layers: layers.1,
        heads: heads.1,
        intermediate_size: inner.1,
        max_positions: positions,
        position_offset: offset.unwrap_or(0),
        token_types: types,
        norm_eps,
        activation,
    })
}

struct Fields<'a> {
    members: &'a Members,
    wrong: Vec<&'static str>,
}

impl Fields<'_> {
    /// The last value of a field, each of which must be one that `read` takes.
    fn last<T>(&mut self, field: &'static str, default: T, read: impl Fn(&Value) -> Option<T>) -> T {
        let mut last = default;
        for (_, value) in self.members.0.iter().filter(|(key, _)| key == field) {
            match read(value) {
                Some(value) => last = value,
                None => self.wrong.push(field),
            }
        }
        last
    }

    fn size(&mut self, field: &'static str, default: usize) -> usize {
        self.last(field, default, |value| value.as_number()?.as_str().parse().ok())
    }

    fn float(&mut self, field: &'static str, default: f32) -> f32 {
        self.last(field, default, |value| value.as_number()?.as_str().parse().ok().filter(|x: &f32| x.is_finite()))
    }

    fn reject_zeros(&mut self, sizes: &[(&'static str, usize)]) {
        self.wrong.extend(sizes.iter().filter(|(_, size)| *size == 0).map(|(field, _)| *field));
    }
}
