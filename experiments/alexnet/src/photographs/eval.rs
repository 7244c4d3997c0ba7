//! Errors of a network on photographs, over one view of each or the mean of several.

use common::data::loader::LoaderError;
use common::data::photos::Batch;
use common::nn::probe::Probe;
use common::shim::Autocast;
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use crate::loss::Loss;
use crate::network::AlexNet;

/// What a network gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Errors {
    /// Mean loss, nats.
    pub loss: f64,
    /// Fraction of the pictures whose right class is not the likeliest.
    pub top1: f64,
    /// Fraction of the pictures whose right class is not among the five likeliest.
    pub top5: f64,
}

/// What it gets wrong on test pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// With the centre view alone.
    pub one: Errors,
    /// With the mean of ten views.
    pub ten: Errors,
}

impl Judged {
    /// Names of its numbers in `metrics.csv`.
    pub const COLUMNS: [&str; 6] = [
        "test/loss",
        "test/top1_error",
        "test/top5_error",
        "test/ten_views_loss",
        "test/ten_views_top1_error",
        "test/ten_views_top5_error",
    ];

    /// Its numbers by name.
    pub fn row(&self) -> Vec<(&'static str, f64)> {
        let numbers = [self.one, self.ten].map(|e| [e.loss, e.top1, e.top5]).concat();
        Self::COLUMNS.into_iter().zip(numbers).collect()
    }
}

/// Sums over pictures.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: i64,
    loss: f64,
    right1: i64,
    right5: i64,
}

impl Sums {
    /// Adds pictures with class probabilities `p: [N, classes]` and labels `ys: [N]`.
    fn add(&mut self, loss: Loss, p: &Tensor, ys: &Tensor) {
        let (n, classes) = p.size2().expect("probabilities are [N, classes]");
        self.n += n;
        self.loss += loss.of_probabilities(p, ys);
        let ys = ys.unsqueeze(1); // [N, 1]
        let (_, best) = p.topk(classes.min(5), 1, true, true); // [N, 5]
        let hits = best.eq_tensor(&ys);
        let count = |hits: Tensor| hits.sum(Kind::Int64).int64_value(&[]);
        self.right1 += count(hits.select(1, 0));
        self.right5 += count(hits);
    }

    fn errors(&self) -> Errors {
        let n = self.n as f64;
        let [top1, top5] = [self.right1, self.right5].map(|right| (self.n - right) as f64 / n);
        Errors { loss: self.loss / n, top1, top5 }
    }
}

