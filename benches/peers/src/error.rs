//! Any error: it ends the run with a message.

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
