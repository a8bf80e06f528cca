//! The names of each family's tensors, and tensors that belong to no model.

use selfattn::Error;
use selfattn::weights::{Family, Names, Part, SafeTensors};

use crate::writer::tensors;

/// A file of tensors of one element with these names.
fn named<S: AsRef<str>>(names: &[S]) -> Vec<u8> {
    let list: Vec<(&str, &str, &[usize])> = names.iter().map(|name| (name.as_ref(), "F32", &[1][..])).collect();
    tensors(&list)
}

fn detect(names: &[&str], family: Family) -> Result<Names, Error> {
    Names::detect(&SafeTensors::new(&named(names))?, family)
}

const WORDS: &str = "embeddings.word_embeddings.weight";

/// From the checkpoints `bert-base-uncased`, `roberta-base` (both old and new) and `distilbert-base-uncased`.
#[test]
fn names_are_those_of_the_checkpoints() {
    for (family, prefix) in
        [(Family::Bert, "bert."), (Family::Roberta, "roberta."), (Family::DistilBert, "distilbert.")]
    {
        for prefix in ["", prefix] {
            let names = detect(&[&format!("{prefix}{WORDS}")], family).unwrap();
            assert_eq!(names.name(0, Part::WordEmbeddings).to_string(), format!("{prefix}{WORDS}"));
            let expected = match family {
                Family::DistilBert => "transformer.layer.5.attention.out_lin.bias",
                _ => "encoder.layer.5.attention.output.dense.bias",
            };
            assert_eq!(names.name(5, Part::AttentionOutputBias).to_string(), format!("{prefix}{expected}"));
        }
    }
    let layer = |family, parts: &[Part]| -> Vec<String> {
        let names = detect(&[WORDS], family).unwrap();
        parts.iter().map(|&part| names.name(11, part).to_string()).collect()
    };
    let parts = [
        Part::QueryWeight,
        Part::KeyBias,
        Part::ValueWeight,
        Part::AttentionOutputWeight,
        Part::AttentionNormBias,
        Part::IntermediateWeight,
        Part::OutputBias,
        Part::OutputNormWeight,
    ];
    let bert = [
        "encoder.layer.11.attention.self.query.weight",
        "encoder.layer.11.attention.self.key.bias",
        "encoder.layer.11.attention.self.value.weight",
        "encoder.layer.11.attention.output.dense.weight",
        "encoder.layer.11.attention.output.LayerNorm.bias",
        "encoder.layer.11.intermediate.dense.weight",
        "encoder.layer.11.output.dense.bias",
        "encoder.layer.11.output.LayerNorm.weight",
    ];
    assert_eq!(layer(Family::Bert, &parts), bert);
    assert_eq!(layer(Family::Roberta, &parts), bert);
    let distilbert = [
        "transformer.layer.11.attention.q_lin.weight",
        "transformer.layer.11.attention.k_lin.bias",
        "transformer.layer.11.attention.v_lin.weight",
        "transformer.layer.11.attention.out_lin.weight",
        "transformer.layer.11.sa_layer_norm.bias",
        "transformer.layer.11.ffn.lin1.weight",
        "transformer.layer.11.ffn.lin2.bias",
        "transformer.layer.11.output_layer_norm.weight",
    ];
    assert_eq!(layer(Family::DistilBert, &parts), distilbert);
}

#[test]
fn old_checkpoints_have_gamma_and_beta() {
    let names =
        detect(&["bert.embeddings.LayerNorm.gamma", "bert.embeddings.word_embeddings.weight"], Family::Bert).unwrap();
    assert_eq!(names.name(0, Part::EmbeddingsNormBias).to_string(), "bert.embeddings.LayerNorm.beta");
    assert_eq!(names.name(2, Part::OutputNormWeight).to_string(), "bert.encoder.layer.2.output.LayerNorm.gamma");
    assert_eq!(names.name(2, Part::QueryBias).to_string(), "bert.encoder.layer.2.attention.self.query.bias");
}

#[test]
fn a_name_tells_its_layer_where_it_is_part_of_one() {
    let names = detect(&[WORDS], Family::Bert).unwrap();
    assert_eq!(names.name(11, Part::QueryBias).layer(), Some(11));
    assert_eq!(names.name(0, Part::QueryBias).layer(), Some(0));
    assert_eq!(names.name(11, Part::WordEmbeddings).layer(), None);
}

