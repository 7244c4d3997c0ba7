//! Texts on coloured grounds in place of axes: what a number after each character says about it.

use plotters::element::Rectangle;
use plotters::style::{Color as _, RGBColor};

use super::canvas::{Align, Canvas, DRAWS, Type, text, units};
use super::font::{self, Weight};
use super::palette;

/// Characters, each on a ground of red, green and blue.
pub type Coloured = Vec<(char, [u8; 3])>;

/// Texts below each other, broken into lines between words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColouredTexts {
    /// Each text.
    pub texts: Vec<Coloured>,
}

/// em from line to line.
const LINE: f64 = 1.5;
/// em between two texts.
const GAP: f64 = 0.8;
/// em from a line's top to the foot of its letters.
const FOOT: f64 = 1.06;

/// A letter's ground; lengths in px.
#[derive(Debug)]
struct Ground {
    left: f64,
    top: f64,
    width: f64,
    colour: [u8; 3],
}

/// Texts laid out for a width; lengths in px.
#[derive(Debug)]
pub(super) struct LaidOut {
    size: f64,
    grounds: Vec<Ground>,
    /// Words or their parts, with their left edge and their line's top.
    words: Vec<(String, f64, f64)>,
    pub(super) height: f64,
}

impl ColouredTexts {
    /// Lays the texts out over `width` px, with letters of `size` px.
    pub(super) fn lay_out(&self, width: f64, size: f64) -> LaidOut {
        let mut out = LaidOut { size, grounds: Vec::new(), words: Vec::new(), height: 0.0 };
        for characters in &self.texts {
            if out.height > 0.0 {
                out.height += GAP * size;
            }
            out.add(characters, width);
        }
        out
    }
}

impl LaidOut {
    /// Adds a text below what is there.
    fn add(&mut self, characters: &[(char, [u8; 3])], width: f64) {
        let (mut x, mut top) = (0.0, self.height);
        for word in characters.split_inclusive(|(c, _)| c.is_whitespace()) {
            let widths: Vec<f64> = word.iter().map(|&(c, _)| wide(c, self.size)).collect();
            let letters = word.iter().zip(&widths).filter(|((c, _), _)| !c.is_whitespace());
            if x > 0.0 && x + letters.map(|(_, width)| width).sum::<f64>() > width {
                (x, top) = (0.0, top + LINE * self.size);
            }
            let mut part = (String::new(), x, top);
            for (&(c, colour), wide) in word.iter().zip(widths) {
                // A word longer than a line is broken where it must be.
                if x > 0.0 && x + wide > width && !c.is_whitespace() {
                    (x, top) = (0.0, top + LINE * self.size);
                    self.words.push(std::mem::replace(&mut part, (String::new(), x, top)));
                }
                self.grounds.push(Ground { left: x, top, width: wide, colour });
                if !c.is_whitespace() {
                    part.0.push(shown(c));
                }
                x += wide;
            }
            self.words.push(part);
        }
        self.words.retain(|(word, ..)| !word.is_empty());
        self.height = top + LINE * self.size;
    }

    /// Draws the texts with their corner at `left` and `top`.
    pub(super) fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        let high = LINE * self.size;
        canvas.group("shape-rendering=\"crispEdges\"", |area| {
            for Ground { left: x, top: y, width, colour: [r, g, b] } in &self.grounds {
                let (x, y) = (left + x, top + y);
                let corners = [(units(x), units(y)), (units(x + width), units(y + high))];
                area.draw(&Rectangle::new(corners, RGBColor(*r, *g, *b).filled())).expect(DRAWS);
            }
        });
        let style = Type { size: self.size, colour: palette::INK };
        canvas.group("", |area| {
            for (word, x, y) in &self.words {
                let baseline = top + y + FOOT * self.size;
                text(area, word, left + x, baseline, Align::Start, style);
            }
        });
    }
}

/// A line break is as wide as a blank.
fn wide(c: char, size: f64) -> f64 {
    let c = if c.is_whitespace() { ' ' } else { shown(c) };
    font::width(c.encode_utf8(&mut [0; 4]), size, Weight::Regular)
}

/// Characters that XML does not take become the sign for them.
fn shown(c: char) -> char {
    let taken = !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    if taken { c } else { char::REPLACEMENT_CHARACTER }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Figure, Panel, Picture};

    const GREEN: [u8; 3] = [60, 180, 75];
    const RED: [u8; 3] = [225, 60, 50];

    fn on(text: &str, colour: [u8; 3]) -> Coloured {
        text.chars().map(|c| (c, colour)).collect()
    }

    fn figure(texts: Vec<Coloured>) -> Figure {
        let coloured = Some(ColouredTexts { texts });
        Figure {
            title: "texts".into(),
            caption: "Texts on grounds.".into(),
            panels: vec![Panel { coloured, ..Panel::default() }],
            columns: 1,
        }
    }

    fn picture(text: Coloured) -> Picture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.png");
        std::fs::write(&path, figure(vec![text]).to_png().unwrap()).unwrap();
        Picture::read_png(&path).unwrap()
    }

    fn share(picture: &Picture, colour: [u8; 3]) -> f64 {
        let pixels = picture.rgb().chunks_exact(3);
        pixels.clone().filter(|pixel| *pixel == colour).count() as f64 / pixels.len() as f64
    }

    #[test]
    fn each_character_stands_on_its_own_ground() {
        let picture = picture([on("iiii ", GREEN), on("mmmm ", RED)].concat());
        let (green, red) = (share(&picture, GREEN), share(&picture, RED));
        assert!(
            green > 0.0 && red > 2.0 * green,
            "{green} green, {red} red: an m is wider than an i"
        );
    }

    #[test]
    fn long_texts_are_broken_between_words_and_long_words_anywhere() {
        let lay = |texts: &[&str]| {
            let texts = texts.iter().map(|text| on(text, GREEN)).collect();
            ColouredTexts { texts }.lay_out(400.0, 10.0)
        };
        let lines = |text: &str| lay(&[text]).height / (10.0 * LINE);
        assert!((lines("word word") - 1.0).abs() < 1e-9);
        let words = lines(&"words ".repeat(60));
        let letters = lines(&"w".repeat(200));
        assert!((3.0..8.0).contains(&words), "{words} lines");
        assert!((3.0..8.0).contains(&letters), "{letters} lines");
        // No line is longer than there is room, but for the blank at its end.
        let long = lay(&[&"words ".repeat(60), &"w".repeat(200)]);
        assert!(long.grounds.iter().all(|g| g.left + g.width < 400.0 + 5.0));
        assert_eq!(long.words.len(), 60 + letters.round() as usize);
    }

    #[test]
    fn what_xml_does_not_take_is_replaced() {
        let svg = figure(vec![on("a<b>&\u{0}\u{1b}\u{ffff}é\n", RED)]).to_svg().unwrap();
        assert!(svg.contains("a&lt;b&gt;&amp;\u{fffd}\u{fffd}\u{fffd}é"), "{svg}");
    }
}
