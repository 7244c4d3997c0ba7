//! What trained weights do for their user: write, score, and learn what the user prefers.

use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use common::cli::print;
use common::nn::transformer::Transformer;
use common::rng;
use common::weights::{REFERENCE, published};
use serde_json::json;
use tch::Device;
use tch::nn::VarStore;

use crate::rollout::respond;
use crate::tokens::{Side, batch, rows, truncate};
use crate::train_reward::scores_of;
use crate::weights::{read_decoder, read_reward};
use crate::words::Words;
use crate::{RLHF, studies};

/// The experiment's own verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write on from a prompt with the model before and after training, side by side
    Sample(Sample),
    /// Print a reward model's score of texts
    Score(Score),
    /// Show two continuations, take your choice, append it to a file that `reward-model` learns from
    Label(Label),
}

/// Which models: folders as Hugging Face keeps them.
#[derive(Debug, Args)]
pub struct Sample {
    /// What is gone on from
    #[arg(long)]
    prompt: String,
    /// The model before training [default: the published one of this repository]
    #[arg(long, value_name = "DIR")]
    before: Option<PathBuf>,
    /// The model after training [default: the published one]
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// A reward model, to print scores too [default: the published one, where there is one]
    #[arg(long, value_name = "DIR")]
    reward: Option<PathBuf>,
    /// Continuations of each
    #[arg(long, default_value_t = 4)]
    samples: i64,
    #[command(flatten)]
    drawing: Drawing,
    /// Print one JSON object a pair
    #[arg(long)]
    json: bool,
}

/// How continuations are drawn.
#[derive(Debug, Clone, Args)]
pub struct Drawing {
    /// Tokens of a continuation
    #[arg(long, default_value_t = 24)]
    tokens: i64,
    /// Below 1 plainer, above 1 wilder; 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
    /// The draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Score {
    /// A text; without any, the lines of stdin
    texts: Vec<String>,
    /// The reward model [default: the published one of this repository]
    #[arg(long, value_name = "DIR")]
    reward: Option<PathBuf>,
    /// Print one JSON object a text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct Label {
    /// The file that comparisons are appended to: JSON lines with `prompt`, `better`, `worse`
    #[arg(long, value_name = "FILE", default_value = "comparisons.jsonl")]
    to: PathBuf,
    /// What is gone on from; may be given several times [default: the lines of --prompts]
    #[arg(long)]
    prompt: Vec<String>,
    /// A file with a prompt on each line
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// The model that writes [default: the published policy of this repository]
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    drawing: Drawing,
}

/// Carries a verb out.
///
/// # Errors
/// Weights, texts or files that cannot be read or written.
pub fn execute(verb: Verb) -> anyhow::Result<()> {
    common::cli::start_logs(false, 0);
    match verb {
        Verb::Sample(args) => sample(&args),
        Verb::Score(args) => score(&args),
        Verb::Label(args) => label(&args),
    }
}

/// The folder that a flag names, or the published one beside a run of `sentiment`.
fn folder(flag: Option<&PathBuf>, part: &str, name: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = flag {
        return Ok(folder.clone());
    }
    let found = published_part(part).with_context(|| {
        format!(
            "{name}: this checkout has no published weights; name a folder with {name}, e.g. one below checkpoints in the \
             cache that a finished `rlhf run sentiment` left"
        )
    })?;
    eprintln!("using the published weights in {}", found.display());
    Ok(found)
}

/// A folder of weights that the published run of `sentiment` left.
fn published_part(part: &str) -> Option<PathBuf> {
    let reference = Path::new(REFERENCE);
    let study = studies::sentiment::STUDY;
    // Weights lie in folders of the first seed's run.
    let config = published(reference, RLHF.name, study, "config.json")?;
    let folder = config.parent()?.with_file_name(part);
    folder.is_dir().then_some(folder)
}

/// A model with its words, for writing only.
struct Writer {
    /// Keeps the variables.
    _vs: VarStore,
    net: Transformer,
    words: Words,
}

impl Writer {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let (decoder, words) = read_decoder(folder)?;
        let vs = VarStore::new(Device::Cpu);
        let net = decoder.model(&vs.root(), decoder.config.n_layers);
        Ok(Self { _vs: vs, net, words })
    }

    /// `n` continuations of a prompt: whole texts in ids, and the continuations in words.
    fn write(
        &self,
        prompt: &str,
        n: i64,
        drawing: &Drawing,
    ) -> anyhow::Result<(Vec<Vec<i64>>, Vec<String>)> {
        let asked = self.words.sentence(prompt);
        let context = self.net.config().context;
        let longest = context - drawing.tokens + 1;
        ensure!(drawing.tokens > 0, "--tokens {}: wanted 1 or more", drawing.tokens);
        ensure!(
            drawing.temperature >= 0.0 && drawing.temperature.is_finite(),
            "--temperature {}: wanted 0 or more",
            drawing.temperature
        );
        ensure!(
            asked.len() as i64 <= longest,
            "--prompt: found {} tokens, wanted at most {longest}: with {} tokens more it does not fit the model's \
             context of {context}; shorten it or give fewer --tokens",
            asked.len(),
            drawing.tokens
        );
        let queries = batch(&[&asked], Side::Left).expand([n, -1], false);
        rng::seed_torch(drawing.seed, "sample", 0);
        let made = respond(&self.net, &queries, drawing.tokens, drawing.temperature);
        let (cut, _) = match self.words.token(".") {
            Ok(end) => truncate(&made.responses, end, drawing.tokens / 2),
            Err(_) => (made.responses.shallow_clone(), made.responses),
        };
        let responses = rows(&cut);
        let texts: Vec<String> =
            responses.iter().map(|ids| self.words.text(ids)).collect::<Result<_, _>>()?;
        let whole = responses.iter().map(|ids| [&asked[..], &ids[..]].concat()).collect();
        Ok((whole, texts))
    }
}

