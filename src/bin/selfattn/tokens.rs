//! Text to tokens, by the model's own tokenizer.json.

use std::path::Path;

use tokenizers::{Encoding, PostProcessor, TruncationDirection};

use crate::args::LengthArgs;
use crate::error::{Failure, Result};

/// The model's tokenizer, and how many tokens a text may have.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Tokens at most, the special ones included.
    limit: usize,
    /// Special tokens around a text: [CLS] and [SEP].
    specials: usize,
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
    /// Reads `tokenizer.json`. Its truncation and padding are left aside: they say how the model was once served, not what
    /// it can take.
    pub fn open(path: &Path, positions: usize, length: &LengthArgs) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_file(path).map_err(|error| {
            Failure::failed(format!("{} is not a tokenizer this program can read: {error}", path.display()))
        })?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        let specials = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        let limit = limit(positions, specials, length)?;
        Ok(Self { inner, limit, specials, refuse: length.no_truncate })
    }

    /// The tokens of `text`, cut to the limit as the reference tokenizer does: the end goes, the special tokens stay.
    /// `name` is what an error calls the text.
    pub fn encode(&self, text: &str, name: &str) -> Result<Tokens> {
        let wrong = |error| Failure::failed(format!("{name} cannot be tokenized: {error}"));
        let mut encoding = self.inner.encode(text, false).map_err(wrong)?;
        let room = self.limit - self.specials;
        let cut_from = (encoding.len() > room).then(|| encoding.len() + self.specials);
        if let Some(tokens) = cut_from {
            if self.refuse {
                let limit = self.limit;
                return Err(Failure::failed(format!(
                    "{name} has {tokens} tokens, but {limit} are allowed: shorten or split it, or leave out --no-truncate"
                )));
            }
            encoding.truncate(room, 0, TruncationDirection::Right);
            // The rest would be carried along as further encodings.
            drop(encoding.take_overflowing());
        }
        let encoding = self.inner.post_process(encoding, None, true).map_err(wrong)?;
        if encoding.is_empty() {
            return Err(Failure::failed(format!("{name} has no tokens")));
        }
        Ok(Tokens { encoding, cut_from })
    }

    /// The notice for a text that was cut.
    pub fn notice(&self, name: &str, tokens: usize) -> String {
        format!("selfattn: {name} has {tokens} tokens and was cut to {} (--no-truncate refuses instead)", self.limit)
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
                "--max-tokens {max} leaves no room for a word: the tokenizer adds {specials} special tokens to each text"
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
