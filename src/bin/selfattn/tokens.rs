//! Text to tokens, by the model's own tokenizer.json.

use std::collections::HashSet;
use std::path::Path;

use tokenizers::{Encoding, PostProcessor, PostProcessorWrapper, TruncationDirection};

use crate::args::LengthArgs;
use crate::error::{Failure, Result};

/// The model's tokenizer, and how many tokens a text may have.
pub struct Tokenizer {
    /// Without its last step, which adds the special tokens: texts are cut before it.
    inner: tokenizers::Tokenizer,
    processor: Option<PostProcessorWrapper>,
    /// Special tokens around a text: [CLS] and [SEP].
    specials: usize,
    /// Tokens at most, the special ones included.
    limit: usize,
    refuse: bool,
}

/// A text as the model sees it.
pub struct Tokens {
    pub encoding: Encoding,
    /// How many tokens the whole text has, if that was too many.
    pub cut_from: Option<usize>,
}

impl Tokens {
    pub fn ids(&self) -> &[u32] {
        self.encoding.get_ids()
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json`. Its truncation and padding are left aside: they say how the model was once served, not
    /// what it can take.
    /// `path` is what a message calls it.
    pub fn new(json: &[u8], path: &Path, positions: usize, length: &LengthArgs) -> Result<Self> {
        let unreadable =
            |error| Failure::failed(format!("{} is not a tokenizer this program can read: {error}", path.display()));
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(unreadable)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(unreadable)?;
        let processor = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let specials = processor.as_ref().map_or(0, |processor| processor.added_tokens(false));
        let limit = limit(positions, specials, length)?;
        Ok(Self { inner, processor, specials, limit, refuse: length.no_truncate })
    }

    /// The tokens of `text`, cut to the limit as the reference tokenizer does: the end goes, the special tokens stay.
    /// `name` is what an error calls the text.
    pub fn encode(&self, text: &str, name: &str) -> Result<Tokens> {
        let wrong = |error| Failure::failed(format!("{name} cannot be tokenized: {error}"));
        let mut encoding = self.inner.encode(text, false).map_err(wrong)?;
        let tokens = encoding.len() + self.specials;
        let cut_from = (tokens > self.limit).then_some(tokens);
        if cut_from.is_some() {
            self.cut(&mut encoding, name)?;
        }
        let encoding = match &self.processor {
            Some(processor) => processor.process(encoding, None, true).map_err(wrong)?,
            None => encoding,
        };
        if encoding.is_empty() {
            return Err(Failure::failed(format!("{name} has no tokens")));
        }
        Ok(Tokens { encoding, cut_from })
    }

    fn cut(&self, encoding: &mut Encoding, name: &str) -> Result<()> {
        let Self { limit, specials, .. } = *self;
        if self.refuse {
            let tokens = encoding.len() + specials;
            return Err(Failure::failed(format!(
                "{name} has {tokens} tokens, but {limit} are allowed: shorten it, split it, or leave out --no-truncate"
            )));
        }
        encoding.truncate(limit - specials, 0, TruncationDirection::Right);
        // What was cut off would be carried along as further encodings.
        drop(encoding.take_overflowing());
        Ok(())
    }

    /// The notice for a text that was cut.
    pub fn notice(&self, name: &str, tokens: usize) -> String {
        format!("selfattn: {name} has {tokens} tokens and was cut to {} (--no-truncate refuses instead)", self.limit)
    }

    /// The words that the vocabulary has whole, in the order of their ids: in published vocabularies, about by frequency.
    pub fn whole_words(&self) -> Vec<(u32, String)> {
        let vocabulary = self.inner.get_vocab(false);
        // Either what begins a word is marked (byte-level BPE, SentencePiece), or what continues one (WordPiece).
        let marks = ['Ġ', '▁'];
        let marked = vocabulary.keys().filter(|token| token.starts_with(marks)).count() > vocabulary.len() / 8;
        let word = |token: &str| {
            let word = if marked { token.strip_prefix(marks)? } else { token };
            (word.chars().count() > 1 && word.chars().all(char::is_alphabetic)).then(|| word.to_owned())
        };
        let mut words: Vec<_> = vocabulary.iter().filter_map(|(token, &id)| Some((id, word(token)?))).collect();
        words.sort_unstable();
        words
    }

    /// The notice for words that the vocabulary lacks.
    pub fn notice_unknown(&self, name: &str, words: &[&str]) -> String {
        format!("selfattn: {name} has words that the model does not know: {}", words.join(", "))
    }

    /// The words of `text` that the vocabulary lacks, in order, each once.
    pub fn unknown_words<'t>(&self, text: &'t str, tokens: &Tokens) -> Vec<&'t str> {
        let unknown = self.unknown();
        let places = tokens.ids().iter().zip(tokens.encoding.get_offsets());
        let places = places.filter(|(id, _)| Some(**id) == unknown).map(|(_, &(start, end))| start..end);
        let mut words: Vec<&str> = places.filter_map(|place| text.get(place)).collect();
        let mut seen = HashSet::new();
        words.retain(|word| seen.insert(*word));
        words
    }

    /// The id that stands for what the vocabulary lacks.
    pub fn unknown(&self) -> Option<u32> {
        ["[UNK]", "<unk>"].iter().find_map(|token| self.inner.token_to_id(token))
    }
}

fn limit(positions: usize, specials: usize, length: &LengthArgs) -> Result<usize> {
    let limit = match length.max_tokens {
        Some(max) if max.get() > positions => {
            return Err(Failure::usage(format!("--max-tokens {max}: this model can take at most {positions}")));
        }
        Some(max) if max.get() <= specials => {
            return Err(Failure::usage(format!(
                "--max-tokens {max} leaves no room for a word: each text gets {specials} special tokens"
            )));
        }
        Some(max) => max.get(),
        None => positions,
    };
    if limit <= specials {
        return Err(Failure::failed(format!("the model takes {positions} tokens, which leaves no room for a word")));
    }
    Ok(limit)
}
