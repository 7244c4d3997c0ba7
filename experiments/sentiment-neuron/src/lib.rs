//! The sentiment neuron (Radford, Jozefowicz & Sutskever 2017): a byte-level language model of reviews, and what its
//! units know.
#![warn(missing_docs)]

use common::experiment::{Experiment, Study};

pub mod clamping;
pub mod compress;
pub mod efficiency;
pub mod features;
pub mod figures;
pub mod generate;
pub mod heatmap;
pub mod model;
pub mod mood;
pub mod pieces;
pub mod readout;
pub mod released;
pub mod sentences;
pub mod single;
pub mod studies;
pub mod train;
pub mod verbs;
pub mod weights;

use studies::{
    clamping as clamping_study, compression, data_efficiency, emergence, hidden_mood,
    language_model, probes, sentence_tasks, single_unit, word_pieces,
};

/// The experiment as the shared command line knows it.
pub static SENTIMENT_NEURON: Experiment = Experiment {
    name: "sentiment-neuron",
    about: "The sentiment neuron: Radford, Jozefowicz & Sutskever, Learning to Generate Reviews and Discovering \
            Sentiment, 2017",
    claims: include_str!("../claims.csv"),
    presets: common::presets!("smoke", "laptop", "overnight", "paper"),
    studies: &[
        Study {
            name: language_model::STUDY,
            about: "Section 3: bits per byte against bytes of reviews seen",
            datasets: &language_model::DATASETS,
            run: language_model::run,
            train: language_model::train,
            measure: language_model::measure,
            figures: language_model::figures,
        },
        Study {
            name: probes::STUDY,
            about: "Tables 2 and 4: linear probe, best single unit and bag of n-grams on labelled sets",
            datasets: &probes::DATASETS,
            run: probes::run,
            train: probes::train,
            measure: probes::measure,
            figures: probes::figures,
        },
        Study {
            name: sentence_tasks::STUDY,
            about: "Tables 5 and 6: five grades, paraphrases, relatedness; Yelp where it is at hand",
            datasets: &sentence_tasks::DATASETS,
            run: sentence_tasks::run,
            train: sentence_tasks::train,
            measure: sentence_tasks::measure,
            figures: sentence_tasks::figures,
        },
        Study {
            name: single_unit::STUDY,
            about: "Figure 3: the unit that the probe leans on most, alone and left out; leaves the published weights",
            datasets: &single_unit::DATASETS,
            run: single_unit::run,
            train: single_unit::train,
            measure: single_unit::measure,
            figures: single_unit::figures,
        },
        Study {
            name: data_efficiency::STUDY,
            about: "Figure 2: accuracy against the number of labelled examples, beside a bag of n-grams",
            datasets: &data_efficiency::DATASETS,
            run: data_efficiency::run,
            train: data_efficiency::train,
            measure: data_efficiency::measure,
            figures: data_efficiency::figures,
        },
        Study {
            name: clamping_study::STUDY,
            about: "Section 4.4: reviews written with the unit held on either side, judged by a bag of n-grams",
            datasets: &clamping_study::DATASETS,
            run: clamping_study::run,
            train: clamping_study::train,
            measure: clamping_study::measure,
            figures: clamping_study::figures,
        },
        Study {
            name: compression::STUDY,
            about: "Bits per byte of reviews and other prose beside gzip, bzip2, xz and zstd; enwik8 where it is at hand",
            datasets: &compression::DATASETS,
            run: compression::run,
            train: compression::train,
            measure: compression::measure,
            figures: compression::figures,
        },
        Study {
            name: emergence::STUDY,
            about: "Ours: the same readers at stations of the training, against bits per byte",
            datasets: &emergence::DATASETS,
            run: emergence::run,
            train: emergence::train,
            measure: emergence::measure,
            figures: emergence::figures,
        },
        Study {
            name: word_pieces::STUDY,
            about: "Ours: the same network over BPE pieces instead of bytes: how much of the budget was spelling?",
            datasets: &language_model::DATASETS,
            run: word_pieces::run,
            train: word_pieces::train,
            measure: word_pieces::measure,
            figures: word_pieces::figures,
        },
        Study {
            name: hidden_mood::STUDY,
            about: "Ours: does one unit find the hidden mood of a made-up language, in minutes?",
            datasets: &[],
            run: hidden_mood::run,
            train: hidden_mood::train,
            measure: hidden_mood::measure,
            figures: hidden_mood::figures,
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
            ledger::claims::parse_claims(Path::new("claims.csv"), SENTIMENT_NEURON.claims).unwrap();
        for claim in &claims {
            let ours = SENTIMENT_NEURON.studies.iter().any(|study| study.name == claim.study);
            assert!(
                ours || !claim.needs.is_empty(),
                "{}: nothing measures it and nothing says why",
                claim.id
            );
        }
        // Every row of the two published lists: 25 of the network, 53 of compression.
        let of = |prefix: &str| claims.iter().filter(|claim| claim.id.starts_with(prefix)).count();
        assert_eq!(of("sn-"), 25);
        assert_eq!(claims.iter().filter(|claim| !claim.extra()).count(), 25 + 53);
    }

    #[test]
    fn every_preset_reads() {
        for source in SENTIMENT_NEURON.presets {
            let preset: studies::Preset = source.load(&[]).unwrap();
            for name in &preset.lead {
                assert!(SENTIMENT_NEURON.study(name).is_ok(), "{}: {name}", source.name);
            }
        }
    }
}
