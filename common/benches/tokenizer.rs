//! Times encoding a folder of texts into a token file, with a word cache that begins empty. Prints one JSON
//! object. `bench/tokenizer` sets it beside the crate `tokenizers` used from Python.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use common::data::tokenizer::{Document, Mode, Tokenizer};

#[derive(Parser)]
struct Args {
    /// `openai` or `hf`
    #[arg(long)]
    mode: String,
    /// Folder with the vocabulary and its merges
    #[arg(long)]
    vocab: PathBuf,
    /// Folder with the texts
    #[arg(long)]
    texts: PathBuf,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mode: Mode = serde_json::from_value(args.mode.into())?;
    let tokenizer = Tokenizer::open(mode, &args.vocab)?;
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(&args.texts)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        documents.push(Document { name: path.display().to_string(), text });
    }
    let size_bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    let folder = tempfile::tempdir()?;
    let start = Instant::now();
    let tokens = tokenizer.encode_corpus(
        "",
        documents.into_iter().map(Ok),
        &folder.path().join("tokens"),
    )?;
    let mb_per_s = size_bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "mb_per_s": mb_per_s, "n_tokens": tokens.len() }));
    Ok(())
}
