//! Figures: one description, drawn as SVG and rendered from it as PNG.
