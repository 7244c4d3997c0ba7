//! The bundled font: Inter, regular and semi-bold. No font of the machine is ever read.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb;
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// Families named in the SVG, so that a browser without the bundled font finds a similar one.
pub(super) const FAMILY: &str = "Inter, Arial, sans-serif";
/// The family a renderer must have.
pub(super) const BUNDLED: &str = "Inter";
/// Height of a capital letter in em, from the font's OS/2 table (2048 of 2816 units).
pub(super) const CAP_HEIGHT: f64 = 2048.0 / 2816.0;

static REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.otf");
static SEMI_BOLD: &[u8] = include_bytes!("../../assets/Inter-SemiBold.otf");

/// Stroke weight of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    SemiBold,
}

/// A font database with the bundled fonts and nothing else.
pub(super) fn database() -> Arc<fontdb::Database> {
    static DATABASE: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
        let mut database = fontdb::Database::new();
        database.load_font_data(REGULAR.to_vec());
        database.load_font_data(SEMI_BOLD.to_vec());
        database.set_sans_serif_family(BUNDLED);
        Arc::new(database)
    });
    DATABASE.clone()
}

/// Width of `text` in px at `size` px, from the font's advance widths.
pub(super) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let data = match weight {
        Weight::Regular => REGULAR,
        Weight::SemiBold => SEMI_BOLD,
    };
    let font = FontRef::new(data).expect("the bundled font is well formed");
    let metrics = font.glyph_metrics(Size::new(1.0), LocationRef::default());
    let characters = font.charmap();
    let missing = 0.6; // em; about what a fallback glyph takes
    let advance = |c| characters.map(c).and_then(|g| metrics.advance_width(g)).unwrap_or(missing);
    size * text.chars().map(|c| f64::from(advance(c))).sum::<f64>()
}

/// `text` broken at spaces into lines of at most `limit` px; a word wider than that stays whole.
pub(super) fn wrap(text: &str, size: f64, weight: Weight, limit: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, weight) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `text`, cut short with an ellipsis where it is wider than `limit` px.
pub(super) fn fit(text: &str, size: f64, weight: Weight, limit: f64) -> String {
    if width(text, size, weight) <= limit {
        return text.to_owned();
    }
    let mut kept = text.to_owned();
    while kept.pop().is_some() {
        let cut = format!("{}\u{2026}", kept.trim_end());
        if width(&cut, size, weight) <= limit {
            return cut;
        }
    }
    String::new()
}
