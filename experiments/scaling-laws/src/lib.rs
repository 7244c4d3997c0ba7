//! Scaling laws (Kaplan et al. 2020, Hoffmann et al. 2022): loss against size, data and compute, measured and fitted.
#![warn(missing_docs)]

use common::experiment::{Experiment, Study};

pub mod counts;
pub mod efficiency;
pub mod exclude;
pub mod figures;
pub mod fit;
pub mod frontier;
pub mod noise;
pub mod rows;
pub mod runs;
pub mod studies;
pub mod table;
pub mod text;
pub mod train;
pub mod verbs;

use studies::{allocation, batch_size, compute_efficient, joint_fit, learning_rate};
use studies::{loss_vs_compute, loss_vs_data};
use studies::{loss_vs_size, lstm_vs_transformer, predict_ahead, refits, shape, sweep, transfer};

/// The experiment as the shared command line knows it.
pub static SCALING_LAWS: Experiment = Experiment {
    name: "scaling-laws",
    about: "Scaling laws: Kaplan et al., Scaling Laws for Neural Language Models, 2020, and Hoffmann et al., Training \
            Compute-Optimal Large Language Models, 2022",
    claims: include_str!("../claims.csv"),
    presets: common::presets!("smoke", "laptop", "overnight", "paper"),
    studies: &[
        Study {
            name: joint_fit::STUDY,
            about: "Kaplan eq. 1.5 and Hoffmann eq. 10: loss against size and data together",
            datasets: &joint_fit::DATASETS,
            run: joint_fit::run,
            train: studies::train,
            measure: joint_fit::measure,
            figures: joint_fit::figures,
        },
        Study {
            name: loss_vs_size::STUDY,
            about: "Kaplan's Figures 1 (right) and 6: loss against size; reads joint-fit",
            datasets: &joint_fit::DATASETS,
            run: loss_vs_size::run,
            train: studies::reading::train,
            measure: loss_vs_size::measure,
            figures: loss_vs_size::figures,
        },
        Study {
            name: loss_vs_compute::STUDY,
            about: "Kaplan's Figure 1 (left): the frontier of compute; reads joint-fit",
            datasets: &joint_fit::DATASETS,
            run: loss_vs_compute::run,
            train: studies::reading::train,
            measure: loss_vs_compute::measure,
            figures: loss_vs_compute::figures,
        },
        Study {
            name: allocation::STUDY,
            about: "Hoffmann's approaches 1 to 3: how size and data share compute; reads joint-fit",
            datasets: &joint_fit::DATASETS,
            run: allocation::run,
            train: studies::reading::train,
            measure: allocation::measure,
            figures: allocation::figures,
        },
        Study {
            name: predict_ahead::STUDY,
            about: "GPT-4 report, Figure 1: a loss predicted before the run",
            datasets: &joint_fit::DATASETS,
            run: predict_ahead::run,
            train: studies::train,
            measure: predict_ahead::measure,
            figures: predict_ahead::figures,
        },
        Study {
            name: loss_vs_data::STUDY,
            about: "Kaplan's Figure 1 (middle): loss against the text there is",
            datasets: &joint_fit::DATASETS,
            run: loss_vs_data::run,
            train: studies::train,
            measure: loss_vs_data::measure,
            figures: loss_vs_data::figures,
        },
        Study {
            name: shape::STUDY,
            about: "Kaplan's Figure 5: depth against width at one size",
            datasets: &joint_fit::DATASETS,
            run: shape::run,
            train: studies::train,
            measure: shape::measure,
            figures: shape::figures,
        },
        Study {
            name: lstm_vs_transformer::STUDY,
            about: "Kaplan's Figure 7: loss by place in the context, of transformers and LSTMs",
            datasets: &joint_fit::DATASETS,
            run: lstm_vs_transformer::run,
            train: studies::train,
            measure: lstm_vs_transformer::measure,
            figures: lstm_vs_transformer::figures,
        },
        Study {
            name: transfer::STUDY,
            about: "Kaplan's Figure 8: loss on other text; reads joint-fit",
            datasets: &joint_fit::DATASETS,
            run: transfer::run,
            train: transfer::train,
            measure: transfer::measure,
            figures: transfer::figures,
        },
        Study {
            name: batch_size::STUDY,
            about: "Kaplan's Figures 10 and 18: the critical batch, and the gradient noise scale",
            datasets: &joint_fit::DATASETS,
            run: batch_size::run,
            train: studies::train,
            measure: batch_size::measure,
            figures: batch_size::figures,
        },
        Study {
            name: compute_efficient::STUDY,
            about: "Kaplan's Figures 4, 13 and 14: learning curves, and the least compute for a loss; reads joint-fit \
                    and batch-size",
            datasets: &joint_fit::DATASETS,
            run: compute_efficient::run,
            train: compute_efficient::train,
            measure: compute_efficient::measure,
            figures: compute_efficient::figures,
        },
        Study {
            name: studies::tokenisation::STUDY,
            about: "Ours: the same text in bytes and in pairs, which exponents move",
            datasets: &joint_fit::DATASETS,
            run: studies::tokenisation::run,
            train: studies::train,
            measure: studies::tokenisation::measure,
            figures: studies::tokenisation::figures,
        },
        Study {
            name: learning_rate::STUDY,
            about: "Kaplan eq. D.1: the best rate by size, and µP's rates",
            datasets: &joint_fit::DATASETS,
            run: learning_rate::run,
            train: studies::train,
            measure: learning_rate::measure,
            figures: learning_rate::figures,
        },
        Study {
            name: sweep::STUDY,
            about: "Your own grid: --set sweep.plan=FILE.toml",
            datasets: &joint_fit::DATASETS,
            run: sweep::run,
            train: studies::train,
            measure: sweep::measure,
            figures: sweep::figures,
        },
        Study {
            name: refits::STUDY,
            about: "Published tables of runs (Porian, OpenLM, Gemstones) refitted; trains nothing",
            datasets: &refits::DATASETS,
            run: refits::run,
            train: refits::train,
            measure: refits::measure,
            figures: refits::figures,
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
        let claims =
            ledger::claims::parse_claims(Path::new("claims.csv"), SCALING_LAWS.claims).unwrap();
        for claim in &claims {
            let ours = SCALING_LAWS.studies.iter().any(|study| study.name == claim.study);
            assert!(ours, "{}: no study is called {}", claim.id, claim.study);
        }
        // Kaplan 57, GPT-3 1, Henighan 1, Hoffmann 13, Besiroglu 7, Pearce 1, Porian 5, Gadre 3,
        // McLeish 9; GPT-4 11.
        let published = claims.iter().filter(|claim| !claim.extra()).count();
        assert_eq!(published, 97 + 11);
    }

    #[test]
    fn every_preset_reads_and_leads_with_our_studies() {
        for source in SCALING_LAWS.presets {
            let preset: studies::Preset = source.load(&[]).unwrap();
            for name in &preset.lead {
                assert!(SCALING_LAWS.study(name).is_ok(), "{}: {name}", source.name);
            }
            for table in &preset.refits.tables {
                let parsed = table.exclude.as_deref().map(exclude::Exclude::parse).transpose();
                assert!(parsed.is_ok(), "{}: {parsed:?}", table.name);
            }
        }
    }
}
