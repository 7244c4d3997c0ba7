//! The stages that studies build on, made once: base, fine-tuned base, reward models, judge.

use std::path::PathBuf;

use anyhow::Context as _;
use common::cli;
use common::session::{Plan, Session};
use common::training_run::Spec;
use ledger::run::{RunRecord, Status};

use super::check::check;
use super::{BaseSource, Preset, base, reward_model, sft};
use crate::RLHF;
use crate::stages::texts::Texts;
use crate::stages::{Kind, Labels, RunConfig, Sampling};
use crate::weights::{Origin, Place};

/// Where `gpt1` publishes its weights.
const GPT1_WEIGHTS: &str = "results/reference/gpt1/weights";

/// A command line's preset, with its base at hand.
#[derive(Debug)]
pub(crate) struct Pipeline<'a> {
    session: &'a Session,
    /// The preset.
    pub(crate) preset: Preset,
    /// What everything begins with.
    pub(crate) base: Origin,
}

/// What a run is called and does.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Its data.
    pub(crate) data: String,
    /// Its variant.
    pub(crate) variant: String,
    /// Its seed.
    pub(crate) seed: u64,
    /// Its configuration.
    pub(crate) config: RunConfig,
}

impl<'a> Pipeline<'a> {
    /// The preset of `session`; its base is trained here first where it has to be.
    ///
    /// # Errors
    /// A preset that does not fit, data that cannot be had, a run that fails.
    pub(crate) fn open(session: &'a Session) -> anyhow::Result<Self> {
        let preset: Preset = session.preset()?;
        check(&session.preset, &preset)?;
        let folder = match &preset.base.source {
            BaseSource::Folder(folder) => Some((folder.clone(), "weights of your own")),
            BaseSource::Published => {
                let folder = PathBuf::from(GPT1_WEIGHTS);
                folder.exists().then_some((folder, "the published weights of gpt1"))
            }
            BaseSource::Trained => None,
        };
        let base = match folder {
            Some((folder, what)) => Origin::folder(what.to_owned(), folder)?,
            None => base::trained(session, &preset)?,
        };
        tracing::info!("the base: {}", base.what);
        Ok(Self { session, preset, base })
    }

    /// The command line.
    pub(crate) fn session(&self) -> &Session {
        self.session
    }

    /// A run from weights on a task's texts.
    pub(crate) fn wanted(
        &self,
        texts: &Texts,
        variant: &str,
        seed: u64,
        start: &Origin,
        kind: Kind,
    ) -> Wanted {
        let config = RunConfig {
            base: Some(self.base.clone()),
            start: Some(start.clone()),
            data_sha256: texts.sha256().to_owned(),
            kind,
        };
        Wanted { data: texts.name().to_owned(), variant: variant.to_owned(), seed, config }
    }

    /// The texts of the style task.
    ///
    /// # Errors
    /// Files that cannot be had.
    pub(crate) fn style_texts(&self) -> anyhow::Result<Texts> {
        Texts::read(&self.preset.sft.task, &self.session.lookup)
    }

    /// The base fine-tuned on the style task's texts: that of the first seed.
    ///
    /// # Errors
    /// As [`make`].
    pub(crate) fn finetuned(&self, texts: &Texts) -> anyhow::Result<Origin> {
        let made = need(self.session, sft::STUDY, vec![sft::wanted(self, texts, 0)])?;
        weights_of(self.session, "the base fine-tuned on rated sentences", &made[0])
    }

    /// How the policies of the style task write.
    pub(crate) fn sampling(&self) -> Sampling {
        Sampling::of(&self.preset.sentiment.train)
    }

    /// The reward models that policies learn from, one a seed.
    ///
    /// # Errors
    /// As [`make`].
    pub(crate) fn rewards(
        &self,
        texts: &Texts,
        start: &Origin,
        seeds: &[u64],
    ) -> anyhow::Result<Vec<Origin>> {
        let best = reward_model::largest(&self.preset);
        let wanted = |seed: &u64| reward_model::wanted(self, texts, start, best, *seed);
        let made = need(self.session, reward_model::STUDY, seeds.iter().map(wanted).collect())?;
        let what = format!("a reward model of {} human comparisons", best.0);
        made.iter().map(|spec| weights_of(self.session, &what, spec)).collect()
    }

