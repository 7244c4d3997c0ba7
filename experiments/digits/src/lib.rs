//! Deep nets for handwritten digits (Hinton, Osindero & Teh 2006, Hinton & Salakhutdinov 2006, Martens 2010, Sutskever et
//! al. 2013): models, training, studies, figures.
#![warn(missing_docs)]

use common::experiment::{Experiment, Study};

pub mod conjugate_gradients;
pub mod data;
pub mod dbn;
pub mod figures;
pub mod hessian_free;
pub mod momentum;
pub mod net;
pub mod pca;
pub mod pictures;
pub mod pretrain;
pub mod rbm;
mod steps;
pub mod studies;
pub mod train;
pub mod train_classifier;
pub mod train_dbn;

use studies::{deep_autoencoder, deep_belief_net, hessian_free as optimising};

/// The experiment as the shared command line knows it.
pub static DIGITS: Experiment = Experiment {
    name: "digits",
    about: "Digits: Hinton & Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science 2006, what \
            went before (Hinton, Osindero & Teh 2006) and after (Martens 2010, Sutskever et al. 2013)",
    claims: include_str!("../claims.csv"),
    presets: common::presets!("smoke", "laptop", "overnight", "paper"),
    studies: &[
        Study {
            name: deep_belief_net::STUDY,
            about: "Hinton, Osindero & Teh 2006: a net that makes digits and names them; error before and after up-down tuning",
            datasets: &studies::DATASETS,
            run: deep_belief_net::run,
            train: deep_belief_net::train,
            measure: deep_belief_net::measure,
            figures: deep_belief_net::figures,
        },
        Study {
            name: deep_autoencoder::STUDY,
            about: "Hinton & Salakhutdinov 2006, Figure 2: squared error with and without pre-training, beside PCA",
            datasets: &studies::DATASETS,
            run: deep_autoencoder::run,
            train: deep_autoencoder::train,
            measure: deep_autoencoder::measure,
            figures: deep_autoencoder::figures,
        },
        Study {
            name: optimising::STUDY,
            about: "Martens 2010, Sutskever et al. 2013: the autoencoder without pre-training, Hessian-free and by momentum",
            datasets: &studies::DATASETS,
            run: optimising::run,
            train: optimising::train,
            measure: optimising::measure,
            figures: optimising::figures,
        },
    ],
    built_from: common::built_from!(),
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use common::preset::Source;

    use super::*;

    fn preset(name: &str) -> studies::Preset {
        Source::find(DIGITS.presets, name).unwrap().load(&[]).unwrap()
    }

    #[test]
    fn the_claims_are_readable_and_name_our_studies() {
        let claims = ledger::claims::parse_claims(Path::new("claims.csv"), DIGITS.claims).unwrap();
        for claim in &claims {
            assert!(DIGITS.study(&claim.study).is_ok(), "{}: {}", claim.id, claim.study);
        }
        let published = claims.iter().filter(|claim| !claim.extra()).count();
        assert_eq!(published, 101);
    }

    #[test]
    fn every_preset_reads_and_its_lead_studies_are_ours() {
        for source in DIGITS.presets {
            for name in &preset(source.name).lead {
                assert!(DIGITS.study(name).is_ok(), "{}: {name}", source.name);
            }
        }
    }

    #[test]
    fn the_paper_preset_has_the_published_constants() {
        // shared/recipes.md, section 6
        let preset = preset("paper");
        let pre = &preset.pre_training;
        assert_eq!((pre.epochs, pre.batch), (50, 100));
        let near = |x: f64, y: f64| (x - y).abs() < 1e-12;
        assert!(near(pre.momentum, 0.9) && near(pre.weight_decay, 2e-4) && near(pre.std, 0.01));
        let autoencoder = &preset.deep_autoencoder;
        assert_eq!(
            (autoencoder.cases, &autoencoder.layers[..]),
            (60_000, &[1000, 500, 250, 30][..])
        );
        let search = autoencoder.search;
        assert_eq!((search.epochs, search.batch, search.searches), (200, 1000, 3));
        let newton = &preset.hessian_free.newton;
        assert_eq!((newton.chunks, newton.cg.max_iterations), (8, 250));
        assert!(near(newton.damping, 45.0) && near(newton.exponent, 0.75));
        assert_eq!(preset.hessian_free.incoming, 15);
        let momentum = preset.hessian_free.momentum;
        let updates = (momentum.updates, momentum.period, momentum.last_updates);
        assert_eq!((momentum.batch, updates), (200, (750_000, 250, 1000)));
        assert_eq!(preset.hessian_free.momentum_variants.len(), 9);
        let belief = &preset.deep_belief_net;
        assert_eq!((belief.cases, belief.val_cases, belief.epochs), (44_000, 10_000, 30));
        assert_eq!((&belief.layers[..], belief.top), (&[500, 500][..], 2000));
        assert_eq!((belief.up_down.epochs, belief.up_down.gibbs), (300, [3, 6, 10]));
    }
}
