//! The base: a small language model of books, trained here while none is published.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::ensure;
use common::data::text::books::Part;
use common::data::token_corpus::TokenCorpus;
use common::nn::transformer::{NormPlace, Transformer, TransformerConfig};
use common::rng;
use common::training_run::{Spec, TrainingRun};
use common::weights::decoder::{Decoder, Stored};
use tch::Tensor;
use tch::nn::VarStore;

use super::{Books, RunConfig, Shape, windows};
use crate::language::{self, Text};
use crate::weights::kept;

pub(super) fn train(
    spec: &Spec,
    config: &RunConfig,
    books: &Books,
    shape: &Shape,
    cfg: &language::Config,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let shelf = books.shelf(Some(&spec.key.data), &spec.lookup)?;
    let corpus = Arc::new(books.corpus(&shelf, &spec.lookup)?);
    ensure!(
        corpus.sha256 == config.data_sha256,
        "{}: the books changed since the run was planned",
        spec.key.data
    );
    let shape = TransformerConfig {
        vocab: corpus.tokenizer.vocab_size() as i64,
        context: shape.context,
        n_layers: shape.n_layers,
        n_heads: shape.n_heads,
        d_model: shape.d_model,
        norm: NormPlace::Post,
        bias: true,
        residual_dropout: 0.0,
        embedding_dropout: 0.0,
        attention_dropout: 0.0,
        init_std: 0.02,
    };
    let seed = spec.key.seed;
    rng::seed_torch(seed, "initial weights", 0);
    let vs = VarStore::new(run.device());
    let net = Transformer::new(&vs.root(), &shape);
    let own = windows(&corpus, Part::Train, cfg.length)?;
    let n = own.len();
    ensure!(n >= cfg.batch, "the books make {n} windows, a batch takes {}", cfg.batch);
    let sampler = own.sampler(seed, cfg.batch);
    let text = Text {
        train: &|step| own.batch(seed, &sampler, step),
        val: &spread(&corpus, Part::Val, cfg.length, cfg.val_windows)?,
        test: &spread(&corpus, Part::Test, cfg.length, cfg.val_windows)?,
    };
    let ended = language::train(seed, cfg, &vs, &net, &text, run)?;
    Decoder::of(&vs, "", &shape).write(&kept(spec), &corpus.tokenizer, Stored::Full)?;
    Ok(ended)
}

/// At most `most` windows of a part, evenly spread, in batches.
pub(super) fn spread(
    corpus: &Arc<TokenCorpus>,
    part: Part,
    length: usize,
    most: usize,
) -> anyhow::Result<Vec<Tensor>> {
    const AT_ONCE: usize = 16;
    let windows = windows(corpus, part, length)?;
    let n = most.min(windows.len());
    let places: Vec<usize> = (0..n).map(|i| i * windows.len() / n).collect();
    Ok(places.chunks(AT_ONCE).map(|some| windows.at(some)).collect())
}
