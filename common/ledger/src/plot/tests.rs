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
fn a_title_ends_within_the_figure_whatever_labels_stand_below_it() {
    let panel = |title: &str, y: Axis, at: f64| Panel {
        title: title.into(),
        y,
        series: vec![Series::new("", Style::Markers, vec![(0.0, 1.0), (1.0, at)])],
        ..Panel::default()
    };
    let wide = || panel("", Axis::linear("a label").range(0.0, 9e6), 8e6);
    // Longer by a narrow word each: some end just before the edge.
    for words in 60..100 {
        let title = "l ".repeat(words);
        let panels = vec![panel(&title, Axis::linear(""), 2.0), wide()];
        let text = Figure { panels, ..figure(Panel::default()) }.to_svg().unwrap();
        let svg = Document::parse(&text).unwrap();
        let right = number(&svg.root_element(), "width") * canvas::UNITS;
        let lines = elements(&svg, "text");
        let lines = lines.iter().filter_map(|n| Some((n, n.text()?.trim())));
        for (line, read) in lines.filter(|(_, read)| read.starts_with("l ")) {
            let width = font::width(read, number(line, "font-size"), font::Weight::SemiBold);
            let end = number(line, "x") + width;
            assert!(end < right, "`{read}` ends at {end} of {right}");
        }
    }
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

/// A picture of `width × height` whose pixel at column `x` and row `y` is `colour(x, y)`.
fn picture(width: usize, height: usize, colour: impl Fn(usize, usize) -> [u8; 3]) -> Picture {
    let at = |i: usize| colour(i % width, i / width);
    Picture::new(width, height, (0..width * height).flat_map(at).collect())
}

fn tile(picture: Picture, caption: &str) -> Tile {
    Tile { picture, caption: caption.into(), mark: None, bars: Vec::new() }
}

fn gallery(gallery: Gallery) -> Figure {
    figure(Panel { gallery: Some(gallery), ..Panel::default() })
}

/// Left, top, width and height of each `<image>`, in canvas units.
fn images(svg: &Document<'_>) -> Vec<[f64; 4]> {
    let sides = ["x", "y", "width", "height"];
    elements(svg, "image").iter().map(|n| sides.map(|side| number(n, side))).collect()
}

#[test]
fn a_picture_is_what_it_was_after_being_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    let small = |k: u8| picture(3, 2, move |x, y| [k, x as u8, y as u8]);
    let sheet = Picture::sheet(&[small(1), small(2), small(3)], 2);
    std::fs::write(&path, sheet.to_png()).unwrap();
    let read = Picture::read_png(&path).unwrap();
    assert_eq!((read.width(), read.height()), (6, 4));
    for (k, (left, top)) in (1..).zip([(0, 0), (3, 0), (0, 2)]) {
        assert_eq!(read.part(left, top, 3, 2).unwrap(), small(k));
    }
    assert_eq!(read.part(3, 2, 3, 2).unwrap(), picture(3, 2, |_, _| [0; 3]), "nothing was there");
    assert_eq!(read.part(4, 0, 3, 2), None, "it reaches over the edge");
    for (bytes, reason) in [
        (&b"no picture"[..], "not a PNG picture"),
        (&sheet.to_png()[..60], "damaged"),
        (&Pixmap::new(2, 2).unwrap().encode_png().unwrap(), "found Rgba"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Picture::read_png(&path).unwrap_err().to_string();
        assert!(error.contains("sheet.png") && error.contains(reason), "{error}, wanted {reason}");
    }
}

#[test]
fn each_pixel_of_a_kernel_becomes_a_sharp_rectangle_of_its_colour() {
    let kernel = picture(3, 3, |x, y| [100 * x as u8, 100 * y as u8, 50]);
    let tiles = vec![tile(kernel.clone(), ""); 6];
    let kernels = Gallery { tiles, columns: 3, scaling: Scaling::Pixelated, ..Gallery::default() };
    let figure = gallery(kernels);
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let png = Pixmap::decode_png(&figure.to_png().unwrap()).unwrap();
    let placed = images(&svg);
    assert_eq!(placed.len(), 6);
    for [left, top, width, height] in placed {
        assert!((width - height).abs() < 1.5, "{width} x {height}");
        let pixel_at = |x: f64, y: f64| pixel(&png, left + x * width, top + y * height);
        for (x, y) in (0..9).map(|i| (i % 3, i / 3)) {
            let wanted = (100 * x as u8, 100 * y as u8, 50);
            // Near the corners of the rectangle too: nothing is smoothed.
            for (dx, dy) in [(0.5, 0.5), (0.1, 0.1), (0.9, 0.9)] {
                let found = pixel_at((f64::from(x) + dx) / 3.0, (f64::from(y) + dy) / 3.0);
                assert_eq!(found, wanted, "pixel {x}, {y} at {dx}, {dy}");
            }
        }
    }
}

#[test]
fn pictures_stand_in_rows_inside_the_figure_and_do_not_touch() {
    let tiles = (0..10).map(|k| tile(picture(8, 6, |x, _| [x as u8; 3]), &format!("word {k}")));
    let rows = Gallery { tiles: tiles.collect(), columns: 4, apart: 1, ..Gallery::default() };
    let text = gallery(rows).to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let width = 10.0 * number(&svg.root_element(), "width");
    let placed = images(&svg);
    let rows: Vec<_> = placed.chunks(4).collect();
    assert_eq!(rows.iter().map(|row| row.len()).collect::<Vec<_>>(), [4, 4, 2]);
    for row in &rows {
        assert!(row.iter().all(|at| (at[1] - row[0][1]).abs() < 1.0), "one top: {row:?}");
        assert!(row.iter().all(|at| (at[2] / at[3] - 8.0 / 6.0).abs() < 0.01), "shape: {row:?}");
        let gaps: Vec<f64> = row.windows(2).map(|w| w[1][0] - w[0][0] - w[0][2]).collect();
        assert!(gaps.iter().all(|gap| *gap > 0.0), "{gaps:?}");
        assert!(gaps.len() < 2 || gaps[0] > 2.0 * gaps[1], "the first stands apart: {gaps:?}");
        assert!(row.iter().all(|at| at[0] >= 0.0 && at[0] + at[2] <= width), "{row:?}");
    }
    // Every caption lies between its picture and the next row, in the middle of the picture.
    let captions: Vec<_> = elements(&svg, "text")
        .into_iter()
        .filter(|n| n.text().is_some_and(|t| t.trim().starts_with("word")))
        .collect();
    for (k, (caption, at)) in captions.iter().zip(&placed).enumerate() {
        assert_eq!(caption.text().unwrap().trim(), format!("word {k}"));
        assert!((number(caption, "x") - at[0] - 0.5 * at[2]).abs() < 1.5, "{k}");
        let below = number(caption, "y") - at[1] - at[3];
        assert!(below > 0.0, "{k}: {below}");
        assert!(placed.get(k + 4).is_none_or(|next| number(caption, "y") < next[1]), "{k}");
    }
    assert_eq!(captions.len(), 10);
}

#[test]
fn a_bar_is_as_long_as_its_share_of_the_picture_and_the_marked_one_has_its_colour() {
    let bar = |label: &str, share, mark| Bar { label: label.into(), share, mark };
    let one = Tile {
        bars: vec![
            bar("tench", 0.75, Some(0)),
            bar("a name too long to stand on one bar", 0.2, None),
        ],
        ..tile(picture(4, 4, |_, _| [9; 3]), "tench")
    };
    let marks = vec![Mark { label: "the picture's class".into(), colour: 1 }];
    let figure = gallery(Gallery { tiles: vec![one], columns: 3, marks, ..Gallery::default() });
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let [left, top, side, high] = images(&svg)[0];
    let bars: Vec<_> = elements(&svg, "rect")
        .into_iter()
        .filter(|n| n.attribute("fill-opacity").is_some() || n.attribute("opacity").is_some())
        .filter(|n| (number(n, "x") - left).abs() < 1.0)
        .map(|n| (number(&n, "y"), number(&n, "width") / side, n.attribute("fill").unwrap()))
        .collect();
    assert!((bars[0].1 - 0.75).abs() < 0.01 && (bars[1].1 - 0.2).abs() < 0.01, "{bars:?}");
    assert_eq!((bars[0].2, bars[1].2), ("#D55E00", "#5A5A5A"));
    assert!(bars[0].0 > top + high && bars[1].0 > bars[0].0, "{bars:?}");
    let texts: Vec<_> =
        elements(&svg, "text").iter().map(|n| n.text().unwrap().trim().to_owned()).collect();
    for wanted in ["75 %", "20 %", "the picture's class"] {
        assert!(texts.iter().any(|t| t == wanted), "{wanted} in {texts:?}");
    }
    let cut = texts.iter().find(|t| t.starts_with("a name")).unwrap();
    assert!(cut.ends_with('\u{2026}'), "{cut}");
}

#[test]
fn pictures_that_take_too_many_bytes_are_refused_by_size() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let bytes = (0..3 * 300 * 300).map(|_| noise()).collect();
    let tiles = vec![tile(Picture::new(300, 300, bytes), "")];
    let figure = gallery(Gallery { tiles, columns: 1, ..Gallery::default() });
    assert!(matches!(figure.to_svg(), Err(PlotError::TooLarge { .. })));
}

