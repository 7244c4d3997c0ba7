//! The beginning of the page: the milestones in the order of years, each with its key figure and a few of its claims.

use serde::Serialize;

use super::{Entry, Figure, entry};
use crate::report::figures;
use crate::report::gather::{Experiment, Gathered};

/// One milestone.
#[derive(Serialize)]
pub(super) struct Chapter<'a> {
    name: &'a str,
    title: &'a str,
    years: String,
    paper: &'a str,
    story: &'a str,
    /// The key figure and its preset.
    figure: Option<(&'a str, Figure<'a>)>,
    claims: Vec<Entry<'a>>,
}

/// The experiments that have a milestone.
pub(super) fn chapters(all: &Gathered) -> Vec<Chapter<'_>> {
    let chapter = |experiment| chapter(all, experiment);
    all.experiments.iter().filter_map(chapter).collect()
}

fn chapter<'a>(all: &'a Gathered, experiment: &'a Experiment) -> Option<Chapter<'a>> {
    let milestone = experiment.milestone.as_ref()?;
    let (first, last) = (milestone.years.first()?, milestone.years.last()?);
    let claims = milestone.claims.iter().filter_map(|id| {
        // Of several presets and data sets the ledger's first is the headline.
        let row = experiment.rows.iter().find(|row| row.id == *id)?;
        Some(entry(all, experiment, row, false))
    });
    let figure = key_figure(experiment).map(|(preset, figure)| (preset, Figure::of(figure)));
    Some(Chapter {
        name: &experiment.name,
        title: &milestone.title,
        years: if first == last { first.to_string() } else { format!("{first} to {last}") },
        paper: &milestone.paper,
        story: &milestone.story,
        figure,
        claims: claims.collect(),
    })
}

/// The first of the milestone's key figures that there is, of the best preset that has it, and that preset.
pub(super) fn key_figure(experiment: &Experiment) -> Option<(&str, &figures::Figure)> {
    experiment.milestone.as_ref()?.key_figures().find_map(|(study, beginning)| {
        experiment.figures.iter().find_map(|preset| {
            let of_study = preset.studies.iter().filter(|s| s.study == study);
            let mut figures = of_study.flat_map(|s| &s.figures);
            let figure = figures.find(|figure| figure.stem.starts_with(beginning))?;
            Some((preset.preset.as_str(), figure))
        })
    })
}
