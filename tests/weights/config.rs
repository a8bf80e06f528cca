//! Configurations: the reference's defaults, each family's fields, and what is refused.

use selfattn::Error;
use selfattn::weights::{Activation, EncoderConfig, Family};

const BERT: EncoderConfig = EncoderConfig {
    family: Family::Bert,
    vocab_size: 30522,
    hidden_size: 768,
    layers: 12,
    heads: 12,
    intermediate_size: 3072,
    max_positions: 512,
    position_offset: 0,
    token_types: 2,
    norm_eps: 1e-12,
    activation: Activation::Gelu,
};

fn read(json: &str) -> Result<EncoderConfig, Error> {
    EncoderConfig::from_json(json.as_bytes())
}

/// A configuration of this model type with these members besides.
fn with(model_type: &str, members: &str) -> Result<EncoderConfig, Error> {
    let comma = if members.is_empty() { "" } else { "," };
    let config = read(&format!(r#"{{"model_type":"{model_type}"{comma}{members}}}"#));
    // The order of members has no say.
    assert_eq!(config, read(&format!(r#"{{{members}{comma}"model_type":"{model_type}"}}"#)));
    config
}

#[test]
fn absent_fields_have_the_defaults_of_the_reference() {
    let roberta = EncoderConfig { family: Family::Roberta, max_positions: 510, position_offset: 2, ..BERT };
    assert_eq!(with("bert", ""), Ok(BERT));
    assert_eq!(with("roberta", ""), Ok(EncoderConfig { vocab_size: 50265, ..roberta }));
    assert_eq!(with("xlm-roberta", ""), Ok(roberta));
    assert_eq!(with("camembert", ""), Ok(roberta));
    assert_eq!(
        with("distilbert", ""),
        Ok(EncoderConfig { family: Family::DistilBert, layers: 6, token_types: 0, ..BERT })
    );
}

#[test]
fn every_field_is_read() {
    let members = r#""vocab_size":7,"hidden_size":6,"num_hidden_layers":5,"num_attention_heads":3,"intermediate_size":4,
        "max_position_embeddings":9,"type_vocab_size":1,"layer_norm_eps":1e-05,"hidden_act":"relu","pad_token_id":3,
        "position_embedding_type":"absolute","is_decoder":false,"id2label":{"0":["x",{}]},"torch_dtype":null"#;
    let expected = EncoderConfig {
        family: Family::Bert,
        vocab_size: 7,
        hidden_size: 6,
        layers: 5,
        heads: 3,
        intermediate_size: 4,
        max_positions: 9,
        position_offset: 0,
        token_types: 1,
        norm_eps: 1e-5,
        activation: Activation::Relu,
    };
    assert_eq!(with("bert", members), Ok(expected));
    let roberta = EncoderConfig { family: Family::Roberta, max_positions: 5, position_offset: 4, ..expected };
    assert_eq!(with("roberta", members), Ok(roberta));
    assert_eq!(expected.head_dim(), 2);
    assert_eq!(roberta.position_rows(), Ok(9));

    let members = r#""vocab_size":7,"dim":6,"n_layers":5,"n_heads":3,"hidden_dim":4,"max_position_embeddings":9,
        "activation":"gelu_new","sinusoidal_pos_embds":true,"pad_token_id":8,
        "type_vocab_size":null,"layer_norm_eps":"1","hidden_act":0"#;
    let distilbert = EncoderConfig {
        family: Family::DistilBert,
        token_types: 0,
        norm_eps: 1e-12,
        activation: Activation::GeluTanh,
        ..expected
    };
    assert_eq!(with("distilbert", members), Ok(distilbert));
}

#[test]
fn activations() {
    for (name, activation) in [
        ("gelu", Activation::Gelu),
        ("gelu_python", Activation::Gelu),
        ("\\u0067elu", Activation::Gelu),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_fast", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("relu", Activation::Relu),
    ] {
        let expected = EncoderConfig { activation, ..BERT };
        assert_eq!(with("bert", &format!(r#""hidden_act":"{name}""#)), Ok(expected));
    }
}

#[test]
fn eps_as_files_write_it() {
    for (text, norm_eps) in [("1e-12", 1e-12), ("1e-05", 1e-5), ("0.00001", 1e-5), ("1E-7", 1e-7), ("1", 1.0)] {
        assert_eq!(with("bert", &format!(r#""layer_norm_eps":{text}"#)), Ok(EncoderConfig { norm_eps, ..BERT }));
    }
}

#[test]
fn the_last_of_a_field_counts() {
    let twice = r#""hidden_size":384,"hidden_size":1536"#;
    assert_eq!(with("bert", twice), Ok(EncoderConfig { hidden_size: 1536, ..BERT }));
    assert_eq!(read(r#"{"model_type":"gpt2","model_type":"bert"}"#), Ok(BERT));
    assert_eq!(read(r#"{"model_type":"bert","model_type":"gpt2"}"#), Err(Error::Config { field: "model_type" }));
}

#[test]
fn a_wrong_value_is_named_by_its_field() {
    let sizes = [
        ("vocab_size", "vocab_size"),
        ("hidden_size", "dim"),
        ("num_hidden_layers", "n_layers"),
        ("num_attention_heads", "n_heads"),
        ("intermediate_size", "hidden_dim"),
        ("max_position_embeddings", "max_position_embeddings"),
    ];
    for (bert, distilbert) in sizes {
        for (model_type, field) in [("bert", bert), ("roberta", bert), ("distilbert", distilbert)] {
            for value in ["0", "-1", "1.5", "1e400", "18446744073709551616", "null", "\"8\"", "[8]", "{}", "true"] {
                let got = with(model_type, &format!(r#""{field}":{value}"#));
                assert_eq!(got, Err(Error::Config { field }), "{model_type} {field} {value}");
            }
        }
    }
    for (model_type, field, value) in [
        // More than any file has tensors for.
        ("bert", "num_hidden_layers", "4097"),
        ("bert", "num_hidden_layers", "100000000000000000"),
        ("bert", "type_vocab_size", "0"),
        ("bert", "layer_norm_eps", "0"),
        ("bert", "layer_norm_eps", "-1e-12"),
        ("bert", "layer_norm_eps", "1e400"),
        ("bert", "layer_norm_eps", "1e-400"),
        ("bert", "layer_norm_eps", "\"1e-12\""),
        ("bert", "num_attention_heads", "7"),
        ("bert", "hidden_act", "\"silu\""),
        ("bert", "hidden_act", "null"),
        ("distilbert", "activation", "\"GELU\""),
        ("bert", "position_embedding_type", "\"relative_key\""),
        ("roberta", "position_embedding_type", "\"rotary\""),
        ("bert", "is_decoder", "true"),
        ("bert", "is_decoder", "0"),
        ("roberta", "max_position_embeddings", "1"),
        ("roberta", "max_position_embeddings", "2"),
        ("roberta", "pad_token_id", "-1"),
        ("roberta", "pad_token_id", "null"),
    ] {
        let got = with(model_type, &format!(r#""{field}":{value}"#));
        assert_eq!(got, Err(Error::Config { field }), "{model_type} {field} {value}");
    }
    // The other families have no use for it, and their files may say anything.
    for (model_type, value) in [("bert", "-1"), ("bert", "null"), ("distilbert", "\"[PAD]\"")] {
        let got = with(model_type, &format!(r#""pad_token_id":{value}"#));
        assert!(got.is_ok(), "{model_type} {value}: {got:?}");
    }
    for pad in ["511".to_owned(), usize::MAX.to_string()] {
        let got = with("roberta", &format!(r#""pad_token_id":{pad}"#));
        assert_eq!(got, Err(Error::Config { field: "max_position_embeddings" }), "{pad}");
    }
}

#[test]
fn model_types_that_are_not_these() {
    let refused = Err(Error::Config { field: "model_type" });
    for json in [
        "{}",
        r#"{"model_type":"gpt2"}"#,
        r#"{"model_type":""}"#,
        r#"{"model_type":null}"#,
        r#"{"model_type":["bert"]}"#,
    ] {
        assert_eq!(read(json), refused, "{json}");
    }
}

#[test]
fn texts_that_are_not_json() {
    let deep = format!(r#"{{"x":{}"#, "[".repeat(1_000_000));
    let long = r#"{"model_type":"bert""#.to_owned();
    for (json, at) in [
        ("", 0),
        ("[]", 0),
        ("1", 0),
        (r#"{"model_type":"bert"} x"#, 22),
        (r#"{"model_type":"bert",}"#, 21),
        (r#"{"model_type":"bert","vocab_size":01}"#, 35),
        (r#"{"model_type":"bert","vocab_size":}"#, 34),
        (r#"{"a":"\ud800"}"#, 6),
        (&deep, 5 + 63),
    ] {
        assert_eq!(read(json), Err(Error::Json { at }), "{json:.40}");
    }
    for cut in 0..=long.len() {
        assert_eq!(read(&long[..cut]), Err(Error::Json { at: cut }), "{cut}");
    }
    assert_eq!(EncoderConfig::from_json(b"{\"a\":\"\xff\"}"), Err(Error::Json { at: 6 }));
}

#[test]
fn configurations_by_hand_are_checked_by_the_names_of_the_struct() {
    assert_eq!(BERT.validate(), Ok(()));
    for (config, field) in [
        (EncoderConfig { vocab_size: 0, ..BERT }, "vocab_size"),
        (EncoderConfig { hidden_size: 0, ..BERT }, "hidden_size"),
        (EncoderConfig { layers: 0, ..BERT }, "layers"),
        (EncoderConfig { heads: 0, ..BERT }, "heads"),
        (EncoderConfig { heads: 5, ..BERT }, "heads"),
        (EncoderConfig { intermediate_size: 0, ..BERT }, "intermediate_size"),
        (EncoderConfig { max_positions: 0, ..BERT }, "max_positions"),
        (EncoderConfig { position_offset: usize::MAX, ..BERT }, "max_positions"),
        (EncoderConfig { token_types: 0, ..BERT }, "token_types"),
        (EncoderConfig { family: Family::DistilBert, ..BERT }, "token_types"),
        (EncoderConfig { norm_eps: 0.0, ..BERT }, "norm_eps"),
        (EncoderConfig { norm_eps: -1.0, ..BERT }, "norm_eps"),
        (EncoderConfig { norm_eps: f32::NAN, ..BERT }, "norm_eps"),
        (EncoderConfig { norm_eps: f32::INFINITY, ..BERT }, "norm_eps"),
    ] {
        assert_eq!(config.validate(), Err(Error::Config { field }));
    }
    assert_eq!(EncoderConfig { heads: 0, ..BERT }.head_dim(), 0);
}
