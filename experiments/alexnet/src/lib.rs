//! AlexNet (Krizhevsky, Sutskever & Hinton 2012): models, training, studies, figures.
#![warn(missing_docs)]

use common::experiment::{Experiment, Study};

pub mod cifar;
pub mod class_index;
pub mod data;
pub mod eval;
pub mod evaluate;
pub mod exhibits;
pub mod figures;
pub mod loss;
pub mod model;
pub mod network;
pub mod photographs;
pub mod predict;
pub mod prepare;
pub mod studies;
pub mod train;
pub mod weights;

use studies::ablations::{
    self, Augmentation, Depth, Dropout, ImageNet, Lrn, OverlappingPooling, TwoTowers,
};
use studies::exhibits::{self as shown, Filters, Predictions, Retrieval};
use studies::{anatomy, averaging, cifar_ablations, cifar_nets, ports, pre_trained, relu_vs_tanh};

/// The experiment as the shared command line knows it.
pub static ALEXNET: Experiment = Experiment {
    name: "alexnet",
    about: "AlexNet: Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep Convolutional \
            Neural Networks, NIPS 2012",
    claims: include_str!("../claims.csv"),
    presets: common::presets!("smoke", "laptop", "overnight", "paper"),
    studies: &[
        Study {
            name: "relu-vs-tanh",
            about: "Figure 1: epochs to 25 % training error on CIFAR-10 with ReLU, tanh and sigmoid units",
            datasets: &relu_vs_tanh::DATASETS,
            run: relu_vs_tanh::run,
            train: relu_vs_tanh::train,
            measure: relu_vs_tanh::measure,
            figures: relu_vs_tanh::figures,
        },
        Study {
            name: "cifar-nets",
            about: "Test error of the authors' own CIFAR-10 nets (26, 19, 18, 13 and 11 %)",
            datasets: &cifar_nets::DATASETS,
            run: cifar_nets::run,
            train: cifar_nets::train,
            measure: cifar_nets::measure,
            figures: cifar_nets::figures,
        },
        Study {
            name: "cifar-ablations",
            about: "Sections 3.3 and 3.4: what response normalisation and overlapping pools gain the \
                    authors' CIFAR-10 nets",
            datasets: &cifar_nets::DATASETS,
            run: cifar_ablations::run,
            train: cifar_ablations::train,
            measure: cifar_ablations::measure,
            figures: cifar_ablations::figures,
        },
        Study {
            name: "anatomy",
            about: "Figure 2: parameters, units and multiply-adds of the network, layer by layer, counted",
            datasets: &[],
            run: anatomy::run,
            train: anatomy::train,
            measure: anatomy::measure,
            figures: anatomy::figures,
        },
        ablations::study::<ImageNet>(),
        averaging::STUDY,
        pre_trained::STUDY,
        ablations::study::<Lrn>(),
        ablations::study::<OverlappingPooling>(),
        ablations::study::<TwoTowers>(),
        ablations::study::<Dropout>(),
        ablations::study::<Augmentation>(),
        ablations::study::<Depth>(),
        ports::STUDY,
        shown::study::<Filters>(),
        shown::study::<Predictions>(),
        shown::study::<Retrieval>(),
    ],
    built_from: common::built_from!(),
};
