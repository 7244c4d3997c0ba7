//! `alexnet evaluate`: what a network gets wrong on labelled pictures, with one view of each and with ten.
//!
//! With our own weights, or with those of torchvision's `alexnet`. Its preparation is levels from 0 to 1, less a
//! mean and over a deviation for each colour; here the deviations are folded into the first layer's weights, so
//! that the network takes levels of 0–255 less their mean, as ours do. The centre view is torchvision's to the pixel;
//! for the other nine, of which torchvision has no standard, the corners are those of the square around it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use common::cli::{self, Places};
use common::data::catalog::Catalog;
use common::data::image_folder::ImageFolder;
use common::data::lookup::Lookup;
use common::data::photos::{
    Centring, FolderPictures, MeanAt, Part, Pictures as _, Source, Square, TestBatches, TestView,
    square,
};
use common::device::{DeviceChoice, Precision, configure_threads, threads};
use common::shim::Autocast;
use serde::Serialize;
use tch::{Device, Tensor};

use crate::loss::Loss;
use crate::network::AlexNet;
use crate::photographs::eval::{self, Judged};
use crate::predict::{MEAN, SHORT, STD, published, torchvision, torchvision_square};
use crate::weights::{self, Card, Trained};

/// Flags of `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Weights of a run of ours (weights.safetensors) or of torchvision's alexnet (.safetensors, .pth)
    /// [default: the published small weights in results/reference]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:<index>
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// Threads [default: `OMP_NUM_THREADS`, else the available cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    /// A folder with val/<class>/<picture> [default: the test pictures of the set that our weights were trained on]
    pub places: Places,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Line<'a> {
    weights: String,
    pictures: usize,
    one_view: &'a eval::Errors,
    ten_views: &'a eval::Errors,
}

/// A network to be judged.
#[derive(Debug)]
pub struct Model {
    net: AlexNet,
    device: Device,
    /// Taken off the levels, `[side, side, 3]`.
    mean: Vec<f32>,
    side: usize,
    /// How a picture is brought to it.
    square: Square,
    /// Multiplies levels less their mean.
    scale: f64,
    /// Outputs.
    classes: usize,
    /// The data set that it was trained on, where it is one of the catalogue's.
    data: Option<String>,
}

/// Pictures in a batch, views counted.
const VIEWS: usize = 250;
/// Batches made ahead of the one in use.
const AHEAD: usize = 3;

/// Carries out `evaluate`.
///
/// # Errors
/// Weights that are not there or do not fit; pictures that are not there, cannot be read or are of other classes.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    common::interrupt::install()?;
    let device = args.device.parse::<DeviceChoice>()?.resolve()?;
    let threads = threads(args.threads)?;
    configure_threads(threads);
    let path = match &args.weights {
        Some(path) => path.clone(),
        None => published()?,
    };
    let model = Model::open(&path, device)?;
    let part = model.pictures(&args.places.lookup()?)?;
    let n = part.n();
    tracing::info!("{}: {n} pictures of {} classes", path.display(), model.classes);
    let Judged { one, ten } = model.judge(&part, threads, &|| Precision::Fp32.autocast(device))?;
    let weights = path.display().to_string();
    let text = if args.json {
        let line = Line { weights, pictures: n, one_view: &one, ten_views: &ten };
        serde_json::to_string(&line)? + "\n"
    } else {
        let row = |name: &str, errors: &eval::Errors| {
            let [top1, top5] = [errors.top1, errors.top5].map(|error| 100.0 * error);
            format!(
                "{name:9}  top-1 error {top1:6.3} %  top-5 error {top5:6.3} %  loss {:.4} nats\n",
                errors.loss
            )
        };
        row("one view", &one) + &row("ten views", &ten)
    };
    Ok(cli::print(&text)?)
}

impl Model {
    /// The network whose weights are in `path`, on `device`.
    ///
    /// # Errors
    /// Weights of another network.
    pub fn open(path: &Path, device: Device) -> anyhow::Result<Self> {
        if Card::beside(path).is_file() {
            let Trained { net, card, mean } = weights::read(path, device)?;
            let Card { preprocessing, classes, origin, .. } = card;
            let (side, scale) = (preprocessing.side, preprocessing.scale);
            let (classes, data) = (classes.len(), Some(origin.data));
            return Ok(Self { net, device, mean, side, square, scale, classes, data });
        }
        let (vs, net) = torchvision(path, device)?;
        let stretch = Tensor::from_slice(&STD.map(|std| 1.0 / (255.0 * std))).to_device(device);
        let mut first = vs.variables()["conv1.weight"].shallow_clone(); // [64, 3, 11, 11]
        tch::no_grad(|| first.f_mul_(&stretch.reshape([1, 3, 1, 1])).map(|_| ()))?;
        let side = SHORT as usize;
        let mean = MEAN.map(|mean| 255.0 * mean).repeat(side * side);
        let classes = net.config().classes as usize;
        let square = torchvision_square;
        Ok(Self { net, device, mean, side, square, scale: 1.0, classes, data: None })
    }

    /// The user's pictures, or those that our weights were not trained on of their own set.
    ///
    /// # Errors
    /// Pictures that are not there or of other classes.
    pub fn pictures(&self, lookup: &Lookup) -> anyhow::Result<Part> {
        let folder = match (&lookup.data_dir, &self.data) {
            (Some(folder), _) => {
                let val = folder.join("val");
                ensure!(
                    val.is_dir(),
                    "{}: no folder val, wanted val/<class>/<picture>",
                    folder.display()
                );
                ImageFolder::open(&val)?
            }
            (None, Some(data)) => {
                let located = Catalog::builtin().locate(data, lookup)?;
                ImageFolder::open_tar_gz(&Source::located(&located)?.path, "val")?
            }
            (None, None) => anyhow::bail!(
                "--data: none, wanted a folder with val/<class>/<picture>: torchvision's weights are for ImageNet"
            ),
        };
        let found = folder.classes.len();
        ensure!(
            found == self.classes,
            "{}: found {found} class folders, wanted {}, one for each output in the order of their names",
            folder.root().display(),
            self.classes
        );
        let pictures = FolderPictures::new(folder, self.side, self.square);
        let n = pictures.n();
        Ok(Part::new(Arc::new(pictures), 0..n)?)
    }

    /// What the network gets wrong on the pictures of `part`, which `threads` make ready.
    ///
    /// # Errors
    /// Pictures of another size, or that cannot be read; an interrupt.
    pub fn judge(
        &self,
        part: &Part,
        threads: usize,
        autocast: &dyn Fn() -> Autocast,
    ) -> anyhow::Result<Judged> {
        let crop = self.net.config().crop as usize;
        let scale = (1.0 / self.scale) as f32;
        let of = |view: TestView| -> anyhow::Result<eval::Errors> {
            let centring = Centring::new(self.mean.clone(), self.side, 3, MeanAt::Position, scale)?;
            let batches =
                TestBatches::new(part.clone(), centring, crop, view, VIEWS / view.count())?;
            let batches = Arc::new(batches).loader(threads, AHEAD);
            let views = view.count() as i64;
            eval::errors(&self.net, Loss::Softmax, batches, views, self.device, autocast)
        };
        Ok(Judged { one: of(TestView::Centre)?, ten: of(TestView::Ten)? })
    }
}
