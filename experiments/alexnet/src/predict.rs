//! `alexnet predict`: the most probable classes of pictures.
//!
//! With our own weights, or with those of torchvision's `alexnet`: its tensors under their own names, its own
//! preprocessing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use common::cli::{self, Places};
use common::data::photos::decode;
use common::nn::probe::Probe;
use common::weights::{self as weights_of, REFERENCE, StateDict};
use image::RgbImage;
use serde::Serialize;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::class_index::{CLASSES, ClassIndex};
use crate::network::{AlexNet, NetworkConfig};
use crate::weights::{self, Card, TENSORS, Trained};

mod input;

pub(crate) use input::{MEAN, SHORT, STD, torchvision_square};

/// Flags of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Pictures: JPEG or PNG files
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Weights of a run of ours (weights.safetensors) or of torchvision's alexnet (.safetensors, .pth)
    /// [default: the published small weights in results/reference]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// How many classes to tell of each picture
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub top: u16,
    /// Print one JSON object for each picture
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    /// Where the names of ImageNet's classes are looked for
    pub places: Places,
}

/// A network that says what is on a picture.
#[derive(Debug)]
pub struct Predictor {
    net: AlexNet,
    /// None for classes without names.
    classes: Option<Vec<String>>,
    preparation: Preparation,
    /// What it was trained on, for the log.
    pub about: String,
}

#[derive(Debug)]
enum Preparation {
    Ours { mean: Vec<f32>, card: Box<Card> },
    Torchvision,
}

/// A class and how probable it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    /// The index of the network's output.
    pub index: i64,
    /// The class's name; none where it is not known.
    pub class: Option<String>,
    /// From 0 to 1.
    pub probability: f64,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    image: String,
    weights: String,
    predictions: &'a [Guess],
}

/// Where torchvision's file has our layers.
///
/// Source: torchvision 0.28, `models/alexnet.py`; docs.pytorch.org/vision.
const TORCHVISION: [(&str, &str); 8] = [
    ("conv1", "features.0"),
    ("conv2", "features.3"),
    ("conv3", "features.6"),
    ("conv4", "features.8"),
    ("conv5", "features.10"),
    ("fc6", "classifier.1"),
    ("fc7", "classifier.4"),
    ("fc8", "classifier.6"),
];

/// Carries out `predict`.
///
/// # Errors
/// Weights that are not there or do not fit; a picture that cannot be read (the others are told of).
pub fn predict(args: &PredictArgs) -> anyhow::Result<()> {
    let path = match &args.weights {
        Some(path) => path.clone(),
        None => published()?,
    };
    let predictor = Predictor::open(&path, || ClassIndex::find(&args.places.lookup()?))?;
    tracing::info!("{}: {}", path.display(), predictor.about);
    let mut unread = 0;
    for image in &args.images {
        let guesses = match read(image) {
            Ok(picture) => predictor.guesses(&picture, usize::from(args.top)),
            Err(error) => {
                tracing::error!("{error:#}");
                unread += 1;
                continue;
            }
        };
        let text = if args.json {
            let (image, weights) = (image.display().to_string(), path.display().to_string());
            serde_json::to_string(&Line { image, weights, predictions: &guesses })? + "\n"
        } else {
            shown(image, &guesses)
        };
        cli::print(&text)?;
    }
    ensure!(unread == 0, "{unread} of {} files could not be read as pictures", args.images.len());
    Ok(())
}

/// The picture in a file.
fn read(path: &Path) -> anyhow::Result<RgbImage> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    decode(&bytes).with_context(|| path.display().to_string())
}

/// The published weights.
///
/// # Errors
/// When there are none; says how to get some.
pub(crate) fn published() -> anyhow::Result<PathBuf> {
    published_in(Path::new(REFERENCE))
}

fn published_in(reference: &Path) -> anyhow::Result<PathBuf> {
    weights_of::published(reference, "alexnet", "predictions", TENSORS).with_context(|| {
        format!(
            "{}: no {TENSORS} is published here; name a file with --weights (torchvision's alexnet will \
             do), or train a network with `alexnet run predictions` and name its {TENSORS}",
            reference.join("alexnet").display()
        )
    })
}

/// A picture's guesses as text: its name, then a line a class with probability, bar and name.
fn shown(image: &Path, guesses: &[Guess]) -> String {
    let mut text = format!("{}\n", image.display());
    for Guess { index, class, probability } in guesses {
        let name = class.clone().unwrap_or_else(|| format!("class {index}"));
        let bar = bar(*probability);
        writeln!(text, "  {:5.1} %  {bar:BAR$}  {name}", 100.0 * probability)
            .expect("writing into a string does not fail");
    }
    text
}

/// Characters of a bar that means 1.
const BAR: usize = 30;

/// A bar as long as its share of [`BAR`], to an eighth of a character.
fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (8 * BAR) as f64).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + part
}

