//! How small the finished networks make a text, beside the usual compressors: reviews they have not seen, and prose that
//! is nothing like a review. Ours; the published rows are those of enwik8.
//!
//! A network's size is computed, not only predicted: a piece of each text is packed by the arithmetic coder and unpacked
//! again. enwik8, enwik9 and text8 are packed whole by the usual compressors where they are at hand: it takes them
//! minutes, and a network days. No registry has the latter two: they are taken from the user's own folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::data::catalog::Catalog;
use common::data::error::DataError;
use common::data::lookup::{Located, Lookup, Status};
use common::data::sha256_file;
use common::data::text::input::each_file;
use common::data::text::shards::Part;
use common::device::Precision;
use common::experiment::{Drawings, Finished};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::run::{RunRecord, hex};
use ledger::stats::{Estimate, Scale, mean_over_seeds, paired_ratio};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::networks::{Model, load, look, networks, only_row};
use super::{language_model, shards};
use crate::compress::baselines;
use crate::compress::coder::code_length;
use crate::compress::container::{pack, unpack};
use crate::compress::predictor::NeuronPredictor;
use crate::figures;
use crate::train::bits_per_byte;

/// Its name.
pub const STUDY: &str = "compression";
/// Prose, small enough to be fetched; what the published rows are about.
pub const DATASETS: [&str; 2] = ["moby-dick", "enwik8"];
/// The test shard of the text that a network learned, in paths.
const HELD_OUT: &str = "held-out-reviews";
/// The first set of the published rows, the only one that can be fetched.
const ENWIK8: &str = "enwik8";
/// The variant of the runs on them.
const USUAL: &str = "usual-compressors";

/// xz at its default level, in which one of the rows was published.
const XZ_6: &str = "xz-6";

/// A file that the published rows are about.
struct Benchmark {
    name: &'static str,
    bytes: f64,
    /// Of all of it, in hex.
    md5: &'static str,
    /// Rows in bits per byte, and the compressor of each.
    bits: &'static [(&'static str, &'static str)],
    /// Rows in per cent of the file's size.
    percent: &'static [(&'static str, &'static str)],
    /// The row that says which file it is.
    identity: Option<&'static str>,
}

/// Source of the sums: mattmahoney.net/dc/textdata.html.
const BENCHMARKS: [Benchmark; 3] = [
    Benchmark {
        name: ENWIK8,
        bytes: 1e8,
        md5: "a1fa5ffddb56f4953e226637dabbb36a",
        bits: &[
            ("enwik8-01", "gzip"),
            ("enwik8-02", "bzip2"),
            ("enwik8-03", "xz"),
            ("enwik8-06", "zstd"),
        ],
        percent: &[],
        identity: Some("enwik8-md5"),
    },
    Benchmark {
        name: "enwik9",
        bytes: 1e9,
        md5: "e206c3450ac99950df65bf70ef61a12d",
        bits: &[("enwik9-01", "gzip"), ("enwik9-02", XZ_6)],
        percent: &[("lmc-04", "gzip"), ("lmc-05", "xz")],
        identity: None,
    },
    Benchmark {
        name: "text8",
        bytes: 1e8,
        md5: "3bea1919949baf155f99411df5fada7e",
        bits: &[],
        percent: &[],
        identity: Some("text8-md5"),
    },
];

/// `[compression]` of a preset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Texts besides held-out reviews; those that cannot be had are left out with a warning.
    pub texts: Vec<String>,
    /// Bytes from the middle of each text that every compressor gets.
    pub bytes: usize,
    /// Of these, the first so many are packed and unpacked.
    pub coded_bytes: usize,
}