fn sample(args: &Sample) -> anyhow::Result<()> {
    let before = Writer::open(&folder(args.before.as_ref(), "before", "--before")?)?;
    let after = Writer::open(&folder(args.policy.as_ref(), "policy", "--policy")?)?;
    ensure!(args.samples > 0, "--samples {}: wanted 1 or more", args.samples);
    let reward = match &args.reward {
        Some(folder) => Some(read_reward(folder, Device::Cpu)?.0),
        None => match published_part("reward") {
            Some(folder) => Some(read_reward(&folder, Device::Cpu)?.0),
            None => None,
        },
    };
    let written = |writer: &Writer| -> anyhow::Result<Vec<(String, Option<f64>)>> {
        let (ids, texts) = writer.write(&args.prompt, args.samples, &args.drawing)?;
        let scores = reward.as_ref().map(|reward| scores_of(reward, &ids));
        let score = |i: usize| scores.as_ref().map(|scores| scores[i]);
        Ok(texts.into_iter().enumerate().map(|(i, text)| (text, score(i))).collect())
    };
    let (before, after) = (written(&before)?, written(&after)?);
    let mut out = String::new();
    for ((b, of_b), (a, of_a)) in before.iter().zip(&after) {
        if args.json {
            let line = json!({"prompt": args.prompt, "before": b, "after": a, "score_before": of_b, "score_after": of_a});
            writeln!(out, "{line}")?;
        } else {
            let scored =
                |score: &Option<f64>| score.map_or_else(String::new, |x| format!("{x:+.2} "));
            writeln!(out, "before  {}{b}\nafter   {}{a}\n", scored(of_b), scored(of_a))?;
        }
    }
    Ok(print(&out)?)
}

fn score(args: &Score) -> anyhow::Result<()> {
    let (model, words) =
        read_reward(&folder(args.reward.as_ref(), "reward", "--reward")?, Device::Cpu)?;
    let texts: Vec<String> = if args.texts.is_empty() {
        std::io::stdin().lock().lines().collect::<Result<_, _>>().context("stdin: cannot read")?
    } else {
        args.texts.clone()
    };
    let context = model.body.config().context as usize;
    let mut ids = Vec::with_capacity(texts.len());
    for text in &texts {
        let of = words.sentence(text);
        ensure!(
            of.len() <= context,
            "a text of {} tokens; wanted at most {context}, the reward model's context",
            of.len()
        );
        ids.push(of);
    }
    let line = |(text, score): (&String, f64)| {
        if args.json {
            format!("{}\n", json!({"text": text, "score": score}))
        } else {
            format!("{score:+.3}\t{text}\n")
        }
    };
    Ok(print(&texts.iter().zip(scores_of(&model, &ids)).map(line).collect::<String>())?)
}

fn label(args: &Label) -> anyhow::Result<()> {
    let writer = Writer::open(&folder(args.policy.as_ref(), "policy", "--policy")?)?;
    let mut prompts = args.prompt.clone();
    if let Some(path) = &args.prompts {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        prompts.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    ensure!(!prompts.is_empty(), "no prompts: give some with --prompt TEXT or --prompts FILE");
    let mut input = std::io::stdin().lock();
    let mut kept = 0;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&args.to)
        .with_context(|| format!("{}: cannot append", args.to.display()))?;
    for (i, prompt) in prompts.iter().enumerate() {
        let drawing = Drawing { seed: args.drawing.seed + i as u64, ..args.drawing.clone() };
        let (_, texts) = writer.write(prompt, 2, &drawing)?;
        if texts[0] == texts[1] {
            continue;
        }
        print(&format!("\n{prompt}\n\n  1  {}\n  2  {}\n\n", texts[0], texts[1]))?;
        let better = loop {
            print("better: 1 or 2, s to skip, q to end> ")?;
            std::io::stdout().flush()?;
            let mut line = String::new();
            if input.read_line(&mut line).context("stdin: cannot read")? == 0 {
                return told(kept, &args.to);
            }
            match line.trim() {
                "1" => break Some(0),
                "2" => break Some(1),
                "s" => break None,
                "q" => return told(kept, &args.to),
                _ => {}
            }
        };
        if let Some(better) = better {
            let line =
                json!({"prompt": prompt, "better": texts[better], "worse": texts[1 - better]});
            writeln!(file, "{line}").with_context(|| args.to.display().to_string())?;
            kept += 1;
        }
    }
    told(kept, &args.to)
}

/// What to do with the labels.
fn told(kept: usize, path: &Path) -> anyhow::Result<()> {
    let path = std::path::absolute(path)?;
    let line = format!(
        "\n{kept} comparisons appended to {0}; learn from them with\n  rlhf run reward-model --set \
         reward-model.labels.also='\"{0}\"'\n",
        path.display()
    );
    Ok(print(&line)?)
}
