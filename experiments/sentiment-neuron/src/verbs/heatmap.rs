//! `heatmap`: a text coloured by a unit's value after each byte, green above its threshold, red below, as the published
//! picture.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use common::cli::print;
use common::linear::threshold::Threshold;
use common::nn::mlstm::FixedMlstm;
use ledger::plot::coloured_text;
use ledger::run::write_atomic;

use super::{Loaded, Text, Weights, lossy};
use crate::features::prepared;

/// Deviations from the threshold at which colours are full.
const FULL: f64 = 2.0;

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

pub(super) fn heatmap(args: &Args) -> anyhow::Result<()> {
    let loaded = args.weights.load()?;
    let bytes = prepared(&lossy(&args.text.read()?));
    let (unit, values) = coloured(&loaded, args.unit, &bytes)?;
    if let Some(path) = &args.html {
        write_atomic(path, page(&bytes, &values, unit).as_bytes())?;
    }
    if let Some(path) = &args.png {
        let characters = characters(&bytes, &values).into_iter();
        let grounds: Vec<_> = characters.map(|(c, value)| (c, colour(value))).collect();
        write_atomic(path, &coloured_text(&grounds, &path.display().to_string())?)?;
    }
    if args.html.is_none() && args.png.is_none() {
        print(&terminal(&bytes, &values, std::io::stdout().is_terminal()))?;
    }
    Ok(())
}

/// The unit, and its value after each byte as a colour takes it, from -1 to 1.
fn coloured(
    loaded: &Loaded,
    asked: Option<usize>,
    bytes: &[u8],
) -> anyhow::Result<(usize, Vec<f64>)> {
    let chosen = match asked {
        None => Some(loaded.unit()?),
        Some(unit) => {
            loaded.check(unit, "--unit")?;
            loaded.unit().ok().filter(|chosen| chosen.index == unit)
        }
    };
    let unit = chosen.as_ref().map_or(asked.unwrap_or_default(), |chosen| chosen.index);
    let net = FixedMlstm::new(&loaded.neuron.net);
    let mut state = net.start();
    let values: Vec<f32> = bytes
        .iter()
        .map(|&byte| {
            net.step(&mut state, usize::from(byte));
            state.c[unit]
        })
        .collect();
    let plain = Threshold { at: 0.0, larger_is_positive: true };
    let scores = chosen.as_ref().map_or(plain, |chosen| chosen.threshold).scores(&values);
    let largest = || scores.iter().fold(1e-9, |a, b| f64::max(a, b.abs()));
    let full = chosen.map_or_else(largest, |chosen| FULL * chosen.scale());
    Ok((unit, scores.iter().map(|score| (score / full).clamp(-1.0, 1.0)).collect()))
}

/// Characters with the value after their last byte; bytes that are no UTF-8 are shown as Latin-1.
fn characters(bytes: &[u8], values: &[f64]) -> Vec<(char, f64)> {
    let mut out = Vec::new();
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            at += c.len_utf8();
            out.push((c, values[at - 1]));
        }
        for &byte in chunk.invalid() {
            at += 1;
            out.push((char::from(byte), values[at - 1]));
        }
    }
    out
}

/// Red, green, blue of a value from -1 to 1; white at zero.
fn colour(value: f64) -> [u8; 3] {
    let fade = |end: f64| (255.0 + (end - 255.0) * value.abs().min(1.0)).round() as u8;
    if value >= 0.0 {
        [fade(60.0), fade(180.0), fade(75.0)]
    } else {
        [fade(225.0), fade(60.0), fade(50.0)]
    }
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
    fn a_character_has_the_value_after_its_last_byte() {
        let text = "aé\u{20ac}".as_bytes();
        let values: Vec<f64> = (1..=6).map(f64::from).collect();
        assert_eq!(characters(text, &values), [('a', 1.0), ('é', 3.0), ('\u{20ac}', 6.0)]);
        assert_eq!(characters(b"\xe8x", &[0.5, 1.0]), [('è', 0.5), ('x', 1.0)]);
    }

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