#[test]
fn a_marked_picture_has_a_frame_in_its_marks_colour_and_the_others_have_none() {
    let grey = || tile(picture(4, 4, |_, _| [128; 3]), "");
    let tiles = vec![grey(), Tile { mark: Some(0), ..grey() }, grey()];
    let marks = vec![Mark { label: "of the same class".into(), colour: 0 }];
    let figure = gallery(Gallery { tiles, columns: 3, marks, ..Gallery::default() });
    let text = figure.to_svg().unwrap();
    let svg = Document::parse(&text).unwrap();
    let png = Pixmap::decode_png(&figure.to_png().unwrap()).unwrap();
    for (k, [left, top, width, height]) in images(&svg).into_iter().enumerate() {
        let edges = [
            (left, top + height / 2.0),
            (left + width, top + height / 3.0),
            (left + width / 4.0, top),
            (left + width / 2.0, top + height),
        ];
        for (x, y) in edges {
            assert_eq!(pixel(&png, x, y) == BLUE, k == 1, "picture {k} at {x}, {y}");
        }
        assert_eq!(pixel(&png, left + width / 2.0, top + height / 2.0), (128, 128, 128));
    }
}

#[test]
fn a_table_wraps_its_texts_and_stands_in_the_picture() {
    let table = Table {
        columns: vec![("before".into(), 1.0), ("after".into(), 1.0)],
        rows: vec![vec!["a dull & flat film".into(), "a bright one ".repeat(12)]],
    };
    let figure = figure(Panel { table: Some(table), ..Panel::default() });
    let svg = figure.to_svg().unwrap();
    for wanted in ["before", "after", "a dull &amp; flat film"] {
        assert!(svg.contains(wanted), "{wanted} is not in\n{svg}");
    }
    // Twelve times two words do not fit one line of half the width.
    assert!(svg.matches("a bright one").count() > 1);
    figure.to_png().unwrap();
}

#[test]
fn a_figure_of_many_photographs_has_fewer_picture_elements_than_one_of_few() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut photograph = || tile(Picture::new(40, 40, (0..4800).map(|_| noise()).collect()), "");
    let few = vec![photograph()];
    let many = (0..35).map(|_| photograph()).collect();
    let [few, many] = [few, many].map(|tiles| {
        let figure = gallery(Gallery { tiles, columns: 7, ..Gallery::default() });
        let svg = figure.to_svg().unwrap();
        let width = number(&Document::parse(&svg).unwrap().root_element(), "width");
        let png = Pixmap::decode_png(&figure.to_png().unwrap()).unwrap();
        f64::from(png.width()) / width
    });
    // Units of the SVG are those of its width.
    assert!((few / many - 2.0 / 1.5).abs() < 0.01, "{few} and {many} picture elements a unit");
}
