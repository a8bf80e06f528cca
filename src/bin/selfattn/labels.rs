//! The labels of a model that labels tokens, as its config.json has them.

use std::collections::HashMap;

use serde::Deserialize;

/// The label of a token that has none, by custom.
const NONE: &str = "O";

/// The fields of a config.json that say what the classifier is for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    architectures: Option<Vec<String>>,
    id2label: HashMap<String, String>,
}

/// Names of labels, by number.
pub struct Labels(Vec<String>);

impl Labels {
    /// The labels, if the model labels tokens and names all its labels.
    pub fn from_config(json: &[u8]) -> Option<Self> {
        let mut head: Head = serde_json::from_slice(json).ok()?;
        if !head.architectures?.iter().any(|name| name.ends_with("ForTokenClassification")) {
            return None;
        }
        let names = (0..head.id2label.len()).map(|id| head.id2label.remove(&id.to_string()));
        names.collect::<Option<Vec<_>>>().map(Self)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn name(&self, label: usize) -> &str {
        &self.0[label]
    }

    /// Whether the label says that there is nothing to say.
    pub fn is_none(&self, label: usize) -> bool {
        self.0[label] == NONE
    }

    /// The labels that stand for senses of the same word, itself included: `bank:money` and `bank:river side`. For a label
    /// without a word, itself.
    pub fn rivals(&self, label: usize) -> Vec<usize> {
        match self.0[label].split_once(':') {
            Some((word, _)) => (0..self.0.len()).filter(|&other| self.word(other) == Some(word)).collect(),
            None => vec![label],
        }
    }

    /// A label without its word.
    pub fn sense(&self, label: usize) -> &str {
        self.0[label].split_once(':').map_or(&self.0[label], |(_, sense)| sense)
    }

    fn word(&self, label: usize) -> Option<&str> {
        self.0[label].split_once(':').map(|(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(architecture: &str, id2label: &str) -> Option<Vec<String>> {
        let json = format!(r#"{{"model_type": "bert", "architectures": {architecture}, "id2label": {id2label}}}"#);
        Labels::from_config(json.as_bytes()).map(|labels| labels.0)
    }

    #[test]
    fn only_models_that_label_tokens_have_labels() {
        let two = r#"{"1": "bank:money", "0": "O"}"#;
        assert_eq!(labels(r#"["BertForTokenClassification"]"#, two).unwrap(), ["O", "bank:money"]);
        assert_eq!(labels(r#"["BertForSequenceClassification"]"#, two), None);
        assert_eq!(labels("null", two), None);
        assert!(Labels::from_config(br#"{"model_type": "bert"}"#).is_none());
        assert!(Labels::from_config(b"[").is_none());
    }

    #[test]
    fn a_number_without_a_name_is_no_list() {
        assert_eq!(labels(r#"["BertForTokenClassification"]"#, r#"{"0": "O", "2": "bank:money"}"#), None);
    }

    #[test]
    fn rivals_are_senses_of_the_same_word() {
        let names = ["O", "bank:money", "bat:animal", "bank:river side", "B-PER"];
        let labels = Labels(names.map(str::to_owned).into());
        assert_eq!(labels.rivals(3), [1, 3]);
        assert_eq!(labels.rivals(4), [4]);
        assert_eq!((labels.sense(3), labels.sense(4)), ("river side", "B-PER"));
        assert!(labels.is_none(0) && !labels.is_none(1));
    }
}
