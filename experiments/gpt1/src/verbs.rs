//! What trained weights do for their user.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueEnum};
use common::cli::print;
use common::data::tokenizer::{Mode, Tokenizer};
use common::nn::probe::Probe;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::generate::{Reader, Sampling, draw};
use crate::model::Model;
use crate::weights;

mod tune;

/// Weights that come with this repository.
pub(crate) const PUBLISHED: &str = "results/reference/gpt1/weights";

/// The experiment's own verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Let the model write on
    Generate(Generate),
    /// Print the scores of every token after each of some ids
    Logits(Logits),
    /// Write weights, of whichever form, as Hugging Face's openai-gpt
    Convert(Convert),
    /// Fine-tune weights on a task and keep the result in a folder that `eval` takes
    Finetune(tune::Finetune),
    /// Score a fine-tuned model on the test part of its task
    Eval(tune::Eval),
}

/// Which model.
#[derive(Debug, Args)]
pub struct Weights {
    /// A folder with Hugging Face's openai-gpt, OpenAI's released parameters, or what gpt1 writes [default: the
    /// published weights of this repository]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
}

/// How text is cut into words.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TextMode {
    /// As OpenAI's code: ftfy, spaCy, lower case
    Openai,
    /// As Hugging Face's tokeniser
    Hf,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Generate {
    #[command(flatten)]
    weights: Weights,
    /// What the text begins with; without it, stdin
    #[arg(long)]
    prompt: Option<String>,
    /// Tokens to write
    #[arg(long, default_value_t = 100)]
    tokens: usize,
    /// Below 1 plainer, above 1 wilder; 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Draw from so many of the likeliest tokens only; 0: from all
    #[arg(long, default_value_t = 40)]
    top_k: usize,
    /// Draw from the likeliest tokens that together have this probability only; 1: from all
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// The draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How the prompt is cut into words [default: as the weights were trained]
    #[arg(long)]
    text_mode: Option<TextMode>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Logits {
    #[command(flatten)]
    weights: Weights,
    /// Token ids
    #[arg(long, value_delimiter = ',', required = true, num_args = 1..)]
    ids: Vec<i64>,
    /// Print one JSON object, `{"logits": [[…]]}`, instead of lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Convert {
    #[command(flatten)]
    weights: Weights,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Halve the numbers' size (bf16)
    #[arg(long)]
    half: bool,
}

impl Weights {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.weights {
            return Ok(folder.clone());
        }
        let folder = PathBuf::from(PUBLISHED);
        ensure!(
            folder.exists(),
            "{}: this checkout has no published weights; name some with --weights, e.g. a station of a finished \
             pretrain run in the cache",
            folder.display()
        );
        eprintln!("using the published weights in {}", folder.display());
        Ok(folder)
    }

    fn load(&self) -> anyhow::Result<Model> {
        Ok(weights::read(&self.folder()?, Device::Cpu)?)
    }
}

/// Carries a verb out.
///
/// # Errors
/// Weights, texts or files that cannot be read or written.
pub fn execute(verb: Verb) -> anyhow::Result<()> {
    common::cli::start_logs(false, 0);
    match verb {
        Verb::Generate(args) => generate(&args),
        Verb::Logits(args) => logits(&args),
        Verb::Convert(args) => convert(&args),
        Verb::Finetune(args) => tune::finetune(&args),
        Verb::Eval(args) => tune::eval(&args),
    }
}

