//! Supervised fine-tuning: the base goes on with the texts of a task.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::training_run::{Spec, TrainingRun};
use common::weights::decoder::{Decoder, Stored};
use tch::nn::VarStore;

use super::texts::Texts;
use super::{RunConfig, Task};
use crate::data::Part;
use crate::language::{self, Text};
use crate::weights::kept;

pub(super) fn train(
    spec: &Spec,
    config: &RunConfig,
    task: &Task,
    cfg: &language::Config,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let (start, words) = config.start().decoder(spec)?;
    ensure!(
        cfg.length as i64 <= start.config.context,
        "train.length is {}, the base has a context of {}",
        cfg.length,
        start.config.context
    );
    let texts = Texts::same(task, &spec.lookup, &config.data_sha256)?;
    let own = texts.stream(Part::Train, &words);
    let look = |part| texts.stream(part, &words).windows(cfg.val_windows, cfg.batch, cfg.length);
    let (val, test) = (look(Part::Val), look(Part::Test));
    ensure!(
        !own.ids.is_empty() && !val.is_empty() && !test.is_empty(),
        "{}: too little text for windows of {} tokens in every part",
        texts.name(),
        cfg.length
    );
    let vs = VarStore::new(run.device());
    let net = start.model(&vs.root(), start.config.n_layers);
    let before = language::mean_loss_of(&net, &test, &run.autocast())?;
    let seed = spec.key.seed;
    let text = Text {
        train: &|step| own.batch(seed, step, cfg.batch, cfg.length),
        val: &val,
        test: &test,
    };
    let mut ended = language::train(seed, cfg, &vs, &net, &text, run)?;
    ended.insert("before/test_loss".to_owned(), before);
    Decoder::of(&vs, "", net.config()).write(&kept(spec), &*words.vocabulary, Stored::Full)?;
    Ok(ended)
}
