//! Finished runs as rows of one table: what `collect` writes and what fits are made of.

use std::path::{Path, PathBuf};

use common::nn::language_model::Shape;
use common::rows::{read_rows, write_rows};
use ledger::run::{RunRecord, Status, run_folders};
use serde::{Deserialize, Serialize};

use crate::counts;
use crate::fit::Point;
use crate::runs::RunConfig;
use crate::text::file;

/// A finished run. `README.md` has a table of the columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The study that made it.
    pub study: String,
    /// The text.
    pub data: String,
    /// What is varied within the study.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// `transformer` or `lstm`.
    pub model: String,
    /// Blocks; 1 for an LSTM.
    pub n_layers: u64,
    /// Channels.
    pub d_model: u64,
    /// Tokens that a window predicts.
    pub context: u64,
    /// Tokens in the vocabulary.
    pub vocab: u64,
    /// Non-embedding parameters, as Kaplan counts them.
    pub params: f64,
    /// The same with the token embedding, as Hoffmann counts them.
    pub params_with_embedding: f64,
    /// Tokens read.
    pub tokens: f64,
    /// Different tokens read: fewer where text was repeated.
    pub unique_tokens: f64,
    /// Tokens of an update.
    pub batch_tokens: f64,
    /// Updates.
    pub steps: u64,
    /// The highest rate.
    pub lr: f64,
    /// Training FLOPs, `6·params·tokens` (Kaplan).
    pub flops: f64,
    /// Training FLOPs with embedding, logits and attention (Hoffmann).
    pub flops_all: f64,
    /// Nats per token on the test part, read once.
    pub loss: f64,
    /// Nats per token on the validation part, last look.
    pub val_loss: f64,
    /// The lowest of its looks.
    pub val_lowest: f64,
    /// Bits per byte on the test part.
    pub bits_per_byte: f64,
    /// Seconds.
    pub elapsed_s: f64,
}

impl Row {
    /// The row of a finished run; None for runs that trained nothing.
    pub fn of(record: &RunRecord) -> Option<Self> {
        let RunConfig { train, .. } = RunConfig::deserialize(&record.config).ok()?;
        let metric = |name: &str| record.metrics.get(name).copied();
        let shape = counts::Shape::of(&train.shape);
        let tokens = metric("tokens")?;
        Some(Self {
            study: record.key.study.clone(),
            data: record.key.data.clone(),
            variant: record.key.variant.clone(),
            seed: record.key.seed,
            model: match train.shape {
                Shape::Transformer(_) => "transformer".to_owned(),
                Shape::Lstm(_) => "lstm".to_owned(),
            },
            n_layers: shape.n_layers,
            d_model: shape.d_model,
            context: shape.n_ctx,
            vocab: shape.vocab,
            params: shape.kaplan_params() as f64,
            params_with_embedding: shape.hoffmann_params() as f64,
            tokens,
            unique_tokens: train.unique.map_or(tokens, |unique| tokens.min(unique as f64)),
            batch_tokens: train.tokens_per_step(),
            steps: (tokens / train.tokens_per_step()).round() as u64,
            lr: train.lr,
            flops: shape.kaplan_flops(tokens),
            flops_all: shape.hoffmann_flops(tokens),
            loss: metric("test/loss")?,
            val_loss: metric("val/loss")?,
            val_lowest: metric("val/lowest")?,
            bits_per_byte: metric("test/bits_per_byte")?,
            elapsed_s: record.elapsed_s,
        })
    }

    /// Parameters and tokens with the test loss, both counted as Kaplan does.
    pub fn point(&self) -> Point {
        Point { x: self.params, y: self.tokens, loss: self.loss }
    }

    /// The same with the embedding in the parameters, as Hoffmann counts.
    pub fn point_with_embedding(&self) -> Point {
        Point { x: self.params_with_embedding, ..self.point() }
    }
}

/// The file of rows in the folder of a run that reads others, without ending.
const ROWS: &str = "runs";

/// Writes the rows that a run reads into its folder.
///
/// # Errors
/// A file that cannot be written.
pub fn write(folder: &Path, rows: &[Row]) -> anyhow::Result<()> {
    write_rows(&file(folder, ROWS), rows)
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// A file that cannot be read.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Row>> {
    read_rows(&file(folder, ROWS))
}

/// A run that `collect` leaves out.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its folder.
    pub folder: PathBuf,
    /// Why.
    pub why: String,
}

/// The rows of all finished trainings below `root`, and what was left out: damaged and unfinished
/// runs.
///
/// # Errors
/// A folder that cannot be listed.
pub fn collect(root: &Path) -> anyhow::Result<(Vec<Row>, Vec<LeftOut>)> {
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for folder in run_folders(root, None)? {
        let mut leave = |why: String| left_out.push(LeftOut { folder: folder.clone(), why });
        match RunRecord::read(&folder) {
            Err(error) => leave(error.to_string()),
            Ok(None) => {}
            Ok(Some(record)) if record.status != Status::Complete => {
                leave("not finished; `run --resume` goes on with it".to_owned());
            }
            Ok(Some(record)) => match Row::of(&record) {
                Some(row) => rows.push(row),
                // Runs that only read others have no training to tell of.
                None if record.config.get("train").is_none() => {}
                None => leave("a finished training without its losses".to_owned()),
            },
        }
    }
    rows.sort_by(|a, b| {
        (&a.study, &a.data, &a.variant, a.seed).cmp(&(&b.study, &b.data, &b.variant, b.seed))
    });
    Ok((rows, left_out))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of nothing in particular.
    pub(crate) fn row() -> Row {
        Row {
            study: "joint-fit".into(),
            data: "enwik8".into(),
            variant: "l2-d16-t5M-b16".into(),
            seed: 0,
            model: "transformer".into(),
            n_layers: 2,
            d_model: 16,
            context: 64,
            vocab: 256,
            params: 6144.0,
            params_with_embedding: 10_240.0,
            tokens: 5e6,
            unique_tokens: 5e6,
            batch_tokens: 1024.0,
            steps: 4883,
            lr: 0.01,
            flops: 1.8e11,
            flops_all: 3e11,
            loss: 1.9,
            val_loss: 1.9,
            val_lowest: 1.9,
            bits_per_byte: 2.7,
            elapsed_s: 60.0,
        }
    }

    #[test]
    fn rows_come_back_from_a_runs_folder_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let rows = vec![row(), Row { seed: 1, loss: 1.0 / 3.0, ..row() }];
        write(folder.path(), &rows).unwrap();
        assert_eq!(read(folder.path()).unwrap(), rows);
    }
}
