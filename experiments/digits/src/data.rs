//! From a data set's pictures to tensors: every case is in memory, 0 for black and 1 for white.

use common::data::images::{ImageSet, Splits};
use common::data::sampler::epoch_order;
use common::device::upload;
use tch::{Device, Kind, Tensor};

/// Pictures and labels of one part of a set, on the training device.
#[derive(Debug)]
pub struct Cases {
    /// Grey levels 0–1, `[n, pixels]`.
    pub xs: Tensor,
    /// Classes, `[n]`.
    pub labels: Tensor,
}

/// The order of the training pictures is the same for every seed and study.
const ORDER_SEED: u64 = 0;

/// Training pictures `from..to` of a fixed shuffle of the set's.
///
/// # Panics
/// If the set has fewer than `to`.
pub fn training_cases(splits: &Splits, from: usize, to: usize, device: Device) -> Cases {
    let order = epoch_order(ORDER_SEED, 0, splits.train.n);
    cases(&splits.train, order[from..to].iter().map(|&i| i as usize), device)
}

/// The test pictures, in their own order.
pub fn test_cases(splits: &Splits, device: Device) -> Cases {
    cases(&splits.test, 0..splits.test.n, device)
}

fn cases(set: &ImageSet, places: impl Iterator<Item = usize>, device: Device) -> Cases {
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    for i in places {
        bytes.extend_from_slice(set.picture(i));
        labels.push(i64::from(set.labels[i]));
    }
    let shape = [labels.len() as i64, set.picture_bytes() as i64];
    let xs = upload(&Tensor::from_slice(&bytes).view(shape), device).to_kind(Kind::Float) / 255.0;
    Cases { xs, labels: upload(&Tensor::from_slice(&labels), device) }
}

impl Cases {
    /// How many.
    pub fn len(&self) -> usize {
        self.xs.size()[0] as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These cases and then `more`.
    #[must_use]
    pub fn and(&self, more: &Self) -> Self {
        let both = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 0);
        Self { xs: both(&self.xs, &more.xs), labels: both(&self.labels, &more.labels) }
    }

    /// Share of the cases whose class is not the one that was `found: [n]`.
    pub fn error(&self, found: &Tensor) -> f64 {
        let wrong = found.not_equal_tensor(&self.labels).sum(Kind::Int64).int64_value(&[]);
        wrong as f64 / self.len() as f64
    }

    /// The grey levels of the first case of each class, in the order of the classes; a class without a case is left out.
    /// `[classes, pixels]`
    pub fn one_of_each(&self) -> Tensor {
        let labels = Vec::<i64>::try_from(&self.labels).expect("labels are whole numbers");
        let classes = labels.iter().max().map_or(0, |last| last + 1);
        let first = |class| labels.iter().position(|label| *label == class);
        let places: Vec<i64> = (0..classes).filter_map(first).map(|i| i as i64).collect();
        self.xs.index_select(0, &Tensor::from_slice(&places).to_device(self.xs.device()))
    }
}

/// Labels `[N]` as `[N, classes]`: 1 for the class, 0 elsewhere.
pub fn one_hot(labels: &Tensor, classes: i64) -> Tensor {
    labels.one_hot(classes).to_kind(Kind::Float)
}

/// The cases of `xs: [N, …]` at `indices`.
pub fn batch(xs: &Tensor, indices: &[u32]) -> Tensor {
    let indices: Vec<i64> = indices.iter().map(|&i| i64::from(i)).collect();
    xs.index_select(0, &upload(&Tensor::from_slice(&indices), xs.device()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits() -> Splits {
        let set = |n: usize| ImageSet {
            images: (0..n * 4).map(|i| (i * 7 % 256) as u8).collect(),
            labels: (0..n).map(|i| (i % 3) as u8).collect(),
            n,
            channels: 1,
            height: 2,
            width: 2,
            classes: ["a", "b", "c"].map(str::to_owned).into(),
        };
        Splits::new("made-up", set(30), set(5))
    }

    #[test]
    fn parts_of_the_training_set_do_not_overlap_and_keep_labels_with_their_pictures() {
        let splits = splits();
        let parts = [(0, 20), (20, 30)].map(|(a, b)| training_cases(&splits, a, b, Device::Cpu));
        assert_eq!(parts.each_ref().map(Cases::len), [20, 10]);
        let mut seen = Vec::new();
        for part in &parts {
            let xs = (&part.xs * 255.0).round().to_kind(Kind::Uint8);
            for i in 0..part.len() as i64 {
                let picture = Vec::<u8>::try_from(xs.get(i)).unwrap();
                let at = (0..30).find(|&j| splits.train.picture(j) == picture).unwrap();
                assert_eq!(part.labels.int64_value(&[i]), i64::from(splits.train.labels[at]));
                seen.push(at);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn one_of_each_class_is_the_first_of_it() {
        let test = test_cases(&splits(), Device::Cpu);
        assert_eq!(test.one_of_each(), test.xs.narrow(0, 0, 3));
        assert_eq!(batch(&test.xs, &[4, 0]).get(1), test.xs.get(0));
    }

    #[test]
    fn the_error_is_the_share_of_wrong_classes() {
        let test = test_cases(&splits(), Device::Cpu); // 0, 1, 2, 0, 1
        let error = test.error(&Tensor::from_slice(&[0_i64, 1, 1, 1, 1]));
        assert!((error - 0.4).abs() < 1e-12, "{error}");
    }
}
