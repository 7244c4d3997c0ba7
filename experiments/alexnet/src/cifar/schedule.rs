//! Training in stages: which part of the pictures, how long, at what learning rate.

use common::data::sampler::{LastBatch, Sampler};
use common::distributed::{Share, WorldError};
use serde::{Deserialize, Serialize};

/// One stage.
///
/// Differs: the authors write that they divided "all learning rates (the epsW parameters)", which leaves
/// open whether those of the biases (epsB) were among them; here they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Trained on the first pictures, this share of all; 0.8 is data batches 1 to 4 of 5.
    pub share: f64,
    /// Passes over these pictures.
    pub epochs: f64,
    /// The learning rate is divided by this.
    pub divisor: f64,
}

/// The stages laid out over steps.
#[derive(Debug)]
pub struct Schedule {
    stages: Vec<Laid>,
}

#[derive(Debug)]
struct Laid {
    /// The step at which the stage begins.
    start: u64,
    /// The step at which the next one would.
    end: u64,
    divisor: f64,
    /// Pictures trained on.
    pictures: usize,
    /// Passes made in earlier stages.
    epochs_before: f64,
    seed: u64,
    sampler: Sampler,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The stage, from 0.
    pub stage: usize,
    /// Keys the draws of this stage's views, with the epoch and a picture's number.
    pub seed: u64,
    /// From 0 in each stage.
    pub epoch: u64,
    /// Pictures to train on.
    pub indices: Vec<u32>,
}

impl Schedule {
    /// `stages` over `pictures` pictures in batches of `batch`, each with `scale` times its epochs.
    ///
    /// Differs: pictures are shuffled in each epoch; the authors' program takes them in their order.
    ///
    /// # Panics
    /// If a stage has no picture.
    pub fn new(stages: &[Stage], scale: f64, pictures: usize, batch: usize, seed: u64) -> Self {
        let (mut start, mut epochs_before) = (0, 0.0);
        let laid = stages.iter().enumerate().map(|(i, stage)| {
            let n = (stage.share * pictures as f64).round() as usize;
            // Seeds of runs are small, so stages of one run and runs of other seeds do not share an order.
            let seed = seed ^ (i as u64) << 32;
            let sampler = Sampler::new(seed, n, batch, LastBatch::Keep);
            let steps = (stage.epochs * scale * sampler.steps_per_epoch() as f64).round() as u64;
            let divisor = stage.divisor;
            let end = start + steps;
            let laid = Laid { start, end, divisor, pictures: n, epochs_before, seed, sampler };
            epochs_before += laid.epochs(end);
            start = end;
            laid
        });
        Self { stages: laid.collect() }
    }

    /// Of each batch the share of one of several processes.
    ///
    /// # Errors
    /// A stage whose batches cannot be shared.
    pub fn shared(self, share: Share) -> Result<Self, WorldError> {
        let stages = self.stages.into_iter().map(|laid| -> Result<Laid, WorldError> {
            Ok(Laid { sampler: laid.sampler.shared(share)?, ..laid })
        });
        Ok(Self { stages: stages.collect::<Result<_, _>>()? })
    }

    /// Updates in all.
    pub fn steps(&self) -> u64 {
        self.stages.last().map_or(0, |stage| stage.end)
    }

    /// What update `step`, counted from 0, does.
    ///
    /// # Panics
    /// If there is no such update.
    pub fn place(&self, step: u64) -> Place {
        let stage = self.stage_of(step);
        let laid = &self.stages[stage];
        let batch = laid.sampler.batch_of(step - laid.start);
        Place { stage, seed: laid.seed, epoch: batch.epoch, indices: batch.indices }
    }

    /// By what the learning rate of update `step` is divided.
    pub fn divisor(&self, step: u64) -> f64 {
        self.stages[self.stage_of(step)].divisor
    }

    /// How many of the first pictures update `step` draws from.
    pub fn pictures(&self, step: u64) -> usize {
        self.stages[self.stage_of(step)].pictures
    }

    /// Whether a stage is over after `step` updates.
    pub fn stage_ends(&self, step: u64) -> bool {
        self.stages.iter().any(|stage| stage.end == step)
    }

