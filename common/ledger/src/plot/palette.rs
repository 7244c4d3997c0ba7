//! Colours: Okabe and Ito's palette, which stays apart under the common colour blindnesses.
//!
//! Source: M. Okabe, K. Ito, "Color Universal Design" (2008); yellow is replaced by a dark olive
//! and black by grey-blue, as neither stands well as a line on white.

use plotters::style::RGBColor;

/// Lines, ticks and text.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Text of second rank and references without a colour of their own.
pub(super) const MUTED: RGBColor = RGBColor(0x5a, 0x5a, 0x5a);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// The ground.
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);

const SLOTS: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2), // blue
    RGBColor(0xd5, 0x5e, 0x00), // vermillion
    RGBColor(0x00, 0x9e, 0x73), // bluish green
    RGBColor(0xcc, 0x79, 0xa7), // reddish purple
    RGBColor(0xe6, 0x9f, 0x00), // orange
    RGBColor(0x56, 0xb4, 0xe9), // sky blue
    RGBColor(0x7a, 0x6c, 0x00), // dark olive
    RGBColor(0x4d, 0x5d, 0x75), // grey-blue
];

/// The colour of a slot; slots repeat after the eighth.
pub(super) fn colour(slot: usize) -> RGBColor {
    SLOTS[slot % SLOTS.len()]
}

/// Slots for `(label, wanted slot)` in order of appearance: a label keeps the slot it had first,
/// and a label without a wish takes the lowest slot nobody asked for or holds.
pub(super) fn assign<'a>(
    wishes: impl Iterator<Item = (&'a str, Option<usize>)> + Clone,
) -> Vec<(&'a str, usize)> {
    let mut taken: Vec<usize> = wishes.clone().filter_map(|(_, slot)| slot).collect();
    let mut slots: Vec<(&str, usize)> = Vec::new();
    for (label, wish) in wishes.clone() {
        if let Some(slot) = wish
            && !slots.iter().any(|(l, _)| *l == label)
        {
            slots.push((label, slot));
        }
    }
    for (label, _) in wishes {
        if !slots.iter().any(|(l, _)| *l == label) {
            let slot = (0..=taken.len()).find(|s| !taken.contains(s)).unwrap_or(0);
            taken.push(slot);
            slots.push((label, slot));
        }
    }
    slots
}
