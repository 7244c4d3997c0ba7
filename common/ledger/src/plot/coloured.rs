//! A text on coloured grounds, as a picture: what a number after each character says about it.

use std::fmt::Write as _;

use super::font::{self, Weight};
use super::{PlotError, raster};

/// px, the size of a letter.
const SIZE: f64 = 18.0;
/// px from line to line.
const LINE: f64 = 27.0;
/// px, the longest line.
const WIDTH: f64 = 720.0;
/// px around the text.
const MARGIN: f64 = 24.0;
/// px from a line's top to the foot of its letters.
const FOOT: f64 = 19.0;

/// The PNG of `characters`, each on a ground of red, green and blue, broken into lines between words; `what` names it in
/// errors.
///
/// # Errors
/// A text too long for a picture.
pub fn coloured_text(characters: &[(char, [u8; 3])], what: &str) -> Result<Vec<u8>, PlotError> {
    raster::render(&svg(characters), what)
}

fn svg(characters: &[(char, [u8; 3])]) -> String {
    let mut body = String::new();
    let (mut x, mut line) = (0.0, 0);
    for word in characters.split_inclusive(|(c, _)| c.is_whitespace()) {
        let widths: Vec<f64> = word.iter().map(|&(c, _)| width(c)).collect();
        let letters = word.iter().zip(&widths).filter(|((c, _), _)| !c.is_whitespace());
        let wide: f64 = letters.map(|(_, width)| width).sum();
        if x > 0.0 && x + wide > WIDTH {
            (x, line) = (0.0, line + 1);
        }
        for (&(c, [r, g, b]), width) in word.iter().zip(widths) {
            // A word longer than a line is broken where it must be.
            if x > 0.0 && x + width > WIDTH && !c.is_whitespace() {
                (x, line) = (0.0, line + 1);
            }
            let (left, top) = (MARGIN + x, MARGIN + LINE * f64::from(line));
            let _ = write!(
                body,
                "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{LINE}\" fill=\"rgb({r},{g},{b})\"/>"
            );
            if !c.is_whitespace() {
                let foot = top + FOOT;
                let _ = write!(body, "<text x=\"{left:.2}\" y=\"{foot:.2}\">{}</text>", escaped(c));
            }
            x += width;
        }
    }
    let (wide, high) = (WIDTH + 2.0 * MARGIN + SIZE, LINE * f64::from(line + 1) + 2.0 * MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" shape-rendering=\"crispEdges\" \
         font-family=\"{}\" font-size=\"{SIZE}\">{body}</svg>",
        font::FAMILY
    )
}

fn width(c: char) -> f64 {
    // A line break is shown as a blank.
    let shown = if c.is_whitespace() { ' ' } else { c };
    font::width(shown.encode_utf8(&mut [0; 4]), SIZE, Weight::Regular)
}

/// A character as XML takes it; those that it does not take at all become the sign for them.
fn escaped(c: char) -> String {
    match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}'.into(),
        c => c.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Picture;

    const GREEN: [u8; 3] = [60, 180, 75];
    const RED: [u8; 3] = [225, 60, 50];

    fn on(text: &str, colour: [u8; 3]) -> Vec<(char, [u8; 3])> {
        text.chars().map(|c| (c, colour)).collect()
    }

    fn picture(characters: &[(char, [u8; 3])]) -> Picture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.png");
        std::fs::write(&path, coloured_text(characters, "a text").unwrap()).unwrap();
        Picture::read_png(&path).unwrap()
    }

    fn share(picture: &Picture, colour: [u8; 3]) -> f64 {
        let pixels = picture.rgb().chunks_exact(3);
        pixels.clone().filter(|pixel| *pixel == colour).count() as f64 / pixels.len() as f64
    }

    #[test]
    fn each_character_stands_on_its_own_ground() {
        let text = [on("iiii ", GREEN), on("mmmm ", RED)].concat();
        let picture = picture(&text);
        let (green, red) = (share(&picture, GREEN), share(&picture, RED));
        assert!(
            green > 0.0 && red > 2.0 * green,
            "{green} green, {red} red: an m is wider than an i"
        );
    }

    #[test]
    fn long_texts_are_broken_between_words_and_long_words_anywhere() {
        let high = |text: &str| picture(&on(text, GREEN)).height();
        let one = high("word");
        assert_eq!(high("word word"), one);
        let lines = |height: usize| (height - one) as f64 / (2.0 * LINE) + 1.0;
        let words = lines(high(&"words ".repeat(60)));
        let letters = lines(high(&"w".repeat(200)));
        assert!((2.0..8.0).contains(&words), "{words} lines");
        assert!((2.0..8.0).contains(&letters), "{letters} lines");
    }

    #[test]
    fn what_xml_does_not_take_is_replaced() {
        assert!(coloured_text(&on("a<b>&\u{0}\u{1b}\u{ffff}é\n", RED), "a text").is_ok());
    }
}
