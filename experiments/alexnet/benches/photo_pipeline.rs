//! Times the image pipeline: files or a prepared set to batches of 224×224 views as tensors, by the real
//! loader. Prints one JSON object. `bench/photos` sets it beside torchvision.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use common::data::image_folder::ImageFolder;
use common::data::photos::{
    Centring, MeanAt, Part, PhotosError, Pictures, PrepareOptions, PreparedSet, Source, SplitName,
    TrainBatches, TrainView, decode, prepare, square,
};
use common::data::sampler::LastBatch;
use common::device::configure_threads;
use common::shim;
use tch::Device;

mod processor;

use processor::processor_s;

#[derive(Parser)]
struct Args {
    /// A folder with train/<class>/<picture>
    #[arg(long)]
    folder: PathBuf,
    /// The prepared file to read, made if it is not there; without it, every file is decoded when needed
    #[arg(long)]
    prepared: Option<PathBuf>,
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Threads of the loader
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds to time, after half as many to warm up
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rows and columns of a picture, and of a view (the paper's).
const SIDE: usize = 256;
const CROP: usize = 224;

/// Files that are decoded each time they are needed.
struct Files(ImageFolder);

impl Pictures for Files {
    fn n(&self) -> usize {
        self.0.pictures.len()
    }

    fn side(&self) -> usize {
        SIDE
    }

    fn channels(&self) -> usize {
        3
    }

    fn label(&self, i: usize) -> u32 {
        self.0.pictures[i].0
    }

    fn picture<'a>(&'a self, i: usize, room: &'a mut Vec<u8>) -> Result<&'a [u8], PhotosError> {
        let picture = decode(&self.0.read(i)?).expect("the pictures of the sample are whole");
        room.resize(SIDE * SIDE * 3, 0);
        square(&picture, SIDE, room);
        Ok(room)
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    configure_threads(1);
    shim::keep_memory(); // as a training process does
    let part = if let Some(out) = &args.prepared {
        let options = PrepareOptions { side: SIDE, skip_corrupt: false, threads: 2 };
        prepare(&Source::new(&args.folder, None), out, &options)?;
        Arc::new(PreparedSet::open(out)?).part(SplitName::Train)?
    } else {
        let files = Files(ImageFolder::open(&args.folder.join("train"))?);
        let n = files.n();
        Part::new(Arc::new(files), 0..n)?
    };
    let mean = vec![118.0; SIDE * SIDE * 3];
    let centring = Centring::new(mean, SIDE, 3, MeanAt::Position, 58.0)?;
    let view = TrainView { crop: CROP, crops: true, mirror: true, colour: None };
    let last = LastBatch::Drop;
    let batches = TrainBatches::new(part, centring, view, None, 0, args.batch, last)?;
    let loader = Arc::new(batches).loader(0..u64::MAX, args.threads, 2 * args.threads);

    let (mut begun, mut cpu, mut timed, mut pictures) = (Instant::now(), processor_s()?, false, 0);
    for batch in loader {
        let batch = batch?;
        let (xs, _ys) = batch.tensors(Device::Cpu);
        anyhow::ensure!(xs.size()[0] as usize == args.batch);
        pictures += batch.len();
        let elapsed = begun.elapsed().as_secs_f64();
        if !timed && elapsed > args.seconds / 2.0 {
            (timed, begun, cpu, pictures) = (true, Instant::now(), processor_s()?, 0);
        } else if timed && elapsed > args.seconds {
            let rates = serde_json::json!({
                "images_per_s": pictures as f64 / elapsed,
                "images_per_core_s": pictures as f64 / (processor_s()? - cpu),
            });
            println!("{rates}");
            break;
        }
    }
    Ok(())
}