#[test]
fn a_file_of_another_model_lacks_the_word_embeddings() {
    for names in [&[][..], &["roberta.embeddings.word_embeddings.weight"], &["wte.weight"]] {
        let Err(Error::MissingTensor { tensor }) = detect(names, Family::Bert) else { panic!("{names:?}") };
        assert_eq!((tensor.part(), tensor.layer(), tensor.to_string()), (Part::WordEmbeddings, None, WORDS.to_owned()));
    }
}

/// Every tensor of a model of two layers with `prefix`, and the given others.
fn model(family: Family, prefix: &str, others: &[&str]) -> Vec<String> {
    let names = detect(&[WORDS], family).unwrap();
    let layers = (0..2).flat_map(|layer| Part::ALL.map(|part| (layer, part)));
    let wanted = layers.filter(|&(layer, part)| {
        let exists = family != Family::DistilBert || part != Part::TokenTypeEmbeddings;
        exists && (layer == 0 || part.in_layer())
    });
    let model = wanted.map(|(layer, part)| format!("{prefix}{}", names.name(layer, part)));
    model.chain(others.iter().map(|&other| other.to_owned())).collect()
}

fn check(names: &[String], family: Family, layers: usize) -> Result<(), Error> {
    let bytes = named(names);
    let file = SafeTensors::new(&bytes).unwrap();
    Names::detect(&file, family).unwrap().check_no_unknown(&file, layers)
}

#[test]
fn whole_models_and_their_heads_are_known() {
    let heads = [
        "cls.predictions.transform.LayerNorm.weight",
        "cls.seq_relationship.bias",
        "lm_head.dense.weight",
        "classifier.bias",
        "pre_classifier.weight",
        "qa_outputs.weight",
        "vocab_transform.bias",
        "vocab_layer_norm.weight",
        "vocab_projector.bias",
    ];
    for (family, prefix) in
        [(Family::Bert, "bert."), (Family::Roberta, "roberta."), (Family::DistilBert, "distilbert.")]
    {
        for prefix in ["", prefix] {
            let inner = ["pooler.dense.weight", "embeddings.position_ids"].map(|name| format!("{prefix}{name}"));
            let others: Vec<&str> = heads.into_iter().chain(inner.iter().map(String::as_str)).collect();
            let names = model(family, prefix, &others);
            assert_eq!(check(&names, family, 2), Ok(()));
            let first_of_layer_1 = names.iter().position(|name| name.contains(".layer.1.")).unwrap();
            assert_eq!(check(&names, family, 1), Err(Error::UnknownTensor { index: first_of_layer_1 }));
        }
    }
}

#[test]
fn tensors_of_no_model_are_unknown() {
    for stranger in [
        "",
        "extra",
        "encoder.layer.2.output.dense.weight",
        "encoder.layer.01.output.dense.weight",
        "encoder.layer.+1.output.dense.weight",
        "encoder.layer.18446744073709551616.output.dense.weight",
        "encoder.layer.1.output.dense.weights",
        "encoder.layer.1.output.dense",
        "encoder.layer.1.output.LayerNorm.gamma",
        "encoder.layer.1.embeddings.LayerNorm.bias",
        "encoder.layer.1",
        "encoder.layer.1.attention.q_lin.weight",
        "output.dense.weight",
        "bert.embeddings.LayerNorm.weight",
        "embeddings.position_ids.weight",
        "embeddings.LayerNorm.weight.bias",
        "pooler",
        "cls",
    ] {
        let names = model(Family::Bert, "", &[stranger]);
        assert_eq!(check(&names, Family::Bert, 2), Err(Error::UnknownTensor { index: names.len() - 1 }), "{stranger}");
    }
    let segments = model(Family::DistilBert, "", &["embeddings.token_type_embeddings.weight"]);
    assert!(matches!(check(&segments, Family::DistilBert, 2), Err(Error::UnknownTensor { .. })));
    // Behind a prefix, the model's own tensors must have it.
    for stranger in
        ["pooler.dense.weight", "embeddings.position_ids", "encoder.layer.0.output.dense.bias", "bert.cls.bias"]
    {
        let names = model(Family::Bert, "bert.", &[stranger]);
        assert!(matches!(check(&names, Family::Bert, 2), Err(Error::UnknownTensor { .. })), "{stranger}");
    }
}