    /// The judge of policies: a reward model of comparisons that no other has seen, the same for all seeds.
    ///
    /// # Errors
    /// As [`make`].
    pub(crate) fn judge(&self, texts: &Texts, start: &Origin) -> anyhow::Result<Origin> {
        let RewardPlan { labels, train, layers } = self.reward_plan();
        let comparisons = self.preset.sentiment.judge;
        let kind = Kind::Reward {
            task: self.preset.sft.task.clone(),
            labels: Labels { comparisons, held_out: true, tested_on: None, also: None, ..labels },
            layers,
            sampling: self.sampling(),
            train,
        };
        // A seed that no reward model has.
        let wanted = self.wanted(texts, &format!("judge-{comparisons}"), 1000, start, kind);
        let made = need(self.session, reward_model::STUDY, vec![wanted])?;
        let what = format!("a judge of {comparisons} human comparisons held out");
        weights_of(self.session, &what, &made[0])
    }

    /// How the largest reward model is trained.
    pub(crate) fn reward_plan(&self) -> RewardPlan {
        let preset = &self.preset.reward_model;
        let (_, layers) = reward_model::largest(&self.preset);
        RewardPlan { labels: preset.labels.clone(), train: preset.train.clone(), layers }
    }
}

/// How a reward model is trained.
#[derive(Debug)]
pub(crate) struct RewardPlan {
    /// On which judgements.
    pub(crate) labels: Labels,
    /// How.
    pub(crate) train: crate::train_reward::Config,
    /// Its blocks.
    pub(crate) layers: i64,
}

/// Makes the runs of a study that the user asked for, or prints what they would be.
///
/// # Errors
/// As [`Session::grid`].
pub(crate) fn make(
    session: &Session,
    study: &str,
    wanted: Vec<Wanted>,
) -> anyhow::Result<Vec<Spec>> {
    let study = RLHF.study(study)?;
    let plans: Vec<Plan> = wanted
        .into_iter()
        .map(|Wanted { data, variant, seed, config }| {
            let config = serde_json::to_value(config).expect("plain data");
            Plan { data, variant, seed, config }
        })
        .collect();
    let threads = if session.device.is_cuda() { session.threads } else { 1 };
    let specs: Vec<Spec> =
        plans.iter().map(|plan| session.spec(study, plan.clone(), threads)).collect();
    if session.dry_run {
        for (spec, plan) in specs.iter().zip(&plans) {
            let config = serde_json::to_string(&plan.config)?;
            cli::print(&format!("{} {config}\n", spec.folder().display()))?;
        }
        return Ok(specs);
    }
    session.grid(study, plans)?;
    Ok(specs)
}

/// As [`make`], for runs that another study needs: what is finished with the same configuration stays, also when the
/// user starts the study over.
///
/// # Errors
/// As [`make`].
pub(crate) fn need(
    session: &Session,
    study: &str,
    wanted: Vec<Wanted>,
) -> anyhow::Result<Vec<Spec>> {
    let of = RLHF.study(study)?;
    let threads = if session.device.is_cuda() { session.threads } else { 1 };
    let mut specs = Vec::new();
    let mut missing = Vec::new();
    for one in wanted {
        let config = serde_json::to_value(&one.config).expect("plain data");
        let plan =
            Plan { data: one.data.clone(), variant: one.variant.clone(), seed: one.seed, config };
        let spec = session.spec(of, plan, threads);
        let digest = spec.record(RLHF.built_from)?.digest;
        let done = RunRecord::read(&spec.folder())?
            .is_some_and(|record| record.status == Status::Complete && record.digest == digest);
        if !done {
            missing.push(one);
        }
        specs.push(spec);
    }
    if !missing.is_empty() {
        make(session, study, missing)?;
    }
    Ok(specs)
}

/// The weights that a finished run left.
///
/// # Errors
/// Weights that are gone.
pub(crate) fn weights_of(session: &Session, what: &str, spec: &Spec) -> anyhow::Result<Origin> {
    match Origin::run(what.to_owned(), spec) {
        // A dry run makes nothing.
        Err(_) if session.dry_run => {
            let key = spec.key.clone();
            let place = Place::Run {
                study: key.study,
                data: key.data,
                variant: key.variant,
                seed: key.seed,
            };
            Ok(Origin { what: what.to_owned(), place, sha256: String::new() })
        }
        other => other.with_context(|| what.to_owned()),
    }
}