    /// Passes over the pictures of each stage after `step` updates, added up.
    pub fn epochs(&self, step: u64) -> f64 {
        let begun = self.stages.iter().rev().find(|stage| stage.start <= step);
        begun.map_or(0.0, |stage| stage.epochs_before + stage.epochs(step.min(stage.end)))
    }

    fn stage_of(&self, step: u64) -> usize {
        self.stages.iter().position(|stage| step < stage.end).expect("the step is of the schedule")
    }
}

impl Laid {
    fn epochs(&self, step: u64) -> f64 {
        (step - self.start) as f64 / self.sampler.steps_per_epoch() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const STAGES: [Stage; 3] = [
        Stage { share: 0.8, epochs: 3.0, divisor: 1.0 },
        Stage { share: 1.0, epochs: 2.0, divisor: 1.0 },
        Stage { share: 1.0, epochs: 1.0, divisor: 10.0 },
    ];

    /// 100 pictures in batches of 20: 4 steps an epoch, then 5.
    fn schedule(scale: f64) -> Schedule {
        Schedule::new(&STAGES, scale, 100, 20, 7)
    }

    #[test]
    fn stages_begin_and_end_at_the_steps_counted_by_hand() {
        let schedule = schedule(1.0);
        assert_eq!(schedule.steps(), 12 + 10 + 5);
        let at = |step| {
            let place = schedule.place(step);
            (place.stage, place.epoch, schedule.pictures(step), schedule.divisor(step))
        };
        assert_eq!(at(0), (0, 0, 80, 1.0));
        assert_eq!(at(11), (0, 2, 80, 1.0));
        assert_eq!(at(12), (1, 0, 100, 1.0));
        assert_eq!(at(21), (1, 1, 100, 1.0));
        assert_eq!(at(22), (2, 0, 100, 10.0));
        assert_eq!(at(26), (2, 0, 100, 10.0));
        let ends: Vec<u64> = (0..=27).filter(|&step| schedule.stage_ends(step)).collect();
        assert_eq!(ends, [12, 22, 27]);
        for (step, wanted) in [(0, 0.0), (4, 1.0), (12, 3.0), (17, 4.0), (22, 5.0), (27, 6.0)] {
            let found = schedule.epochs(step);
            assert!((found - wanted).abs() < 1e-12, "step {step}: {found}, wanted {wanted}");
        }
    }

    #[test]
    fn a_scale_shortens_every_stage() {
        let half = schedule(0.5);
        assert_eq!(half.steps(), 6 + 5 + 3); // 2.5 steps round up
        assert!(half.stage_ends(6) && half.stage_ends(11) && half.stage_ends(14));
    }

    #[test]
    fn a_stage_shows_each_of_its_pictures_once_an_epoch_and_no_other() {
        let schedule = schedule(1.0);
        let seen = |steps: std::ops::Range<u64>| -> Vec<u32> {
            steps.flat_map(|step| schedule.place(step).indices).collect()
        };
        for (steps, n) in [(0..4, 80), (4..8, 80), (12..17, 100), (22..27, 100)] {
            let shown = seen(steps.clone());
            assert_eq!(shown.len(), n);
            assert_eq!(
                shown.iter().collect::<BTreeSet<_>>(),
                (0..n as u32).collect::<Vec<_>>().iter().collect()
            );
        }
        assert_ne!(seen(12..17), seen(22..27), "a stage does not repeat the order of another");
        assert_ne!(schedule.place(12).seed, schedule.place(0).seed);
    }

    #[test]
    fn the_authors_schedule_of_the_13_per_cent_net_takes_its_updates() {
        let stages = [(0.8, 100.0, 1.0), (1.0, 40.0, 1.0), (1.0, 10.0, 10.0), (1.0, 10.0, 100.0)];
        let stages = stages.map(|(share, epochs, divisor)| Stage { share, epochs, divisor });
        let schedule = Schedule::new(&stages, 1.0, 50_000, 128, 0);
        assert_eq!(schedule.steps(), 100 * 313 + 60 * 391);
        assert_eq!([31_299, 31_300].map(|step| schedule.pictures(step)), [40_000, 50_000]);
    }
}
