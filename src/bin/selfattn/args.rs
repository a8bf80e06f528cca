//! The command line's grammar and its help.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Sentence vectors, and what self-attention does to words, computed on this machine's CPU.
///
/// A small model of 2000 English words is inside the program. Any other is a folder as published for BERT-class encoders:
/// config.json, tokenizer.json, model.safetensors. Nothing is downloaded and nothing leaves the machine.
#[derive(Debug, Parser)]
#[command(name = "selfattn", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  selfattn explain \"I love Apple Watch\" --near juice,fruit,smart,technology,gadget
  selfattn embed --model models/all-MiniLM-L6-v2 \"I love Apple Watch\" \"I love apple juice\"
  selfattn similar \"where can I keep my money\" --in notes.txt
  selfattn bench
  selfattn profile \"I love Apple Watch\"
  selfattn info

The model is that of --model DIR, or of $SELFATTN_MODEL, or the one inside the program. That one
tells the senses of words; for sentence vectors, get a larger one: `python3 scripts/get_minilm.py`
puts all-MiniLM-L6-v2 into ./models.

Exit codes: 0 done, 1 it could not be done, 2 the command line makes no sense, 141 the reader of the output left.";

#[derive(Debug, Subcommand)]
pub enum Command {
    Embed(EmbedArgs),
    Similar(SimilarArgs),
    Explain(ExplainArgs),
    Bench(BenchArgs),
    Profile(ProfileArgs),
    Info(InfoArgs),
}

/// Which model.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// The model's folder: config.json, tokenizer.json, model.safetensors [default: the
    /// model inside the program]
    #[arg(long, value_name = "DIR", env = "SELFATTN_MODEL", hide_env_values = true)]
    pub model: Option<PathBuf>,
}

/// On what to compute.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Threads to compute with [default: one for each core]. The result does not depend on it
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    /// Instruction set: scalar; avx2, avx512, avx512bf16, amxbf16 on x86-64; neon, neonbf16 on AArch64 [default: the best of this CPU]
    #[arg(long, value_name = "NAME")]
    pub level: Option<String>,
}

/// What to do with long texts.
#[derive(Debug, clap::Args)]
pub struct LengthArgs {
    /// Keep at most N tokens of a text, [CLS] and [SEP] included [default: what the model can take]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<NonZeroUsize>,

    /// Refuse texts that are too long, instead of cutting off their end with a notice
    #[arg(long)]
    pub no_truncate: bool,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line: text, ids, embedding
    Jsonl,
    /// A NumPy array of shape (texts, dimensions), float32; needs --out
    Npy,
}

/// Turn texts into sentence vectors
///
/// The vector is the mean over the text's tokens, scaled to length 1: the dot product of two vectors is the cosine of
/// the angle between them. Output is in the order of the input, one vector a text. Texts of different lengths are
/// computed together, without padding.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  selfattn embed \"I love Apple Watch\"
  selfattn embed --in sentences.txt --out vectors.jsonl
  selfattn embed --in sentences.txt --format npy --out vectors.npy
  selfattn embed --in sentences.txt --plot similarity.png
  cat sentences.txt | selfattn embed - | jq -c .embedding")]
pub struct EmbedArgs {
    /// The texts. Without any, or with - alone, standard input is read, one text a line
    #[arg(value_name = "TEXT")]
    pub texts: Vec<String>,

    /// Read the texts from a file, one a line; - is standard input
    #[arg(long = "in", value_name = "FILE", conflicts_with = "texts")]
    pub input: Option<PathBuf>,

    /// Write to a file instead of standard output. It appears when it is complete, or not at all
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Draw how similar the texts are, as a heat map of cosines: .png or .svg. Without --out, no vectors are written
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,

    /// How to write the vectors
    #[arg(long, value_enum, default_value = "jsonl", value_name = "FORMAT")]
    pub format: Format,

    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub length: LengthArgs,
}

/// Find the lines of a file that are nearest in meaning to a query
///
/// Prints the cosine (1 is the same direction, 0 is unrelated), the line number and the line, nearest first. Empty
/// lines are passed over. The file is read once and never held whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  selfattn similar \"where can I keep my money\" --in notes.txt
  selfattn similar \"a fruit\" -k 3 --json < sentences.txt")]
pub struct SimilarArgs {
    /// What to look for
    pub query: String,

    /// The lines to look in; - is standard input [default: -]
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// How many lines to print
    #[arg(short, long = "top", value_name = "N", default_value = "10")]
    pub k: NonZeroUsize,

    /// Print one JSON object: query, matches (rank, line, cosine, text)
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub length: LengthArgs,
}

/// Show, step by step, what self-attention does to the words of a text
///
/// (a) how similar the words are, by dot product; (b) the new representation softmax(X X^T) X, which has no parameters;
/// (c) attention with the model's learned queries, keys and values, by layer and head; (d) what each word means in this
/// text: how near it stands to words of your choice before (in the word table) and after (in its sentence); (e) if the
/// model tells senses, as the one inside the program does: which sense each ambiguous word has, and which word decided it.
///
/// Words are shown whole, also where the model cuts them into pieces. Words, layers and heads are counted from 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  selfattn explain \"I love Apple Watch\" --near juice,fruit,smart,technology,gadget
  selfattn explain \"I love apple juice\" --layer 5 --head 11
  selfattn explain --in story.txt --from it
  selfattn explain \"I love Apple Watch\" --html apple.html --png apple.png
  selfattn explain \"He sat on the bank of the river\" --near money,water --json")]
