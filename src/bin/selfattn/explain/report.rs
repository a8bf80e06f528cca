//! What `explain` found, in the form that `--json` prints. The field names are an interface: they stay.

use serde::Serialize;

/// A square matrix by rows: row `i`, column `j` is what word `i` has to do with word `j`.
pub type Square = Vec<Vec<f32>>;

#[derive(Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub text: String,
    /// Tokens the model sees, special ones included.
    pub tokens: usize,
    pub words: Vec<WordInfo>,
    /// (a) X X^T
    pub similarity: Square,
    /// (b) softmax(X X^T) X
    pub parameter_free: ParameterFree,
    /// (c)
    pub attention: Attention,
    /// (d)
    pub contextual: Contextual,
    /// (e) The words that have senses; null if the model knows of none.
    pub senses: Option<Vec<Sense>>,
    /// Where the word of `--from` looks.
    pub from: Option<From>,
}

#[derive(Debug, Serialize)]
pub struct WordInfo {
    pub word: String,
    pub index: usize,
    /// Positions of its pieces among the tokens.
    pub tokens: Vec<usize>,
    pub pieces: Vec<String>,
    /// The vocabulary has all its pieces.
    pub known: bool,
}

#[derive(Debug, Serialize)]
pub struct ParameterFree {
    /// softmax(X X^T)
    pub weights: Square,
    /// The cosine of each word's old vector and its new one.
    pub cosine: Vec<f32>,
}

#[derive(Debug, Serialize)]
pub struct Attention {
    pub layers: usize,
    pub heads: usize,
    /// The layer that `weights` is of.
    pub layer: usize,
    /// The head; null for the mean over all heads of the layer.
    pub head: Option<usize>,
    pub weights: Square,
    /// What each word gives to special tokens and punctuation; with its row of `weights` it adds up to 1.
    pub rest: Vec<f32>,
    pub per_head: Vec<Head>,
}

#[derive(Debug, Serialize)]
pub struct Head {
    pub layer: usize,
    pub head: usize,
    /// Mean entropy of the words' attention over all tokens: 0 looks at one token, log2(tokens) at all alike.
    pub entropy_bits: f32,
    /// The strongest link between two different words.
    pub strongest: Option<Link>,
    /// Null for long texts.
    pub weights: Option<Square>,
    /// Null for long texts.
    pub rest: Option<Vec<f32>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Link {
    pub from: usize,
    pub from_word: String,
    pub to: usize,
    pub to_word: String,
    pub weight: f32,
}

#[derive(Debug, Serialize)]
pub struct Contextual {
    /// The words of `--near`.
    pub near: Vec<String>,
    pub words: Vec<Nearness>,
}

#[derive(Debug, Serialize)]
pub struct Nearness {
    pub word: String,
    pub index: usize,
    /// The cosine of the word here and the same word standing alone: 1 if the text changes nothing.
    pub alone: f32,
    /// Cosine to each word of `near`, between rows of the word table.
    pub before: Vec<f32>,
    /// Between the word in its sentence and the other standing alone.
    pub after: Vec<f32>,
    /// `after - before`
    pub change: Vec<f32>,
}

#[derive(Debug, Serialize)]
pub struct Sense {
    pub word: String,
    pub index: usize,
    /// As the model's config.json has it.
    pub label: String,
    pub sense: String,
    pub probability: f32,
    /// All senses of the word, likeliest first.
    pub senses: Vec<SenseShare>,
    /// The word that decided it, of those it looks at hardest. Null if it would be read the same without any of them.
    pub decided_by: Option<Decided>,
}

#[derive(Debug, Serialize)]
pub struct SenseShare {
    pub sense: String,
    pub probability: f32,
    /// When every token sees itself alone.
    pub without_attention: f32,
}

#[derive(Debug, Serialize)]
pub struct Decided {
    pub word: String,
    pub index: usize,
    /// Words from here to there: negative is before, positive after.
    pub distance: i64,
    /// What is left of the sense's probability when the word is made unknown.
    pub probability_without: f32,
    /// Where the look at it is hardest.
    pub layer: usize,
    pub head: usize,
    pub weight: f32,
}

#[derive(Debug, Serialize)]
pub struct From {
    pub word: String,
    pub index: usize,
    /// Which occurrence, from 1.
    pub nth: usize,
    pub occurrences: usize,
    pub layers: Vec<FromLayer>,
}

#[derive(Debug, Serialize)]
pub struct FromLayer {
    pub layer: usize,
    /// The other words it gives most weight to, in the mean over heads.
    pub mean: Vec<Look>,
    /// What it gives to itself, in the mean over heads.
    pub own: f32,
    /// What it gives to special tokens and punctuation, in the mean over heads.
    pub rest: f32,
    /// The head that gives the most weight to one other word.
    pub hardest: Option<HeadLook>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Look {
    pub word: String,
    pub index: usize,
    /// Words from here to there: negative is before, positive after.
    pub distance: i64,
    pub weight: f32,
}

#[derive(Clone, Debug, Serialize)]
pub struct HeadLook {
    pub head: usize,
    #[serde(flatten)]
    pub look: Look,
}
