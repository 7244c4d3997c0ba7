//! The figures under a results folder, by preset and study, ready to stand in a page.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use resvg::usvg::roxmltree::{Document, Node};

use super::gather::{entries, folders, name};
use super::{ReportError, io_error};
use crate::claims::{Claim, rank_of_preset};
use crate::plot::DATA_URI;

/// The figures of one preset.
pub(super) struct PresetFigures {
    pub(super) preset: String,
    /// In the order in which the claims name them.
    pub(super) studies: Vec<StudyFigures>,
}

/// The figures of one study.
pub(super) struct StudyFigures {
    pub(super) study: String,
    /// By file name.
    pub(super) figures: Vec<Figure>,
}

/// One figure.
pub(super) struct Figure {
    /// The `<svg>` element.
    pub(super) svg: String,
    /// The file's name without its ending.
    pub(super) stem: String,
    /// The figure's description or, without one, its title or file name.
    pub(super) caption: String,
    /// The PNG beside it, relative to the results folder, with `/` between the parts.
    pub(super) png: Option<String>,
}

/// Every `<results>/<experiment>/<preset>/<study>/*.svg`: larger presets first, smoke last.
pub(super) fn find(
    results: &Path,
    experiment: &str,
    claims: &[Claim],
) -> Result<Vec<PresetFigures>, ReportError> {
    let mut presets = Vec::new();
    for folder in folders(&results.join(experiment))? {
        let preset = name(&folder);
        let mut studies = Vec::new();
        for folder in folders(&folder)? {
            let study = name(&folder);
            let svgs = entries(&folder, |path| path.extension().is_some_and(|e| e == "svg"))?;
            let figures: Vec<_> = svgs
                .iter()
                .map(|svg| read(svg, &format!("{experiment}/{preset}/{study}")))
                .collect::<Result<_, _>>()?;
            if !figures.is_empty() {
                studies.push(StudyFigures { study, figures });
            }
        }
        let named = |study: &str| claims.iter().position(|claim| claim.study == study);
        studies.sort_by_key(|s| named(&s.study).unwrap_or(claims.len()));
        if !studies.is_empty() {
            presets.push(PresetFigures { preset, studies });
        }
    }
    presets.sort_by_cached_key(|p| in_order(&p.preset));
    make_ids_differ(&mut presets);
    Ok(presets)
}

/// A drawing's ids begin with a sum of what it shows; two that show the same get different ones, as one page has both.
fn make_ids_differ(presets: &mut [PresetFigures]) {
    let mut drawn: BTreeMap<String, usize> = BTreeMap::new();
    let studies = presets.iter_mut().flat_map(|preset| &mut preset.studies);
    for figure in studies.flat_map(|study| &mut study.figures) {
        let Some(sum) = figure.svg.split("id=\"").nth(1).and_then(|id| id.split(['-', '"']).next())
        else {
            continue;
        };
        let times = drawn.entry(sum.to_owned()).or_default();
        *times += 1;
        if *times > 1 {
            figure.svg = figure.svg.replace(sum, &format!("{sum}x{times}"));
        }
    }
}

/// Sorts presets for reading: larger first, as they are before changed ones, smoke last.
pub(super) fn in_order(preset: &str) -> impl Ord + use<> {
    (preset.starts_with("smoke"), rank_of_preset(preset), preset.to_owned())
}

fn read(path: &Path, folder: &str) -> Result<Figure, ReportError> {
    let text = fs::read_to_string(path).map_err(io_error(path))?;
    let wrong = |problem: String| ReportError::Figure { path: path.to_owned(), problem };
    let document = Document::parse(&text).map_err(|error| wrong(format!("no SVG: {error}")))?;
    let root = document.root_element();
    if root.tag_name().name() != "svg" {
        return Err(wrong(format!("found <{}>, wanted <svg>", root.tag_name().name())));
    }
    if let Some(problem) = document.descendants().find_map(active) {
        return Err(wrong(problem));
    }
    let said = |tag| {
        let node =
            root.children().find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", tag)));
        node.and_then(|node| node.text()).map(str::trim).filter(|text| !text.is_empty())
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let caption = said("desc").or(said("title")).unwrap_or(&stem).to_owned();
    let png = path.with_extension("png").is_file().then(|| format!("{folder}/{stem}.png"));
    let stem = stem.into_owned();
    Ok(Figure { svg: text[root.range()].to_owned(), stem, caption, png })
}

/// What in an SVG would run, or load something, in a page that it stands in.
fn active(node: Node<'_, '_>) -> Option<String> {
    let tag = node.tag_name().name();
    if ["script", "foreignObject", "iframe", "style", "a", "animate", "set"].contains(&tag) {
        return Some(format!("holds <{tag}>, wanted shapes, pictures and text only"));
    }
    let away = |value: &str| !value.starts_with('#');
    // A picture that stands in the figure itself is drawn and does nothing else.
    let inside = |value: &str| tag == "image" && value.starts_with(DATA_URI);
    node.attributes().find_map(|attribute| {
        let (name, value) = (attribute.name(), attribute.value());
        let acts = name.starts_with("on") || (name == "href" && away(value) && !inside(value));
        let loads = value.split("url(").skip(1).any(away);
        (acts || loads)
            .then(|| format!("holds {name}={value:?}, wanted nothing that runs or loads"))
    })
}
