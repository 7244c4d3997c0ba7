//! Learning from human preferences (Ziegler et al. 2019, Stiennon et al. 2020, Ouyang et al. 2022, Gao et al. 2022).
#![warn(missing_docs)]

use common::experiment::{Experiment, Study};

pub mod best_of;
pub mod data;
pub mod figures;
pub mod fits;
pub mod language;
pub mod policy;
pub mod ppo;
pub mod reward;
pub mod rollout;
pub mod stages;
pub mod studies;
pub mod tokens;
pub mod train_policy;
pub mod train_reward;
pub mod verbs;
pub mod weights;
pub mod words;

use studies::{base, instruct, kl_control, overoptimisation, reward_model, sentiment, sft};

/// The experiment as the shared command line knows it.
pub static RLHF: Experiment = Experiment {
    name: "rlhf",
    about: "RLHF: Ziegler et al., Fine-Tuning Language Models from Human Preferences, 2019, and what followed: Stiennon \
            et al. 2020, Ouyang et al. 2022, Gao et al. 2022",
    claims: include_str!("../claims.csv"),
    presets: common::presets!("smoke", "laptop", "overnight", "paper"),
    studies: &[
        Study {
            name: base::STUDY,
            about: "The base: a language model of books, trained here while gpt1 publishes none",
            datasets: &base::DATASETS,
            run: base::run,
            train: stages::train,
            measure: base::measure,
            figures: base::figures,
        },
        Study {
            name: sft::STUDY,
            about: "Supervised fine-tuning on the sentences that people rated",
            datasets: &sft::DATASETS,
            run: sft::run,
            train: stages::train,
            measure: sft::measure,
            figures: sft::figures,
        },
        Study {
            name: reward_model::STUDY,
            about: "Reward models of human judgements: accuracy by comparisons and size, beside a bag of words and people",
            datasets: &reward_model::DATASETS,
            run: reward_model::run,
            train: stages::train,
            measure: reward_model::measure,
            figures: reward_model::figures,
        },
        Study {
            name: sentiment::STUDY,
            about: "Ziegler et al., section 3.1: continue text so that it is positive; reward against KL, best of n beside it",
            datasets: &sentiment::DATASETS,
            run: sentiment::run,
            train: stages::train,
            measure: sentiment::measure,
            figures: sentiment::figures,
        },
        Study {
            name: kl_control::STUDY,
            about: "Ziegler et al., section 2.2: the adaptive KL coefficient against a fixed one; both forms of Adam",
            datasets: &kl_control::DATASETS,
            run: kl_control::run,
            train: stages::train,
            measure: kl_control::measure,
            figures: kl_control::figures,
        },
        Study {
            name: overoptimisation::STUDY,
            about: "Gao et al. 2022: gold reward while a proxy of it is optimised, by best of n and PPO",
            datasets: &overoptimisation::DATASETS,
            run: overoptimisation::run,
            train: stages::train,
            measure: overoptimisation::measure,
            figures: overoptimisation::figures,
        },
        Study {
            name: instruct::STUDY,
            about: "Ouyang et al. 2022: judged answers, PPO and PPO-ptx, the alignment tax on books",
            datasets: &instruct::DATASETS,
            run: instruct::run,
            train: stages::train,
            measure: instruct::measure,
            figures: instruct::figures,
        },
    ],
    built_from: common::built_from!(),
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_claims_are_readable_and_name_our_studies_or_say_what_they_need() {
        let claims = ledger::claims::parse_claims(Path::new("claims.csv"), RLHF.claims).unwrap();
        for claim in &claims {
            let ours = RLHF.studies.iter().any(|study| study.name == claim.study);
            assert!(ours, "{}: {} is no study", claim.id, claim.study);
        }
        let published = claims.iter().filter(|claim| !claim.extra()).count();
        assert_eq!(published, 98);
    }

    #[test]
    fn every_preset_reads_and_its_lead_studies_are_ours() {
        for source in RLHF.presets {
            let preset: studies::Preset = source.load(&[]).unwrap();
            for name in &preset.lead {
                assert!(RLHF.study(name).is_ok(), "{}: {name}", source.name);
            }
            let shape = preset.base.shape;
            assert_eq!(shape.d_model % shape.n_heads, 0, "{}", source.name);
            for train in
                [&preset.sentiment.train, &preset.overoptimisation.train, &preset.instruct.train]
            {
                assert_eq!(train.batch % train.minibatches, 0, "{}", source.name);
                assert!(train.steps() > 0, "{}", source.name);
                let query = preset.sft.task.query as i64;
                assert!(query + train.response - 1 <= shape.context, "{}", source.name);
            }
        }
    }

    #[test]
    fn the_paper_preset_has_the_published_constants() {
        let paper = RLHF.presets.iter().find(|source| source.name == "paper").unwrap();
        let preset: studies::Preset = paper.load(&[]).unwrap();
        let train = &preset.sentiment.train;
        // shared/recipes.md, section 5.1, style tasks
        assert_eq!((train.episodes, train.batch, train.minibatches), (1_000_000, 512, 1));
        assert_eq!((train.inner_epochs, train.response), (4, 24));
        let near = |x: f64, y: f64| (x - y).abs() < 1e-12;
        assert!(near(train.lr, 1e-5) && near(train.eps, 1e-5) && near(train.kl.coefficient, 0.15));
        assert!(near(train.temperature, 0.7) && near(train.lambda, 0.95) && near(train.gamma, 1.0));
        assert_eq!(train.kl.adaptive.map(|a| (a.target, a.horizon)), Some((6.0, 10_000.0)));
        let ptx = preset.instruct.train.ptx.unwrap();
        assert!(near(ptx.coefficient, 27.8) && near(ptx.per_episode, 8.0));
        assert!(near(preset.instruct.train.kl.coefficient, 0.02));
    }
}
