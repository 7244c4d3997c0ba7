//! Progress: bars on a terminal, plain lines elsewhere, nothing when quiet. All on stderr.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

/// How far one run is; what a training process tells the process that shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// Updates done.
    pub step: u64,
    /// Updates at the most.
    pub steps: u64,
    /// Examples, tokens or bytes a second, over the last stretch.
    pub rate: f64,
    /// The unit of `rate`, e.g. `images/s`.
    pub unit: String,
    /// The training loss of the last stretch.
    pub loss: f64,
}

/// Plain lines come this far apart, for each run.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Shows any number of runs side by side.
pub struct Progress {
    bars: Option<MultiProgress>,
    quiet: bool,
    shown: HashMap<String, Shown>,
}

struct Shown {
    bar: Option<ProgressBar>,
    started: Instant,
    first_step: u64,
    last_line: Instant,
}

impl Progress {
    /// Bars when stderr is a terminal, lines otherwise.
    pub fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, quiet, shown: HashMap::new() }
    }

    /// Shows where the run called `name` is.
    pub fn tick(&mut self, name: &str, tick: &Tick) {
        if self.quiet {
            return;
        }
        let bars = &self.bars;
        let shown = self.shown.entry(name.to_owned()).or_insert_with(|| {
            let bar = bars.as_ref().map(|bars| bars.add(new_bar(name, tick.steps)));
            let now = Instant::now();
            Shown { bar, started: now, first_step: tick.step, last_line: now }
        });
        let eta = eta(tick, shown.started.elapsed(), shown.first_step);
        let text =
            format!("{:.0} {}, loss {:.4}, at most {} left", tick.rate, tick.unit, tick.loss, eta);
        if let Some(bar) = &shown.bar {
            bar.set_position(tick.step);
            bar.set_message(text);
        } else if shown.last_line.elapsed() >= LINE_EVERY {
            shown.last_line = Instant::now();
            tracing::info!("{name}: step {}/{}, {text}", tick.step, tick.steps);
        }
    }

    /// The run called `name` has ended; `summary` is what there is to say of it.
    pub fn finish(&mut self, name: &str, summary: &str) {
        if let Some(Shown { bar: Some(bar), .. }) = self.shown.remove(name) {
            bar.finish_and_clear();
        }
        self.line(&format!("{name}: {summary}"));
    }

    /// A line above the bars.
    pub fn line(&self, text: &str) {
        match &self.bars {
            _ if self.quiet => {}
            Some(bars) => {
                // A line that cannot be shown is no reason to stop.
                let _ = bars.println(text);
            }
            None => tracing::info!("{text}"),
        }
    }
}

fn new_bar(name: &str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:28} {bar:20} {pos}/{len} {msg}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(steps).with_style(style);
    bar.set_prefix(name.to_owned());
    bar
}

/// The time until the last step at the pace since this sitting began.
fn eta(tick: &Tick, elapsed: Duration, first_step: u64) -> String {
    let done = tick.step.saturating_sub(first_step);
    if done == 0 {
        return "?".into();
    }
    let left = tick.steps.saturating_sub(tick.step);
    human_seconds(elapsed.as_secs_f64() * left as f64 / done as f64)
}

/// `45 s`, `12 min`, `3.4 h`.
pub fn human_seconds(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_counts_only_steps_of_this_sitting() {
        let tick = Tick { step: 600, steps: 1000, rate: 0.0, unit: "images/s".into(), loss: 1.0 };
        // 100 steps took 10 s, so 400 more take 40 s, however many were done before.
        assert_eq!(eta(&tick, Duration::from_secs(10), 500), "40 s");
        assert_eq!(eta(&tick, Duration::from_secs(10), 600), "?");
    }

    #[test]
    fn times_read_as_people_say_them() {
        let shown: Vec<_> = [12.4, 100.0, 7200.0].map(human_seconds).into();
        assert_eq!(shown, ["12 s", "2 min", "2.0 h"]);
    }
}