impl Predictor {
    /// The network whose weights are in `path`; `index` names ImageNet's classes if it has these.
    ///
    /// # Errors
    /// Weights of another network; as many names as classes are not there.
    pub fn open(
        path: &Path,
        index: impl FnOnce() -> anyhow::Result<Option<ClassIndex>>,
    ) -> anyhow::Result<Self> {
        if Card::beside(path).is_file() {
            return Ok(Self::ours(weights::read(path, Device::Cpu)?));
        }
        let (_, net) = torchvision(path, Device::Cpu)?;
        let classes = net.config().classes;
        let index = if classes == CLASSES { index()? } else { None };
        Ok(Self {
            net,
            classes: index.map(|index| index.names()),
            preparation: Preparation::Torchvision,
            about: format!("torchvision's alexnet, {classes} classes"),
        })
    }

    fn ours(Trained { net, card, mean }: Trained) -> Self {
        let about = format!(
            "trained on {} by {}, {} classes, {:.1} % top-1 error on its test pictures",
            card.origin.data,
            card.origin.run,
            card.classes.len(),
            100.0 * card.origin.top1_error
        );
        let classes = Some(card.classes.clone());
        Self { net, classes, preparation: Preparation::Ours { mean, card: Box::new(card) }, about }
    }

    /// The network's input for a picture, `[1, 3, S, S]`.
    pub fn input(&self, picture: &RgbImage) -> Tensor {
        match &self.preparation {
            Preparation::Ours { mean, card } => {
                input::ours(picture, mean, card.preprocessing, card.network.crop)
            }
            Preparation::Torchvision => input::torchvision(picture),
        }
    }

    /// Scores `[N, classes]` of inputs `[N, 3, S, S]`.
    pub fn scores(&self, xs: &Tensor) -> Tensor {
        tch::no_grad(|| self.net.forward(xs, false, &Probe::off()))
    }

    /// The `top` most probable classes of a picture, the first the most probable; all where there are fewer.
    pub fn guesses(&self, picture: &RgbImage, top: usize) -> Vec<Guess> {
        let scores = self.scores(&self.input(picture)); // [1, classes]
        let p = scores.to_kind(Kind::Double).softmax(-1, Kind::Double).squeeze_dim(0); // [classes]
        let (p, order) = p.sort(0, true);
        let top = (top as i64).min(p.size()[0]);
        let guess = |i| {
            let index = order.int64_value(&[i]);
            let class = self.classes.as_ref().map(|names| names[index as usize].clone());
            Guess { index, class, probability: p.double_value(&[i]) }
        };
        (0..top).map(guess).collect()
    }
}

/// torchvision's network with the weights in `path`, on `device`.
///
/// # Errors
/// Weights of another network.
pub(crate) fn torchvision(path: &Path, device: Device) -> anyhow::Result<(VarStore, AlexNet)> {
    let state = StateDict::read(path)?;
    if state.get("features.0.weight").is_none() {
        let card = Card::beside(path);
        let bare = state.get("conv1.weight").is_some();
        ensure!(
            !bare,
            "{}: weights of ours without {}, which says what they are for; copy it too",
            path.display(),
            card.display()
        );
        bail!(
            "{}: found neither features.0.weight, with which torchvision's alexnet begins, nor \
             conv1.weight, with which ours does",
            path.display()
        );
    }
    // A net that was fitted to other classes has as many as its last layer says.
    let last = state.get("classifier.6.bias").map(Tensor::size);
    let classes = match last.as_deref() {
        Some(&[classes]) => classes,
        _ => CLASSES, // what is wrong is said below
    };
    let cfg = NetworkConfig { classes, ..NetworkConfig::torchvision() };
    let vs = VarStore::new(device);
    let net = AlexNet::new(&vs.root(), &cfg);
    state.load_into(&vs, name_in_torchvision)?;
    Ok((vs, net))
}

/// `conv1.weight` is `features.0.weight` in torchvision's file.
fn name_in_torchvision(ours: &str) -> String {
    let known = TORCHVISION.iter().find_map(|(layer, theirs)| {
        Some(format!("{theirs}{}", ours.strip_prefix(layer).filter(|rest| rest.starts_with('.'))?))
    });
    known.expect("every layer of the network is in the list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(1.0).chars().count(), BAR);
        assert_eq!(bar(0.5), "█".repeat(BAR / 2));
        assert_eq!(
            (bar(0.0), bar(1.0 / 240.0), bar(9.0 / 240.0)),
            (String::new(), "▏".into(), "█▏".into())
        );
    }

    #[test]
    fn the_published_weights_are_those_of_the_largest_preset_or_the_error_says_how_to_get_some() {
        let folder = tempfile::tempdir().unwrap();
        let error = published_in(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("--weights") && error.contains("alexnet run predictions"),
            "{error}"
        );
        let put = |preset: &str| {
            let run = format!("alexnet/{preset}/predictions/imagenette-128/base/seed-0");
            let path = folder.path().join(run).join(TENSORS);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"").unwrap();
            path
        };
        let laptop = put("laptop");
        assert_eq!(published_in(folder.path()).unwrap(), laptop);
        let overnight = put("overnight");
        assert_eq!(published_in(folder.path()).unwrap(), overnight);
    }
}