/// One run's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
enum RunConfig {
    /// A network and the usual compressors on a piece of text.
    Piece(PieceConfig),
    /// The usual compressors on a whole file.
    Whole { data_sha256: String },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PieceConfig {
    model: Model,
    /// Training shards of the text that the network learned; its test shard is one of the texts.
    shards: usize,
    text: Option<PathBuf>,
    /// Of the shards, or of the text's file.
    data_sha256: String,
    bytes: usize,
    coded_bytes: usize,
}

/// Packs every text with every finished network, and enwik8 without one.
///
/// # Errors
/// A network that is not trained; a damaged text; a run that fails.
pub fn run(session: &Session) -> anyhow::Result<()> {
    let Preset { texts, bytes, coded_bytes } = session.preset::<super::Preset>()?.compression;
    ensure!(
        bytes >= coded_bytes && coded_bytes > 1,
        "preset {}: compression wants bytes >= coded_bytes > 1; found {bytes} and {coded_bytes}",
        session.preset
    );
    let mut found = Vec::new();
    for name in &texts {
        match Catalog::builtin().locate(name, &session.lookup) {
            Ok(located) => found.push((name.clone(), file_of(&located)?.1)),
            Err(error @ DataError::Unavailable { .. }) => tracing::warn!("left out: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    let mut plans = Vec::new();
    let (name, reviews) = language_model::text(session)?;
    for (model, _) in networks(session)? {
        let held_out = Some((HELD_OUT.to_owned(), reviews.sha256.clone()));
        // The published network may have learned reviews that are not at hand; others are not what it is judged by.
        let held_out = held_out.filter(|_| model.data == name);
        for (data, data_sha256) in held_out.into_iter().chain(found.iter().cloned()) {
            let (model, shards, text) = (model.clone(), reviews.shards, reviews.own.clone());
            let (variant, seed) = (model.name(), model.seed);
            let config = PieceConfig { model, shards, text, data_sha256, bytes, coded_bytes };
            let config = RunConfig::Piece(config);
            plans.push(Plan { data, variant, seed, config: serde_json::to_value(config)? });
        }
    }
    for Benchmark { name, .. } in BENCHMARKS {
        let Some(path) = benchmark_file(name, &session.lookup)? else {
            let way = if name == ENWIK8 {
                format!("`sentiment-neuron data {ENWIK8}` fetches it")
            } else {
                format!("put the unpacked {name} in a folder and name it with --data DIR")
            };
            tracing::info!("{name} is not on this machine, so its rows are not measured; {way}");
            continue;
        };
        let config = RunConfig::Whole { data_sha256: sha256_file(&path)? };
        let (data, variant) = (name.to_owned(), USUAL.to_owned());
        plans.push(Plan { data, variant, seed: 0, config: serde_json::to_value(config)? });
    }
    look(session, STUDY, plans)
}

/// Where a [`Benchmark`] is, if it is here: in the catalogue's places, or by its name in the user's folder.
fn benchmark_file(name: &str, lookup: &Lookup) -> anyhow::Result<Option<PathBuf>> {
    if name == ENWIK8 {
        return Ok(match Catalog::builtin().check(name, lookup)? {
            Status::Here(located) => Some(file_of(&located)?.0.to_owned()),
            Status::Missing { .. } => None,
        });
    }
    let names = ["", ".gz", ".xz", ".bz2"].map(|packed| format!("{name}{packed}"));
    let paths = lookup.data_dir.iter().flat_map(|dir| names.iter().map(|name| dir.join(name)));
    Ok(paths.into_iter().find(|path| path.is_file()))
}

/// The one file of a text, and its sum.
fn file_of(located: &Located) -> anyhow::Result<(&Path, String)> {
    let name = &located.name;
    let file = located.files.first().with_context(|| format!("{name}: a text has one file"))?;
    Ok((&file.path, sha256_file(&file.path)?))
}

/// All of a text, unpacked; checks that it is the planned one.
fn content(spec: &Spec, data_sha256: &str) -> anyhow::Result<Vec<u8>> {
    let name = &spec.key.data;
    let located = Catalog::builtin().locate(name, &spec.lookup)?;
    planned_content(name, file_of(&located)?.0, data_sha256)
}

/// All of the text in `path`, unpacked; checks that it is the planned one.
fn planned_content(name: &str, path: &Path, data_sha256: &str) -> anyhow::Result<Vec<u8>> {
    let found = sha256_file(path)?;
    ensure!(found == data_sha256, "{name}: the data changed since the run was planned");
    let mut content = Vec::new();
    each_file(path, &|_| true, &mut |lines| {
        content.extend(lines.rest()?);
        Ok(())
    })?;
    Ok(content)
}

/// One text, in a process of its own.
///
/// # Errors
/// Data or weights that cannot be read; a coder that does not give back what it was given.
pub fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let ended = match spec.config()? {
        RunConfig::Piece(config) => piece(spec, run, config)?,
        RunConfig::Whole { data_sha256 } => whole(spec, &data_sha256)?,
    };
    only_row(run, ended)
}

/// The usual compressors on one of the [`BENCHMARKS`].
fn whole(spec: &Spec, data_sha256: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let name = spec.key.data.as_str();
    let path = benchmark_file(name, &spec.lookup)?
        .with_context(|| format!("{name}: not where it was when the run was planned"))?;
    let content = planned_content(name, &path, data_sha256)?;
    let wanted = BENCHMARKS.iter().find(|benchmark| benchmark.name == name);
    let wanted = wanted.with_context(|| format!("{name}: no published row is about it"))?;
    let found = hex(&Md5::digest(&content));
    ensure!(
        found == wanted.md5,
        "{}: its content has the md5 {found}, wanted {}; this is not {name}, fetch it again",
        path.display(),
        wanted.md5
    );
    let mut ended = usual(&content)?;
    if wanted.bits.iter().any(|&(_, name)| name == XZ_6) {
        let bits = 8.0 * baselines::xz(&content, 6)? as f64 / content.len() as f64;
        ended.insert(format!("{XZ_6}/bpb"), bits);
    }
    Ok(ended)
}

/// A network and the usual compressors on a piece of the text.
fn piece(
    spec: &Spec,
    run: &TrainingRun,
    config: PieceConfig,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let PieceConfig { model, shards: n, text, data_sha256, bytes, coded_bytes } = config;
    let whole = if spec.key.data == HELD_OUT {
        let shards = shards(&model.data, text.as_deref(), n, spec)?;
        ensure!(
            shards.sha256 == data_sha256,
            "{}: the text changed since the run was planned",
            model.data
        );
        shards.read(Part::Test)?
    } else {
        content(spec, &data_sha256)?
    };
    let piece = middle(&whole, bytes);
    let mut ended = usual(piece)?;

    let neuron = load(spec, &model, run)?;
    // As the coder computes, whatever the run's precision is.
    let exact = || Precision::Fp32.autocast(run.device());
    ended.insert("network/bpb".to_owned(), bits_per_byte(&neuron, piece, piece.len(), &exact)?);
    let coded = &piece[..coded_bytes.min(piece.len())];
    let mut predictor = NeuronPredictor::new(&neuron)?;
    let packed = pack(&mut predictor, coded)?;
    ensure!(
        unpack(&mut predictor, &packed)? == coded,
        "{}: what was packed is not what came back",
        spec.key.data
    );
    let per_byte = |bits: f64| bits / coded.len() as f64;
    ended.insert("coded/bytes".to_owned(), coded.len() as f64);
    ended.insert("coded/bpb".to_owned(), per_byte(8.0 * packed.len() as f64));
    ended.insert("coded/entropy".to_owned(), per_byte(code_length(&mut predictor, coded)?));
    Ok(ended)
}

/// Bits per byte of the usual compressors.
fn usual(content: &[u8]) -> anyhow::Result<BTreeMap<String, f64>> {
    let n = content.len().max(1) as f64;
    let sizes = baselines::sizes(content)?;
    let bits = sizes.map(|(name, size)| (format!("{name}/bpb"), 8.0 * size as f64 / n));
    Ok(bits.into_iter().chain([("bytes".to_owned(), content.len() as f64)]).collect())
}

/// `bytes` from the middle of a text: its beginning may be a licence.
fn middle(text: &[u8], bytes: usize) -> &[u8] {
    let n = bytes.min(text.len());
    &text[(text.len() - n) / 2..][..n]
}

/// A finished run on a piece of text.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) hidden: i64,
    pub(crate) seed: u64,
    pub(crate) bytes: f64,
    pub(crate) network: f64,
    /// Of gzip, bzip2, xz and zstd.
    pub(crate) usual: [f64; 4],
}

/// The usual compressors by their names in the run's numbers.
pub(crate) const NAMES: [&str; 4] = ["gzip", "bzip2", "xz", "zstd"];

fn pieces(finished: &Finished) -> anyhow::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for (_, record) in &finished.runs {
        let RunConfig::Piece(PieceConfig { model, .. }) = RunConfig::deserialize(&record.config)?
        else {
            continue;
        };
        let mut usual = [0.0; 4];
        for (bits, name) in usual.iter_mut().zip(NAMES) {
            *bits = record.ended_with(&format!("{name}/bpb"))?;
        }
        pieces.push(Piece {
            text: record.key.data.clone(),
            hidden: model.hidden,
            seed: model.seed,
            bytes: record.ended_with("bytes")?,
            network: record.ended_with("network/bpb")?,
            usual,
        });
    }
    pieces.sort_by_key(|p| (p.text != HELD_OUT, p.text.clone(), p.hidden, p.seed));
    Ok(pieces)
}

/// The widest network's bits per byte over those of the best usual compressor on each text, and the published rows.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let pieces = pieces(finished)?;
    let mut rows = Vec::new();
    let texts: BTreeMap<&str, i64> = pieces.iter().map(|p| (p.text.as_str(), p.hidden)).collect();
    for (text, widest) in texts {
        let of_text = pieces.iter().filter(|p| p.text == text && p.hidden == widest);
        let best = |p: &Piece| p.usual.iter().copied().fold(f64::INFINITY, f64::min);
        let (network, usual): (Vec<f64>, Vec<f64>) = of_text.map(|p| (p.network, best(p))).unzip();
        let ratio = paired_ratio(&network, &usual)?;
        rows.push(finished.measured(&format!("network-over-usual-{text}"), text, ratio));
        if text == HELD_OUT {
            let bits = mean_over_seeds(&network, Scale::Log)?;
            rows.push(finished.measured("network-bpb-held-out-reviews", text, bits));
        }
    }
    for (_, record) in finished.runs.iter().filter(|(_, record)| record.key.variant == USUAL) {
        rows.extend(published(finished, record)?);
    }
    Ok(rows)
}

