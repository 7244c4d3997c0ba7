//! What is drawn, read back from the SVG and from the PNG's picture elements.

use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::{Document, Node};

use super::*;

const BLUE: (u8, u8, u8) = (0x00, 0x72, 0xb2);

fn figure(panel: Panel) -> Figure {
    Figure { title: "A title".into(), caption: "A caption".into(), panels: vec![panel], columns: 1 }
}

fn one(x: Axis, y: Axis, series: Series) -> Figure {
    figure(Panel { x, y, series: vec![series], ..Panel::default() })
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

fn elements<'a>(svg: &'a Document<'_>, name: &str) -> Vec<Node<'a, 'a>> {
    svg.descendants().filter(|n| n.has_tag_name(name)).collect()
}

/// Tick labels of one axis as `(value, position)`: they share a column (y axis) or a row (x axis).
fn tick_labels(svg: &Document<'_>, along: &str, anchor: &str) -> Vec<(f64, f64)> {
    elements(svg, "text")
        .iter()
        .filter(|n| n.attribute("text-anchor") == Some(anchor))
        .filter_map(|n| Some((parse(n.text()?.trim())?, number(n, along))))
        .collect()
}

fn parse(label: &str) -> Option<f64> {
    let Some(exponent) = label.strip_prefix("10").filter(|e| !e.is_empty()) else {
        return label.replace('\u{2212}', "-").replace(',', "").parse().ok();
    };
    let digit = |c| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|d| d == c).map(|d| d.to_string());
    let plain: String = exponent.chars().map(|c| digit(c).unwrap_or("-".into())).collect();
    plain.parse().ok().map(|e| 10f64.powi(e))
}

/// Where `value` belongs, by the straight line through the first and last tick label.
fn by_ticks(ticks: &[(f64, f64)], value: f64, scale: fn(f64) -> f64) -> f64 {
    let ((v0, p0), (v1, p1)) = (ticks[0], ticks[ticks.len() - 1]);
    p0 + (p1 - p0) * (scale(value) - scale(v0)) / (scale(v1) - scale(v0))
}

fn pixel(png: &Pixmap, x: f64, y: f64) -> (u8, u8, u8) {
    let scale = f64::from(raster::SCALE) / canvas::UNITS;
    let c = png.pixel((x * scale) as u32, (y * scale) as u32).unwrap();
    (c.red(), c.green(), c.blue())
}

#[test]
fn a_point_lies_where_the_tick_labels_say() {
    let points = vec![(3.0, -0.4), (12.5, 0.85), (27.0, 0.2)];
    let figure = one(
        Axis::linear("x").range(0.0, 30.0),
        Axis::linear("y").range(-1.0, 1.0),
        Series::new("a", Style::Markers, points.clone()),
    );
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let png = Pixmap::decode_png(&figure.to_png().unwrap()).unwrap();
    let (xs, ys) = (tick_labels(&svg, "x", "middle"), tick_labels(&svg, "y", "end"));
    let circles = elements(&svg, "circle");
    // The y labels are placed by their baseline, which is the same distance from each tick.
    let baseline = number(&circles[0], "cy") - by_ticks(&ys, points[0].1, |v| v);
    for ((x, y), circle) in points.iter().zip(&circles) {
        let at = (by_ticks(&xs, *x, |v| v), by_ticks(&ys, *y, |v| v) + baseline);
        let drawn = (number(circle, "cx"), number(circle, "cy"));
        assert!((drawn.0 - at.0).abs() <= 1.5, "({x}, {y}) drawn at {drawn:?}, expected {at:?}");
        assert!((drawn.1 - at.1).abs() <= 1.5, "({x}, {y}) drawn at {drawn:?}, expected {at:?}");
        assert_eq!(pixel(&png, drawn.0, drawn.1), BLUE);
    }
}

#[test]
fn a_point_on_log_axes_lies_where_the_powers_of_ten_say() {
    let points = vec![(2e3, 0.07), (4e7, 30.0), (1e5, 1.0)];
    let figure =
        one(Axis::log("x"), Axis::log("y"), Series::new("a", Style::Markers, points.clone()));
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let (xs, ys) = (tick_labels(&svg, "x", "middle"), tick_labels(&svg, "y", "end"));
    assert_eq!(xs.iter().map(|t| t.0).collect::<Vec<_>>(), [1e4, 1e5, 1e6, 1e7]);
    let circles = elements(&svg, "circle");
    let baseline = number(&circles[0], "cy") - by_ticks(&ys, points[0].1, f64::log10);
    for ((x, y), circle) in points.iter().zip(&circles) {
        let at = (by_ticks(&xs, *x, f64::log10), by_ticks(&ys, *y, f64::log10) + baseline);
        let drawn = (number(circle, "cx"), number(circle, "cy"));
        assert!((drawn.0 - at.0).abs() <= 1.5, "({x}, {y}) drawn at {drawn:?}, expected {at:?}");
        assert!((drawn.1 - at.1).abs() <= 1.5, "({x}, {y}) drawn at {drawn:?}, expected {at:?}");
    }
}

