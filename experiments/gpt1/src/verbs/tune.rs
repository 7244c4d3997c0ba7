//! `finetune` and `eval`: one model on one task, outside of any study.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use common::cli::{Places, print};
use common::device::{DeviceChoice, Precision, threads};
use common::distributed::World;
use serde_json::json;
use tch::Device;

use super::Weights;
use crate::finetune::{At, Classifier, Config, Epoch, Seen, Tuned, Tuning, copy};
use crate::forms::{Encoded, EncodedSet, SPECIAL};
use crate::model::{Dropout, Model};
use crate::tasks::{Example, Task, TaskData};
use crate::weights;

/// Where the work is done.
#[derive(Debug, Args)]
pub(super) struct Machine {
    /// auto, cpu, cuda or cuda:<index>
    #[arg(long, default_value = "auto")]
    device: String,
    /// fp32, tf32 (GPUs) or bf16
    #[arg(long, default_value = "fp32")]
    precision: String,
    /// Threads [default: the available cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Finetune {
    #[command(flatten)]
    weights: Weights,
    /// The task
    #[arg(long)]
    task: String,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Passes over the training examples
    #[arg(long, default_value_t = 3)]
    epochs: u64,
    /// Examples of an update
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// The highest learning rate
    #[arg(long, default_value_t = 6.25e-5)]
    lr: f64,
    /// Share of the updates over which the rate rises
    #[arg(long, default_value_t = 0.002)]
    warmup: f64,
    /// Weight of the language model's loss
    #[arg(long, default_value_t = 0.5)]
    lm_weight: f64,
    /// The draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Debug, Args)]
pub struct Eval {
    #[command(flatten)]
    weights: Weights,
    /// The task
    #[arg(long)]
    task: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    machine: Machine,
}

impl Machine {
    fn resolve(&self) -> anyhow::Result<(Device, Precision)> {
        let device = self.device.parse::<DeviceChoice>()?.resolve()?;
        common::device::configure_threads(threads(self.threads)?);
        let precision: Precision = self.precision.parse()?;
        precision.prepare(device)?;
        Ok((device, precision))
    }
}

/// A task's parts as sequences.
struct Parts {
    train: Vec<Encoded>,
    val: Vec<Encoded>,
    test: Vec<Encoded>,
}

fn encode(data: &TaskData, folder: &std::path::Path, model: &Model) -> anyhow::Result<Parts> {
    let tokenizer = weights::tokenizer(folder, None)?;
    let context = model.shape().context() as usize;
    let part = |name: &str, examples: &[Example]| {
        let set = EncodedSet::new(data.task.form, examples, &tokenizer, context);
        set.warn(&format!("{}, {name}", data.task.name));
        set.examples
    };
    Ok(Parts {
        train: part("training part", &data.train),
        val: part("validation part", &data.val),
        test: part("test part", &data.test),
    })
}

/// Fine-tunes and writes the weights that are best on the validation part.
pub(super) fn finetune(args: &Finetune) -> anyhow::Result<()> {
    for (flag, x, good) in [
        ("lr", args.lr, args.lr > 0.0 && args.lr.is_finite()),
        ("warmup", args.warmup, (0.0..1.0).contains(&args.warmup)),
        ("lm-weight", args.lm_weight, args.lm_weight >= 0.0 && args.lm_weight.is_finite()),
    ] {
        ensure!(good, "--{flag} {x}: not a value that a training can use");
    }
    ensure!(args.epochs > 0 && args.batch > 0, "--epochs and --batch: wanted 1 or more");
    common::interrupt::install()?;
    let (device, precision) = args.machine.resolve()?;
    let data = Task::get(&args.task)?.read(&args.places.lookup()?)?;
    let folder = args.weights.folder()?;
    let pretrained = weights::read(&folder, device)?;
    let parts = encode(&data, &folder, &pretrained)?;
    // The released settings; those that have a flag are the user's.
    let config = Config {
        epochs: args.epochs,
        batch: args.batch,
        lr: vec![args.lr],
        warmup: args.warmup,
        weight_decay: 0.01,
        clip: 1.0,
        lm_weight: args.lm_weight,
        classifier_dropout: 0.1,
        dropout: Dropout { residual: 0.1, embedding: 0.1, attention: 0.1 },
    };
    let layers = pretrained.shape().n_layers();
    let model = pretrained.adapted(SPECIAL, config.dropout, layers, args.seed);
    let classifier = Classifier::new(model, data.task, config.classifier_dropout, args.seed);
    let autocast = || precision.autocast(device);
    let mut seen = |_: &Tuned, _: &At, seen: Seen| {
        if let Some(Epoch { loss, lm_loss, val, .. }) = seen.epoch {
            tracing::info!(
                "step {}: loss {loss:.4}, language model {lm_loss:.4}, validation {val:.2}",
                seen.step
            );
        }
        Ok(())
    };
    let tuning = Tuning {
        classifier: &classifier,
        cfg: &config,
        seed: args.seed,
        train: &parts.train,
        val: &parts.val,
        autocast: &autocast,
        world: &World::alone(),
    };
    let vs = &classifier.model.vs;
    let mut tuned = Tuned::new(vs, config.weight_decay);
    let (val, _) = tuning.run(&copy(vs), &mut tuned, &mut At::default(), &mut seen)?;
    let tokenizer = weights::tokenizer(&folder, None)?;
    weights::write(&args.to, &classifier.model, Some(&tokenizer), false)?;
    tracing::info!(
        "{}: validation score {val:.2}; the test part was not read: gpt1 eval --weights {} --task {}",
        args.to.display(),
        args.to.display(),
        args.task
    );
    Ok(())
}

/// Scores a fine-tuned model on the test part.
pub(super) fn eval(args: &Eval) -> anyhow::Result<()> {
    common::interrupt::install()?;
    let (device, precision) = args.machine.resolve()?;
    let data = Task::get(&args.task)?.read(&args.places.lookup()?)?;
    let folder = args.weights.folder()?;
    let model = weights::read(&folder, device)?;
    let parts = encode(&data, &folder, &model)?;
    let classifier = Classifier::new(model, data.task, 0.0, 0);
    weights::read_head(&folder, &classifier.model)?;
    let score = classifier.score(&parts.test, 32, &|| precision.autocast(device))?;
    let (metric, n) = (data.task.metric, parts.test.len());
    if args.json {
        let line = json!({"task": data.task.name, "metric": metric, "score": score, "n": n});
        return Ok(print(&format!("{line}\n"))?);
    }
    let unit = crate::studies::scored::unit(metric);
    Ok(print(&format!("{}: {unit} {score:.2} on {n} test examples\n", data.task.name))?)
}
