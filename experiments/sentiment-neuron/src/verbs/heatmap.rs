//! `heatmap`: a text coloured by a unit's value after each byte.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use common::cli::print;
use common::nn::mlstm::FixedMlstm;
use ledger::plot::{ColouredTexts, Figure, Panel};
use ledger::run::write_atomic;

use super::{Loaded, Text, Weights, lossy};
use crate::features::prepared;
use crate::heatmap::{self, characters, colour};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    text: Text,
    /// Another unit than the sentiment unit; its colours are full at its own largest value
    #[arg(long)]
    unit: Option<usize>,
    /// Write a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a picture; without this and --html, the terminal is coloured
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

pub(super) fn print_heatmap(args: &Args) -> anyhow::Result<()> {
    let loaded = args.weights.load()?;
    let bytes = prepared(&lossy(&args.text.read()?));
    let (unit, values) = values(&loaded, args.unit, &bytes)?;
    if let Some(path) = &args.html {
        write_atomic(path, page(&bytes, &values, unit).as_bytes())?;
    }
    if let Some(path) = &args.png {
        let texts = vec![heatmap::coloured(&bytes, &values)];
        let panel = Panel { coloured: Some(ColouredTexts { texts }), ..Panel::default() };
        let figure = Figure {
            title: format!("Unit {unit} after each character"),
            caption: "Green above its threshold, red below.".into(),
            panels: vec![panel],
            columns: 1,
        };
        write_atomic(path, &figure.to_png()?)?;
    }
    if args.html.is_none() && args.png.is_none() {
        print(&terminal(&bytes, &values, std::io::stdout().is_terminal()))?;
    }
    Ok(())
}

/// The unit, and its value after each byte as a colour takes it.
fn values(
    loaded: &Loaded,
    asked: Option<usize>,
    bytes: &[u8],
) -> anyhow::Result<(usize, Vec<f64>)> {
    let net = FixedMlstm::new(&loaded.neuron.net);
    let Some(unit) = asked else {
        let chosen = loaded.unit()?;
        return Ok((chosen.index, heatmap::of_chosen(&net, &chosen, bytes)));
    };
    loaded.check(unit, "--unit")?;
    let values = match loaded.unit().ok().filter(|chosen| chosen.index == unit) {
        Some(chosen) => heatmap::of_chosen(&net, &chosen, bytes),
        None => heatmap::of_any(&net, unit, bytes),
    };
    Ok((unit, values))
}

/// The text with a background for each character, or, where there are no colours, with the value of each word.
fn terminal(bytes: &[u8], values: &[f64], colours: bool) -> String {
    let mut out = String::new();
    let characters = characters(bytes, values);
    if colours {
        for (c, value) in characters {
            let [r, g, b] = colour(value);
            let _ =
                write!(out, "\x1b[38;2;0;0;0;48;2;{r};{g};{b}m{}", if c == '\n' { ' ' } else { c });
        }
        return out + "\x1b[0m\n";
    }
    let mut word = String::new();
    let mut last = 0.0;
    for (c, value) in characters.into_iter().chain([(' ', 0.0)]) {
        if !c.is_whitespace() {
            word.push(c);
            last = value;
        } else if !word.is_empty() {
            let _ = writeln!(out, "{last:+.2}\t{word}");
            word.clear();
        }
    }
    out
}

/// A page that needs nothing else.
fn page(bytes: &[u8], values: &[f64], unit: usize) -> String {
    let mut body = String::new();
    for (c, value) in characters(bytes, values) {
        let [r, g, b] = colour(value);
        let shown = match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '\n' => " ".to_owned(),
            c => c.to_string(),
        };
        let _ = write!(
            body,
            "<span style=\"background:rgb({r},{g},{b})\" title=\"{value:+.2}\">{shown}</span>"
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Unit {unit}</title>\n<body style=\"font:18px/1.6 \
         sans-serif;max-width:45em;margin:2em auto;color:#000;background:#fff\">\n<p>Unit {unit} after each character: green \
         above its threshold, red below.</p>\n<p>{body}</p>\n</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_each_word_has_its_value() {
        assert_eq!(
            terminal(b"\n so so ", &[0.0, 0.0, 0.1, 0.25, 0.0, 0.0, -1.0, 0.0], false),
            "+0.25\tso\n-1.00\tso\n"
        );
    }

    #[test]
    fn a_page_escapes_the_text() {
        let page = page(b"<b>&", &[1.0, -1.0, 0.0, 0.0], 3);
        assert!(
            page.contains(">&lt;</span>")
                && page.contains(">&amp;</span>")
                && !page.contains("<b>"),
            "{page}"
        );
        assert!(
            page.contains("background:rgb(60,180,75)")
                && page.contains("background:rgb(225,60,50)")
        );
    }
}