#[test]
fn the_png_has_twice_the_svg_size_and_ink_in_every_part() {
    let figure = one(
        Axis::linear("step"),
        Axis::linear("loss (nats)"),
        Series::new("ours", Style::Line, vec![(0.0, 3.0), (1.0, 1.0), (2.0, 2.0)]),
    );
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let png = Pixmap::decode_png(&figure.to_png().unwrap()).unwrap();
    let root = svg.root_element();
    let size = (2.0 * number(&root, "width"), 2.0 * number(&root, "height"));
    assert_eq!((f64::from(png.width()), f64::from(png.height())), size);
    let (w, h) = (png.width(), png.height());
    let inked = |x: std::ops::Range<u32>, y: std::ops::Range<u32>| {
        let dark = |x, y| png.pixel(x, y).is_some_and(|p| p.red() < 128);
        y.flat_map(|y| x.clone().map(move |x| (x, y))).filter(|&(x, y)| dark(x, y)).count()
    };
    assert!(inked(0..w / 2, 0..h / 12) > 100, "the title");
    assert!(inked(0..w / 20, h / 4..3 * h / 4) > 100, "the y label");
    assert!(inked(0..w, 8 * h / 10..9 * h / 10) > 100, "the x label");
    assert!(inked(0..w / 3, 92 * h / 100..h) > 100, "the legend");
    assert!(inked(w / 5..9 * w / 10, h / 6..7 * h / 10) > 1000, "the line");
}

#[test]
fn drawing_twice_gives_the_same_bytes() {
    let points = (0..500).map(|i| (f64::from(i), f64::from(i * i % 97))).collect();
    let figure = one(Axis::linear("x"), Axis::linear("y"), Series::new("a", Style::Line, points));
    assert_eq!(figure.to_svg().unwrap(), figure.to_svg().unwrap());
    assert_eq!(figure.to_png().unwrap(), figure.to_png().unwrap());
}

#[test]
fn a_point_that_is_no_number_breaks_the_line_and_a_lone_point_is_a_dot() {
    for gap in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let ys = [1.0, 1.0, gap, 1.0, gap, 1.0, 1.0];
        let points = ys.iter().enumerate().map(|(i, y)| (i as f64, *y)).collect();
        let figure = one(
            Axis::linear("x").range(0.0, 6.0),
            Axis::linear("y").range(0.0, 2.0),
            Series::new("", Style::Line, points),
        );
        let text = figure.to_svg().unwrap();
        let svg = Document::parse(&text).unwrap();
        let blue = |n: &&Node<'_, '_>| n.attribute("stroke") == Some("#0072B2");
        assert_eq!(elements(&svg, "polyline").iter().filter(blue).count(), 2);
        assert_eq!(elements(&svg, "circle").len(), 1);
        let png = Pixmap::decode_png(&figure.to_png().unwrap()).unwrap();
        let (xs, dot) = (tick_labels(&svg, "x", "middle"), elements(&svg, "circle")[0]);
        let at = |x| pixel(&png, by_ticks(&xs, x, |v| v), number(&dot, "cy"));
        assert_eq!([at(0.5), at(3.0), at(5.5)], [BLUE; 3]);
        assert!(at(1.5) != BLUE && at(2.5) != BLUE && at(4.5) != BLUE, "the gaps are empty");
    }
}

#[test]
fn text_is_escaped_and_told_to_screen_readers() {
    let mut figure = one(
        Axis::linear("a < b & \"c\""),
        Axis::linear("y"),
        Series::new("</text><script>", Style::Line, vec![(0.0, 0.0), (1.0, 1.0)]),
    );
    figure.title = "<b> & co".into();
    figure.caption = "5 < 6".into();
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    assert!(elements(&svg, "script").is_empty());
    let read = |name: &str| elements(&svg, name)[0].text().unwrap().to_owned();
    assert_eq!((read("title"), read("desc")), ("<b> & co".to_owned(), "5 < 6".to_owned()));
    let texts = elements(&svg, "text");
    for expected in ["a < b & \"c\"", "</text><script>", "<b> & co"] {
        assert!(texts.iter().any(|n| n.text().is_some_and(|t| t.trim() == expected)), "{expected}");
    }
}

#[test]
fn a_series_without_points_is_named_as_such() {
    let text = one(Axis::log("x"), Axis::log("y"), Series::new("ours", Style::Line, vec![]))
        .to_svg()
        .unwrap();
    assert!(text.contains("ours (no data)"));
    let nothing =
        Figure { title: String::new(), caption: String::new(), panels: vec![], columns: 0 };
    assert!(Pixmap::decode_png(&nothing.to_png().unwrap()).is_ok());
}