fn generate(args: &Generate) -> anyhow::Result<()> {
    ensure!(
        args.temperature >= 0.0 && args.temperature.is_finite(),
        "--temperature {}: wanted 0 or more",
        args.temperature
    );
    ensure!((0.0..=1.0).contains(&args.top_p), "--top-p {}: wanted 0 to 1", args.top_p);
    let folder = args.weights.folder()?;
    let model = weights::read(&folder, Device::Cpu)?;
    let mode = args.text_mode.map(|mode| match mode {
        TextMode::Openai => Mode::OpenAi,
        TextMode::Hf => Mode::Hf,
    });
    let tokenizer = weights::tokenizer(&folder, mode)?;
    let prompt = if let Some(prompt) = &args.prompt {
        prompt.clone()
    } else {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("stdin: cannot read")?;
        common::data::text::clean::decode(&bytes).0.into_owned()
    };
    let ids: Vec<u32> = tokenizer.encode(&prompt);
    ensure!(!ids.is_empty(), "the prompt has no word in it; give one with --prompt");
    let unknown = ids.iter().filter(|&&id| id == tokenizer.unknown()).count();
    if unknown > 0 {
        tracing::warn!("{unknown} characters of the prompt are not in the vocabulary");
    }
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        seed: args.seed,
    };
    stream(&model, &tokenizer, ids, args.tokens, &sampling)
}

/// Writes on from `ids`; each token is printed as soon as it is drawn.
fn stream(
    model: &Model,
    tokenizer: &Tokenizer,
    mut ids: Vec<u32>,
    tokens: usize,
    sampling: &Sampling,
) -> anyhow::Result<()> {
    let vocab = tokenizer.vocab_size();
    ensure!(
        model.shape().vocab() >= vocab as i64,
        "the model has {} tokens, its vocabulary {vocab}: the files do not belong together",
        model.shape().vocab()
    );
    let mut out = std::io::stdout().lock();
    let mut shown = tokenizer.decode(&ids)?;
    out.write_all(shown.as_bytes())?;
    let mut reader = Reader::new(model);
    let mut fresh: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    for step in 0..tokens {
        let logits = reader.read(&fresh);
        // Tokens after the vocabulary (start, delimiter, extract) have no text.
        let id = draw(&logits[..vocab], sampling, step as u64);
        ids.push(id as u32);
        fresh = vec![id as i64];
        let text = tokenizer.decode(&ids)?;
        if let Some(more) = text.strip_prefix(shown.as_str()) {
            out.write_all(more.as_bytes())?;
            out.flush()?;
            shown = text;
        }
    }
    out.write_all(b"\n")?;
    if reader.dropped() > 0 {
        tracing::warn!(
            "the text outgrew the context of {} tokens: its first {} were forgotten on the way",
            model.shape().context(),
            reader.dropped()
        );
    }
    Ok(())
}

fn logits(args: &Logits) -> anyhow::Result<()> {
    let model = args.weights.load()?;
    let (vocab, context) = (model.shape().vocab(), model.shape().context());
    if let Some(id) = args.ids.iter().find(|id| !(0..vocab).contains(*id)) {
        anyhow::bail!("--ids: found {id}, wanted ids from 0 to {}", vocab - 1);
    }
    ensure!(
        args.ids.len() as i64 <= context,
        "--ids: found {} ids, wanted at most {context}, the model's context",
        args.ids.len()
    );
    let _no_grad = tch::no_grad_guard();
    let ids = Tensor::from_slice(&args.ids).unsqueeze(0); // [1, T]
    let states = model.body.states(&ids, false, &Probe::off());
    let logits = model.body.logits(&states).squeeze_dim(0).to_kind(Kind::Float); // [T, V]
    let rows = Vec::<Vec<f32>>::try_from(logits)?;
    if args.json {
        return Ok(print(&format!("{}\n", json!({"logits": rows})))?);
    }
    let line = |row: Vec<f32>| {
        let cells: Vec<String> = row.iter().map(f32::to_string).collect();
        cells.join("\t") + "\n"
    };
    Ok(print(&rows.into_iter().map(line).collect::<String>())?)
}

fn convert(args: &Convert) -> anyhow::Result<()> {
    let folder = args.weights.folder()?;
    let model = weights::read(&folder, Device::Cpu)?;
    // Weights may come without a vocabulary; then so do the converted ones.
    let tokenizer = match weights::tokenizer(&folder, None) {
        Ok(tokenizer) => Some(tokenizer),
        Err(error) => {
            tracing::warn!("no vocabulary is copied: {error}");
            None
        }
    };
    Ok(weights::write(&args.to, &model, tokenizer.as_ref(), args.half)?)
}