/// The errors of `net` on `batches` in which each picture has `views` views, one after the other; the
/// probabilities by `loss` are averaged over them.
///
/// # Errors
/// Pictures that cannot be read; an interrupt.
pub fn errors(
    net: &AlexNet,
    loss: Loss,
    batches: impl Iterator<Item = Result<Batch, LoaderError>>,
    views: i64,
    device: Device,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<Errors> {
    let mut sums = Sums::default();
    each(net, loss, batches, views, device, autocast, |p, ys| sums.add(loss, &p, &ys))?;
    Ok(sums.errors())
}

/// Class probabilities `[N, classes]` of all the pictures, and their labels `[N]`; views as for [`errors`].
///
/// # Errors
/// Pictures that cannot be read; an interrupt.
pub fn probabilities(
    net: &AlexNet,
    loss: Loss,
    batches: impl Iterator<Item = Result<Batch, LoaderError>>,
    views: i64,
    device: Device,
    autocast: &dyn Fn() -> Autocast,
) -> anyhow::Result<(Tensor, Tensor)> {
    let (mut ps, mut labels) = (Vec::new(), Vec::new());
    each(net, loss, batches, views, device, autocast, |p, ys| {
        ps.push(p.to_device(Device::Cpu));
        labels.push(ys.to_device(Device::Cpu));
    })?;
    Ok((Tensor::cat(&ps, 0), Tensor::cat(&labels, 0)))
}

/// Calls `see` with the class probabilities `[n, classes]` and labels `[n]` of each batch.
fn each(
    net: &AlexNet,
    loss: Loss,
    batches: impl Iterator<Item = Result<Batch, LoaderError>>,
    views: i64,
    device: Device,
    autocast: &dyn Fn() -> Autocast,
    mut see: impl FnMut(Tensor, Tensor),
) -> anyhow::Result<()> {
    let _no_grad = tch::no_grad_guard();
    for batch in batches {
        let (xs, ys) = batch?.tensors(device); // [n·views, 3, S, S], [n]
        let scores = {
            let _autocast = autocast();
            net.forward(&xs, false, &Probe::off())
        };
        see(mean_over_views(loss, &scores, views), ys);
        common::interrupt::check()?;
    }
    Ok(())
}

/// Mean class probabilities `[N, classes]` by `loss` out of scores `[N·views, classes]`, the views of a picture
/// one after the other.
pub fn mean_over_views(loss: Loss, scores: &Tensor, views: i64) -> Tensor {
    let classes = scores.size2().expect("scores are [N·views, classes]").1;
    let p = loss.probabilities(scores).reshape([-1, views, classes]);
    p.mean_dim(1, false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_counted_by_hand() {
        // Seven classes; the right one is first, second, fifth and sixth in turn.
        let p = Tensor::from_slice2(&[
            [0.4_f32, 0.2, 0.1, 0.1, 0.1, 0.06, 0.04],
            [0.4, 0.3, 0.1, 0.08, 0.06, 0.04, 0.02],
            [0.3, 0.2, 0.15, 0.13, 0.1, 0.08, 0.04],
            [0.3, 0.2, 0.15, 0.13, 0.1, 0.08, 0.04],
        ]);
        let mut sums = Sums::default();
        sums.add(Loss::Softmax, &p, &Tensor::from_slice(&[0_i64, 1, 4, 5]));
        let found = sums.errors();
        assert!(
            (found.top1 - 0.75).abs() < 1e-12 && (found.top5 - 0.25).abs() < 1e-12,
            "{found:?}"
        );
        let wanted = -(0.4_f64 * 0.3 * 0.1 * 0.08).ln() / 4.0;
        assert!((found.loss - wanted).abs() < 1e-6, "found {}, wanted {wanted}", found.loss);
    }

    #[test]
    fn fewer_classes_than_five_are_always_among_the_five_likeliest() {
        let mut sums = Sums::default();
        let p = Tensor::from_slice2(&[[0.2_f32, 0.5, 0.3]]);
        sums.add(Loss::Softmax, &p, &Tensor::from_slice(&[0_i64]));
        let found = sums.errors();
        assert!(found.top1 > 0.99 && found.top5 < 0.01, "{found:?}");
    }

    #[test]
    fn views_are_averaged_as_probabilities() {
        // Two pictures with two views each; e^x = 1, 3 gives probabilities 1/4, 3/4.
        let scores = Tensor::from_slice2(&[
            [0.0_f64, 3_f64.ln()],
            [0.0, 0.0],
            [3_f64.ln(), 0.0],
            [3_f64.ln(), 0.0],
        ]);
        let softmax = [[0.375, 0.625], [0.75, 0.25]];
        // σ(0) = 1/2, σ(ln 3) = 3/4.
        let logistic = [[0.5, 0.625], [0.75, 0.5]];
        for (loss, wanted) in [(Loss::Softmax, softmax), (Loss::Logistic, logistic)] {
            let found = mean_over_views(loss, &scores, 2).to_kind(Kind::Double);
            let found = Vec::<Vec<f64>>::try_from(found).unwrap().concat();
            for (found, wanted) in found.iter().zip(wanted.concat()) {
                assert!((found - wanted).abs() < 1e-6, "{loss:?}: found {found}, wanted {wanted}");
            }
        }
    }
}
