//! The words of a text. A model sees pieces of words; people see words.

use crate::tokens::Tokens;

/// A word, and the tokens that it became.
#[derive(Clone, Debug)]
pub struct Word {
    /// As the text spells it.
    pub text: String,
    /// Positions in the sequence of tokens.
    pub tokens: Vec<usize>,
    pub ids: Vec<u32>,
    /// The tokens as the vocabulary spells them.
    pub pieces: Vec<String>,
}

/// The words of `text`, in order. Special tokens and punctuation are not words.
pub fn words(text: &str, tokens: &Tokens) -> Vec<Word> {
    let encoding = &tokens.encoding;
    let numbers = encoding.get_word_ids();
    let special = encoding.get_special_tokens_mask();
    let mut words: Vec<Word> = Vec::new();
    let mut open = None;
    let mut span = 0..0;
    for (at, &number) in numbers.iter().enumerate() {
        let (start, end) = encoding.get_offsets()[at];
        if number.is_none() || special[at] == 1 {
            open = None;
            continue;
        }
        if open != number {
            words.push(Word { text: String::new(), tokens: Vec::new(), ids: Vec::new(), pieces: Vec::new() });
            open = number;
            span = start..end;
        }
        span = span.start.min(start)..span.end.max(end);
        if let Some(word) = words.last_mut() {
            word.text = text.get(span.clone()).unwrap_or_default().trim().to_owned();
            word.tokens.push(at);
            word.ids.push(encoding.get_ids()[at]);
            word.pieces.push(encoding.get_tokens()[at].clone());
        }
    }
    words.retain(|word| word.text.chars().any(char::is_alphanumeric));
    words
}

/// The mean of some vectors, all `width` long; zeros if there are none.
pub fn mean<'a>(vectors: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    let mut count = 0_u32;
    for vector in vectors {
        count += 1;
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
    }
    let scale = 1.0 / count.max(1) as f32;
    sum.iter_mut().for_each(|x| *x *= scale);
    sum
}

/// The mean of a word's rows in a matrix with one row a token.
pub fn word_vector(word: &Word, hidden: &[f32], width: usize) -> Vec<f32> {
    mean(word.tokens.iter().filter_map(|&at| hidden.get(at * width..(at + 1) * width)), width)
}
