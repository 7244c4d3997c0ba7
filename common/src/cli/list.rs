//! `list`: what there is to run, how long it takes, what it downloads.

use std::fmt::Write as _;

use crate::data::catalog::Catalog;
use crate::experiment::Experiment;
use crate::session::Head;

pub(super) fn list(experiment: &Experiment) -> anyhow::Result<()> {
    let mut out = format!("{}\n\nStudies\n", experiment.about);
    for study in experiment.studies {
        writeln!(out, "  {:24} {}", study.name, study.about)?;
    }
    out.push_str("\nPresets\n");
    for preset in experiment.presets {
        let head: Head = preset.load(&[])?;
        writeln!(
            out,
            "  {:10} leads with {}; {}",
            preset.name,
            head.lead.join(", "),
            head.precision
        )?;
        for line in preset.header().lines() {
            writeln!(out, "             {line}")?;
        }
    }
    out.push_str("\nData sets, the first that can be had is used\n");
    for study in experiment.studies {
        for name in study.datasets {
            let set = Catalog::builtin().get(name)?;
            writeln!(out, "  {name:24} {} ({})", set.title, study.name)?;
            writeln!(out, "  {:24} {}", "", super::data::source_of(set))?;
        }
    }
    Ok(super::print(&out)?)
}