#[test]
fn a_long_line_loses_bytes_but_not_its_look() {
    let wave =
        |i: i32| f64::from(i) * 1e-4 + (f64::from(i) * 0.37).sin() * (f64::from(i) * 0.011).cos();
    let points = (0..60_000).map(|i| (f64::from(i), wave(i))).collect();
    let figure = one(Axis::linear("x"), Axis::linear("y"), Series::new("a", Style::Line, points));
    let (whole, thinned) = (layout::draw(&figure, 0.1), figure.to_svg().unwrap());
    assert!(thinned.len() <= MAX_SVG_BYTES);
    let pictures = [&whole, &thinned]
        .map(|svg| Pixmap::decode_png(&raster::render(svg, "wave").unwrap()).unwrap());
    let differ =
        pictures[0].data().iter().zip(pictures[1].data()).filter(|(a, b)| a.abs_diff(**b) > 96);
    let share = differ.count() as f64 / pictures[0].data().len() as f64;
    assert!(share < 0.002, "a share of {share} of the picture differs");
}

#[test]
fn too_many_series_are_refused_by_size() {
    let line = |k: i32| (0..3000).map(|i| (f64::from(i), f64::from(i * k % 101))).collect();
    let series = (1..80).map(|k| Series::new(format!("{k}"), Style::Line, line(k))).collect();
    let figure = figure(Panel { series, ..Panel::default() });
    assert!(
        matches!(figure.to_svg(), Err(PlotError::TooLarge { bytes, .. }) if bytes > MAX_SVG_BYTES)
    );
}

#[test]
fn the_same_label_has_the_same_colour_in_every_panel() {
    let line = |label: &str| Series::new(label, Style::Line, vec![(0.0, 0.0), (1.0, 1.0)]);
    let panel = |labels: &[&str]| Panel {
        series: labels.iter().map(|l| line(l)).collect(),
        ..Panel::default()
    };
    let figure = Figure {
        title: String::new(),
        caption: String::new(),
        panels: vec![panel(&["relu", "tanh"]), panel(&["tanh", "relu"])],
        columns: 2,
    };
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let colours: Vec<_> = elements(&svg, "polyline")
        .iter()
        .filter_map(|n| n.attribute("stroke"))
        .filter(|c| ["#0072B2", "#D55E00"].contains(c))
        .collect();
    let (blue, red) = ("#0072B2", "#D55E00");
    assert_eq!(colours, [blue, red, red, blue, blue, red], "two panels and the legend");
}

#[test]
fn published_values_are_dashed_and_ours_are_solid() {
    let panel = Panel {
        series: vec![Series::new("ours", Style::Line, vec![(0.0, 0.0), (1.0, 1.0)])],
        references: vec![Reference::horizontal("published", 0.5)],
        ..Panel::default()
    };
    let text = figure(panel).to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let dashed = |colour: &str| {
        let lines = elements(&svg, "polyline");
        let of_colour = lines.iter().filter(|n| n.attribute("stroke") == Some(colour));
        let dashes =
            |n: &Node<'_, '_>| n.parent().unwrap().attribute("stroke-dasharray").map(str::to_owned);
        of_colour.map(|n| dashes(n).is_some_and(|d| d != "none")).collect::<Vec<_>>()
    };
    assert_eq!(dashed("#0072B2"), [false, false], "the line and its sample");
    assert_eq!(dashed("#5A5A5A"), [true, true], "the reference and its sample");
}

#[test]
fn a_bar_reaches_from_zero_to_its_value_and_its_error_bar_spans_the_interval() {
    let series =
        Series::new("", Style::Bars, vec![(0.0, 40.0), (1.0, -20.0)]).band(vec![(0.0, 30.0, 50.0)]);
    let figure = one(
        Axis::categories("", ["first", "second"]),
        Axis::linear("y").range(-50.0, 50.0),
        series,
    );
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let bars: Vec<_> = elements(&svg, "rect")
        .into_iter()
        .filter(|n| n.attribute("fill") == Some("#0072B2"))
        .map(|n| (number(&n, "y"), number(&n, "height")))
        .collect();
    // 100 on the axis; the bars are 40 and 20 high and meet at zero.
    assert!((bars[0].1 / bars[1].1 - 2.0).abs() < 0.01, "{bars:?}");
    assert!((bars[0].0 + bars[0].1 - bars[1].0).abs() < 1.5, "{bars:?}");
    let line =
        elements(&svg, "polyline").into_iter().find(|n| n.attribute("stroke-width") == Some("15"));
    let ys: Vec<f64> = line
        .unwrap()
        .attribute("points")
        .unwrap()
        .split_whitespace()
        .map(|p| p.split_once(',').unwrap().1.parse().unwrap())
        .collect();
    assert!(((ys[0] - ys[1]) / bars[1].1 - 1.0).abs() < 0.01, "20 high: {ys:?} beside {bars:?}");
}

#[test]
fn both_files_are_written_beside_each_other_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("new/loss-1.5b");
    let figure = one(Axis::linear("x"), Axis::linear("y"), Series::default());
    figure.write(&stem).unwrap();
    figure.write(&stem).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder.path().join("new"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["loss-1.5b.png", "loss-1.5b.svg"]);
    let blocked = folder.path().join("new/loss-1.5b.svg/more");
    assert!(matches!(figure.write(&blocked), Err(PlotError::Write(_))));
}
