//! GPT-1 (Radford, Narasimhan, Salimans & Sutskever 2018): a language model of books, fine-tuned with hardly any new
//! parameters.
#![warn(missing_docs)]

use common::experiment::{Experiment, Study};

pub use common::nn::{language_model as model, lstm};

pub mod bag;
pub mod figures;
pub mod finetune;
pub mod forms;
pub mod generate;
pub mod pretrain;
pub mod scores;
pub mod studies;
pub mod tasks;
pub mod verbs;
pub mod weights;
pub mod zero_shot;

use studies::{ablations, finetune as tables, label_efficiency, layers_transferred};
use studies::{pretrain as language_models, rates, zero_shot as heuristics};

/// The experiment as the shared command line knows it.
pub static GPT1: Experiment = Experiment {
    name: "gpt1",
    about: "GPT-1: Radford, Narasimhan, Salimans & Sutskever, Improving Language Understanding by Generative \
            Pre-Training, 2018",
    claims: include_str!("../claims.csv"),
    presets: common::presets!("smoke", "laptop", "overnight", "paper"),
    studies: &[
        Study {
            name: rates::STUDY,
            about: "Ours: learning rate and batch of the language models, by short runs on the validation books",
            datasets: &language_models::DATASETS,
            run: rates::run,
            train: rates::train,
            measure: rates::measure,
            figures: rates::figures,
        },
        Study {
            name: language_models::STUDY,
            about: "Section 4.1: perplexity on unseen authors against tokens of books read",
            datasets: &language_models::DATASETS,
            run: language_models::run,
            train: language_models::train,
            measure: language_models::measure,
            figures: language_models::figures,
        },
        Study {
            name: tables::STUDY,
            about: "Tables 2 to 4: the pre-trained model fine-tuned on each task, a bag of words beside it",
            datasets: &tables::DATASETS,
            run: tables::run,
            train: tables::train,
            measure: tables::measure,
            figures: tables::figures,
        },
        Study {
            name: ablations::STUDY,
            about: "Table 5: without pre-training, without the auxiliary loss, an LSTM instead",
            datasets: &tables::DATASETS,
            run: ablations::run,
            train: ablations::train,
            measure: ablations::measure,
            figures: ablations::figures,
        },
        Study {
            name: label_efficiency::STUDY,
            about: "Ours: what pre-training is worth with few labels, and with many",
            datasets: &tables::DATASETS,
            run: label_efficiency::run,
            train: label_efficiency::train,
            measure: label_efficiency::measure,
            figures: label_efficiency::figures,
        },
        Study {
            name: layers_transferred::STUDY,
            about: "Figure 2, left: fine-tuning from the first so many blocks",
            datasets: &tables::DATASETS,
            run: layers_transferred::run,
            train: layers_transferred::train,
            measure: layers_transferred::measure,
            figures: layers_transferred::figures,
        },
        Study {
            name: heuristics::STUDY,
            about: "Figure 2, right: tasks without fine-tuning, at stations of the pre-training",
            datasets: &tables::DATASETS,
            run: heuristics::run,
            train: heuristics::train,
            measure: heuristics::measure,
            figures: heuristics::figures,
        },
    ],
    built_from: common::built_from!(),
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::studies::rates::Choice;
    use super::*;

    #[test]
    fn the_claims_are_readable_and_name_our_studies_or_say_what_they_need() {
        let claims = ledger::claims::parse_claims(Path::new("claims.csv"), GPT1.claims).unwrap();
        for claim in &claims {
            let ours = GPT1.studies.iter().any(|study| study.name == claim.study);
            assert!(
                ours || !claim.needs.is_empty(),
                "{}: nothing measures it and nothing says why",
                claim.id
            );
        }
        let published = claims.iter().filter(|claim| claim.id.starts_with("gpt1-")).count();
        assert_eq!(published, 66);
    }

    #[test]
    fn every_preset_reads_and_its_models_can_be() {
        for source in GPT1.presets {
            let preset: studies::Preset = source.load(&[]).unwrap();
            for name in &preset.lead {
                assert!(GPT1.study(name).is_ok(), "{}: {name}", source.name);
            }
            let vocab = match preset.books.vocabulary {
                common::data::token_corpus::Vocabulary::Published => 40_478,
                common::data::token_corpus::Vocabulary::Trained(n) => n as i64,
            };
            preset.pretrain.check(source.name).unwrap();
            for model in &preset.pretrain.models {
                let choice = Choice { batch: preset.pretrain.batch, lr: model.lr[0] };
                let config = preset.pretrain.config(source.name, model, choice, vocab, "").unwrap();
                assert_eq!(config.shape.wrong(), None, "{}: {}", source.name, model.name);
            }
        }
    }

    #[test]
    fn the_paper_preset_is_the_published_model() {
        let paper = GPT1.presets.iter().find(|source| source.name == "paper").unwrap();
        let preset: studies::Preset = paper.load(&[]).unwrap();
        let model = &preset.pretrain.models[0];
        let choice = Choice { batch: preset.pretrain.batch, lr: model.lr[0] };
        let config = preset.pretrain.config("paper", model, choice, 40_478, "").unwrap();
        // shared golden value
        assert_eq!(config.shape.parameters(), 116_534_784);
        assert_eq!((config.batch as u64 * config.accumulate, config.length), (64, 512));
    }
}