pub struct ExplainArgs {
    /// The text. Without it, or with -, standard input is read whole
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,

    /// Read the text from a file, whole; - is standard input
    #[arg(long = "in", value_name = "FILE", conflicts_with = "text")]
    pub input: Option<PathBuf>,

    /// Words to measure nearness to, with commas between
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub near: Vec<String>,

    /// Show where this word looks, layer by layer
    #[arg(long, value_name = "WORD")]
    pub from: Option<String>,

    /// Which occurrence of --from's word, from 1 [default: the last]
    #[arg(long, value_name = "N", requires = "from")]
    pub nth: Option<NonZeroUsize>,

    /// How many words to list where not all are shown
    #[arg(short, long = "top", value_name = "N", default_value = "5")]
    pub k: NonZeroUsize,

    /// The layer to show [default: the last]
    #[arg(long, value_name = "L")]
    pub layer: Option<usize>,

    /// The head to show [default: the mean over the layer's heads]
    #[arg(long, value_name = "H")]
    pub head: Option<usize>,

    /// Print everything as one JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub pictures: PictureArgs,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub length: LengthArgs,
}

/// Pictures of what is explained, in place of the text
#[derive(Debug, clap::Args)]
pub struct PictureArgs {
    /// Write a page to explore in a browser: every layer and head, the words before and after. It loads nothing
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Draw the attention of --layer and --head as a heat map
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,

    /// The same as a vector drawing
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// How measurements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// Columns, for a terminal
    Text,
    /// A table in Markdown
    Md,
    /// Comma-separated values, all fields but the samples
    Csv,
    /// A JSON array of objects, one a measurement
    Json,
    /// One JSON object a line
    Jsonl,
}

/// Measure how fast the model runs on this machine
///
/// A test is so many texts of so many random tokens, computed together. It is warmed up and then repeated, for the given time
/// or so many times. Unless told otherwise there are three: 1 text of 16 tokens, 1 of 128, and 32 of 128. GFLOP/s counts the
/// model's own multiplications and additions; the peak is what fused multiply-adds reach on one core in the same run, times
/// the threads; the bandwidth that of reading from memory.
///
/// --compare prints the ratio of the medians, old to new, so that 2 is twice as fast, with its 95 % interval by bootstrap
/// (10,000 resamples). What differs between two runs as a whole, as the load of the machine, is not in that interval.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  selfattn bench
  selfattn bench --threads 1 --level all
  selfattn bench --tokens 16,64,256 --batch 1,8 --output md
  selfattn bench --output json --seconds 5 > old.json
  selfattn bench --compare old.json")]
pub struct BenchArgs {
    /// Tokens of a text, with commas between [default with --batch: 128]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub tokens: Vec<NonZeroUsize>,

    /// Texts computed together, with commas between [default with --tokens: 1]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub batch: Vec<NonZeroUsize>,

    /// Numbers of threads to measure with, with commas between; all is one for each core
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,all")]
    pub threads: Vec<String>,

    /// Instruction sets to measure, with commas between, or all [default: the best of this CPU]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub level: Vec<String>,

    /// Seconds to repeat each test for, a fifth of them to warm up
    #[arg(long, value_name = "S", default_value = "2")]
    pub seconds: f64,

    /// Repeat each test so often, however long it takes, after one time to warm up
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    pub repetitions: Option<NonZeroUsize>,

    /// How to write the measurements
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Table,

    /// Compare with the measurements in this file, which --output json or jsonl wrote, and print that
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub compare: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,
}

/// Show which operations the time goes to, and which roof of the machine each of them is under
///
/// The text is run again and again, with spans around every operation and without in turns, and the table is of the mean pass.
/// Bytes are those of the operands and the result, each once: an operation that moves more of them a second than memory can
/// finds them in a cache. The peak and the bandwidth are measured in the same run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  selfattn profile \"I love Apple Watch\"
  selfattn profile --model models/all-MiniLM-L6-v2 --threads 1 - < story.txt
  selfattn profile \"I love Apple Watch\" --trace trace.json --roofline roofs.svg
  selfattn profile \"I love Apple Watch\" --json | jq '.operations[] | [.operation, .time_us]'

Open the trace at https://ui.perfetto.dev, or in a browser of the Chromium family at chrome://tracing.")]
pub struct ProfileArgs {
    /// The text. Without it, or with -, standard input is read whole
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,

    /// Seconds to repeat it for, a fifth of them to warm up
    #[arg(long, value_name = "S", default_value = "2")]
    pub seconds: f64,

    /// Write the spans of the last pass as a trace (JSON): a track for each thread, shapes and FLOPs as arguments
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Draw the operations below the roofs of the machine: .svg or .png
    #[arg(long, value_name = "FILE")]
    pub roofline: Option<PathBuf>,

    /// Print everything as one JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub length: LengthArgs,
}

/// Say what this machine and the model are: instruction sets, tiles, parameters, memory
///
/// Flash is the weight file as it is; RAM is the scratch for a text of --tokens tokens on one thread, with weights read in
/// place, or with weights packed once for the level, which is faster.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  selfattn info
  selfattn info --model models/all-MiniLM-L6-v2 --tokens 256
  selfattn info --json")]
pub struct InfoArgs {
    /// Tokens of the text that memory is planned for [default: 128, or what the model takes at most]
    #[arg(long, value_name = "N")]
    pub tokens: Option<NonZeroUsize>,

    /// Print everything as one JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub model: ModelArgs,
}