/// The published rows that a run on one of the [`BENCHMARKS`] measures.
fn published(finished: &Finished, record: &RunRecord) -> anyhow::Result<Vec<Measured>> {
    let data = record.key.data.as_str();
    let Some(benchmark) = BENCHMARKS.iter().find(|benchmark| benchmark.name == data) else {
        return Ok(Vec::new());
    };
    let bytes = record.ended_with("bytes")?;
    let bits = |name: &str| record.ended_with(&format!("{name}/bpb"));
    let mut found: Vec<(&str, f64)> =
        benchmark.identity.map(|id| (id, bytes)).into_iter().collect();
    for &(id, name) in benchmark.bits {
        found.push((id, bits(name)?));
    }
    for &(id, name) in benchmark.percent {
        found.push((id, 100.0 * bits(name)? / 8.0));
    }
    let protocol_ok = (bytes - benchmark.bytes).abs() < 0.5;
    let row = |(id, value)| {
        let row = finished.measured(id, data, Estimate::certain(value));
        Measured { protocol_ok, ..row }
    };
    Ok(found.into_iter().map(row).collect())
}

/// Bits per byte of all on each text.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let pieces = pieces(finished)?;
    if pieces.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![("bits-per-byte".to_owned(), figures::compression::draw(&pieces))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_comes_from_the_middle() {
        let text: Vec<u8> = (0..100).collect();
        assert_eq!(middle(&text, 10), (45..55).collect::<Vec<u8>>());
        assert_eq!(middle(&text, 1000), text);
    }

    #[test]
    fn a_benchmark_is_found_in_the_users_folder_packed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let lookup = Lookup {
            data_dir: Some(dir.path().to_owned()),
            data_dir_is_flag: true,
            ..Lookup::in_cache(dir.path().join("cache"))
        };
        assert_eq!(benchmark_file("text8", &lookup).unwrap(), None);
        for name in ["text8.xz", "text8"] {
            let path = dir.path().join(name);
            std::fs::write(&path, b"anarchism").unwrap();
            assert_eq!(benchmark_file("text8", &lookup).unwrap(), Some(path));
        }
    }

    #[test]
    fn the_usual_compressors_are_named_as_the_figure_names_them() {
        let found: Vec<String> = usual(b"some text some text").unwrap().into_keys().collect();
        for name in NAMES {
            assert!(found.contains(&format!("{name}/bpb")), "{found:?}");
        }
    }
}
