//! Figures of single choices: shape, kind of model, other text, batch, way of writing, rate.

use std::collections::BTreeMap;

use ledger::plot::{Axis, Figure, Panel, Reference, Series, Style};

use super::{between, line};
use crate::frontier::ends;
use crate::studies::Fitted;
use crate::studies::batch_size::Cost;
use crate::studies::learning_rate::Sweep;
use crate::studies::lstm_vs_transformer::Places;
use crate::studies::transfer::Judged;

/// Loss against width over depth at one size, relative to the best shape.
pub(crate) fn shape(data: &str, losses: &BTreeMap<(u64, u64), BTreeMap<u64, f64>>) -> Figure {
    let mean = |of: &BTreeMap<u64, f64>| of.values().sum::<f64>() / of.len() as f64;
    let best = losses.values().map(mean).fold(f64::INFINITY, f64::min);
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut band = Vec::new();
    for ((depth, width), of_shape) in losses {
        let x = *width as f64 / *depth as f64;
        let percent = |loss: f64| 100.0 * (loss / best - 1.0);
        points.push((x, percent(mean(of_shape))));
        let (low, high) = ends(of_shape.values().copied());
        if of_shape.len() > 1 {
            band.push((x, percent(low), percent(high)));
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    band.sort_by(|a, b| a.0.total_cmp(&b.0));
    Figure {
        title: format!("Figure 5: depth against width on {data}"),
        caption: "Test loss above that of the best shape, in percent, against width over depth at \
                  (nearly) equal non-embedding parameters, corrected to equal size by L(N); mean and \
                  range over seeds. Kaplan 2020: within 3 % over a factor of 40."
            .into(),
        panels: vec![Panel {
            x: Axis::log("width over depth"),
            y: Axis::linear("loss above the best (%)"),
            series: vec![Series::new("our shapes", Style::LineAndMarkers, points).band(band)],
            references: vec![Reference::horizontal("Kaplan 2020: at most 3 %", 3.0)],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Loss against place in the context, by model.
pub(crate) fn places(data: &str, all: &[Places]) -> Figure {
    let mut by_model: BTreeMap<(&str, u64), Vec<&Places>> = BTreeMap::new();
    for places in all {
        by_model.entry((&places.row.model, places.row.params as u64)).or_default().push(places);
    }
    let series = by_model.iter().enumerate().map(|(slot, ((model, params), runs))| {
        let n = runs[0].losses.len();
        let at = |i: usize| {
            let sum: f64 = runs.iter().map(|places| places.losses[i]).sum();
            ((i + 1) as f64, sum / runs.len() as f64)
        };
        let style = if *model == "lstm" { Style::Dashed } else { Style::Line };
        let label = format!("{model}, N = {params}");
        Series::new(label, style, (0..n).map(at).collect()).colour(slot)
    });
    Figure {
        title: format!("Figure 7: loss by place in the context on {data}"),
        caption: "Test loss in nats at each place of the context, mean over windows and seeds; \
                  transformers solid, LSTMs dashed."
            .into(),
        panels: vec![Panel {
            x: Axis::log("place in the context (tokens)"),
            y: Axis::linear("loss (nats per token)"),
            series: series.collect(),
            references: vec![Reference::vertical(
                "Kaplan 2020: LSTMs plateau (from memory)",
                100.0,
            )],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Loss on other texts against loss on the own, in logs.
pub(crate) fn transfer(data: &str, others: &[(String, Vec<Judged>)]) -> Figure {
    let series = others.iter().map(|(other, judged)| {
        let points = judged.iter().map(|one| (one.own, one.loss)).collect();
        Series::new(other.as_str(), Style::Markers, points)
    });
    let own = others.iter().flat_map(|(_, judged)| judged.iter().map(|one| one.own));
    let (low, high) = ends(own);
    let equal = between(low, high).into_iter().map(|x| (x, x)).collect();
    Figure {
        title: format!("Figure 8: loss on other text than {data}"),
        caption: format!(
            "Test loss in nats per token on other texts against that on {data}, which the models \
             were trained on; one point a run. Points parallel to the dashed line differ from it by \
             a constant factor."
        ),
        panels: vec![Panel {
            x: Axis::log(format!("loss on {data} (nats per token)")),
            y: Axis::log("loss on other text (nats per token)"),
            series: series.collect(),
            references: vec![Reference::curve("the same loss", equal)],
            ..Panel::default()
        }],
        columns: 1,
    }
}

/// Updates against tokens for several losses, and the critical batch against the loss.
pub(crate) fn batch_size(
    data: &str,
    costs: &[Cost],
    law: Option<&Fitted>,
    noise: &[(f64, f64)],
) -> Figure {
    let mut pareto = Vec::new();
    for (slot, cost) in costs.iter().enumerate() {
        let label = format!("loss {:.2}", cost.loss);
        let seen = cost.seen.iter().map(|(batch, steps)| (*steps, batch * steps)).collect();
        pareto.push(Series::new(label.clone(), Style::Markers, seen).colour(slot));
        // E = E_min·(1 + 1/(S/S_min − 1))
        let steps = between(1.05 * cost.s_min, 40.0 * cost.s_min).into_iter();
        let curve = steps.map(|s| (s, cost.e_min * (1.0 + 1.0 / (s / cost.s_min - 1.0)))).collect();
        pareto.push(Series::new(label, Style::Line, curve).colour(slot));
    }
    let critical = costs.iter().map(|cost| (cost.loss, cost.critical())).collect();
    let mut by_loss = vec![Series::new("critical batch", Style::Markers, critical)];
    if !noise.is_empty() {
        by_loss.push(Series::new("noise scale", Style::Markers, noise.to_vec()));
    }
    by_loss
        .extend(law.map(|law| line(format!("B*·L^-{:.1}", law.best.named()[1]), Style::Line, law)));
    let (low, high) = ends(costs.iter().map(|cost| cost.loss));
    // Source: Kaplan et al. 2020, eq. 5.3.
    let published = |loss: f64| (loss, 2e8 / loss.powf(1.0 / 0.21));
    let references = if costs.is_empty() {
        Vec::new()
    } else {
        let curve = between(low, high).into_iter().map(published).collect();
        vec![Reference::curve("Kaplan 2020: 2e8·L^-4.8", curve)]
    };
    Figure {
        title: format!("Figures 10 and 18: the critical batch on {data}"),
        caption: "Left: tokens against updates that reach a loss, one point a batch, with the \
                  relation (S/S_min − 1)(E/E_min − 1) = 1. Right: the critical batch E_min/S_min \
                  against the loss, and the gradient noise scale at the looks of all runs."
            .into(),
        panels: vec![
            Panel {
                title: "updates and tokens".into(),
                x: Axis::log("updates"),
                y: Axis::log("tokens"),
                series: pareto,
                ..Panel::default()
            },
            Panel {
                title: "critical batch".into(),
                x: Axis::log("loss (nats per token)"),
                y: Axis::log("batch (tokens)"),
                series: by_loss,
                references,
                ..Panel::default()
            },
        ],
        columns: 2,
    }
}

/// Bits per byte against size and against tokens, in bytes and in pairs.
pub(crate) fn tokenisation(text: &str, fits: &[BTreeMap<&'static str, Fitted>; 2]) -> Figure {
    let panel = |variable: &str, label: &str| {
        let mut series = Vec::new();
        for (slot, (written, of)) in ["bytes", "pairs"].iter().zip(fits).enumerate() {
            let Some(fitted) = of.get(variable) else { continue };
            let points = fitted.points.iter().map(|p| (p.x, p.loss)).collect();
            series.push(Series::new(*written, Style::Markers, points).colour(slot));
            let label = format!("{written}: x^-{:.3}", fitted.best.named()[1]);
            series.push(line(label, Style::Line, fitted).colour(slot));
        }
        Panel { x: Axis::log(label), y: Axis::log("bits per byte"), series, ..Panel::default() }
    };
    Figure {
        title: format!("Bytes and pairs on {text}"),
        caption: "Bits per byte on the same text, written in bytes and in learned pairs of bytes: \
                  against non-embedding parameters at equal tokens, and of the largest model against \
                  tokens; power laws with 95 % bootstrap bands."
            .into(),
        panels: vec![panel("size", "non-embedding parameters"), panel("data", "tokens read")],
        columns: 2,
    }
}

/// Validation loss against the highest rate, a curve for each size.
pub(crate) fn learning_rate(data: &str, kinds: &[(bool, Vec<Sweep>)]) -> Figure {
    let panel = |(mup, sweeps): &(bool, Vec<Sweep>)| Panel {
        title: if *mup { "µP rates".into() } else { "one rate for all layers".into() },
        x: Axis::log("highest rate"),
        y: Axis::linear("validation loss (nats per token)"),
        series: sweeps
            .iter()
            .enumerate()
            .map(|(slot, sweep)| {
                let points = sweep.losses.iter().map(|(lr, _, loss)| (*lr, *loss)).collect();
                let label = format!("N = {:.0}", sweep.params);
                Series::new(label, Style::LineAndMarkers, points).colour(slot)
            })
            .collect(),
        ..Panel::default()
    };
    Figure {
        title: format!("Rates by size on {data}"),
        caption: "Validation loss at the end of each run against Adam's highest rate, a curve for \
                  each size, mean over seeds; left one rate for all variables, right the matrices' \
                  rate divided by the width (µP)."
            .into(),
        panels: kinds.iter().map(panel).collect(),
        columns: 2,
    }
}
