//! The classifier of tokens against f64, what it takes from a file, and what it refuses.

mod common;

use std::collections::BTreeMap;

use common::data::Rng;
use common::every_level;
use common::memory::{Bytes, Strided};
use common::model::{Tensor, safetensors};
use selfattn::block::TokenClassifier;
use selfattn::weights::SafeTensors;
use selfattn::{Dtype, Error};

/// No multiple of a register's lanes.
const HIDDEN: usize = 37;
const LABELS: usize = 21;

type Tensors = BTreeMap<String, Tensor>;

fn tensor(rng: &mut Rng, shape: &[usize]) -> Tensor {
    let values = (0..shape.iter().product()).map(|_| rng.unit()).collect();
    Tensor { dtype: Dtype::F32, shape: shape.to_vec(), values }
}

fn head() -> Tensors {
    let mut rng = Rng::new(5);
    let (weight, bias) = (tensor(&mut rng, &[LABELS, HIDDEN]), tensor(&mut rng, &[LABELS]));
    [("classifier.weight", weight), ("classifier.bias", bias)].map(|(name, tensor)| (name.to_owned(), tensor)).into()
}

fn bind(tensors: &Tensors) -> Result<Option<usize>, Error> {
    let file = safetensors(tensors);
    let tensors = SafeTensors::new(&file).unwrap();
    TokenClassifier::bind(&tensors, HIDDEN).map(|found| found.map(|classifier| classifier.labels()))
}

#[test]
fn scores_are_those_of_a_linear_layer() {
    let tokens = 9;
    let mut rng = Rng::new(6);
    let hidden = Strided::new(tokens, HIDDEN, 3, 1, |_, _| rng.unit());
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let tensors: Tensors = head().into_iter().map(|(name, tensor)| (name, tensor.stored_as(dtype))).collect();
        let (weight, bias) = (&tensors["classifier.weight"].values, &tensors["classifier.bias"].values);
        let file = safetensors(&tensors);
        let file = SafeTensors::new(&file).unwrap();
        let classifier = TokenClassifier::bind(&file, HIDDEN).unwrap().unwrap();
        every_level(|engine| {
            let mut out = Strided::unwritten(tokens, LABELS, 2, 1);
            let mut scratch = Bytes::new(classifier.scratch_bytes(&engine, tokens).unwrap(), 1);
            classifier.logits(&engine, hidden.view(), out.view_mut(), &mut scratch).unwrap();
            out.assert_guards();
            for token in 0..tokens {
                for label in 0..LABELS {
                    let row = weight[label * HIDDEN..][..HIDDEN].iter();
                    let products = row.zip(hidden.view().row(token)).map(|(&w, &x)| f64::from(w) * f64::from(x));
                    let expected = products.sum::<f64>() + f64::from(bias[label]);
                    let got = f64::from(out.view().row(token)[label]);
                    assert!((got - expected).abs() < 1e-5, "{} {dtype:?}: {got} for {expected}", engine.level());
                }
            }
            let needed = classifier.scratch_bytes(&engine, tokens).unwrap();
            let mut short = Bytes::new(needed - 1, 1);
            let refused = classifier.logits(&engine, hidden.view(), out.view_mut(), &mut short);
            assert!(matches!(refused, Err(Error::Scratch { .. })), "{refused:?}");
        });
    }
}

#[test]
fn a_file_without_a_classifier_has_none() {
    assert_eq!(bind(&[("other".to_owned(), tensor(&mut Rng::new(1), &[2, 2]))].into()), Ok(None));
    assert_eq!(bind(&head()), Ok(Some(LABELS)));
}

#[test]
fn what_does_not_fit_is_named() {
    for lost in ["classifier.weight", "classifier.bias"] {
        let mut tensors = head();
        tensors.remove(lost);
        assert_eq!(bind(&tensors), Err(Error::Value { arg: lost }));
    }
    let with = |name: &str, shape: &[usize]| {
        let mut tensors = head();
        tensors.insert(name.to_owned(), tensor(&mut Rng::new(2), shape));
        bind(&tensors)
    };
    let shape = |arg, expected, got| Err(Error::Shape { arg, expected, got });
    assert_eq!(with("classifier.weight", &[LABELS, 36]), shape("classifier.weight", HIDDEN, 36));
    assert_eq!(with("classifier.weight", &[LABELS, HIDDEN, 1]), shape("classifier.weight", HIDDEN, 0));
    assert_eq!(with("classifier.bias", &[LABELS - 1]), shape("classifier.bias", LABELS, LABELS - 1));
    assert_eq!(with("classifier.bias", &[LABELS, 1]), shape("classifier.bias", LABELS, 0));
}
