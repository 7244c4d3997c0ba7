//! Figures 3 and 4: what a trained network shows, as pictures.

use ledger::plot::{Bar, Figure, Gallery, Mark, Panel, Picture, Scaling, Tile};

use crate::exhibits::{neighbours, predictions};

/// Kernels in a row, as the paper prints its 96.
const KERNELS: usize = 16;
/// Slots of the palette: the right class stands out from the grey of the others.
const RIGHT: usize = 1;
const SAME: usize = 0;

/// The first layer's kernels, one panel for each of `towers` parts that they belong to.
pub(crate) fn filters(data: &str, kernels: &[Picture], towers: usize) -> Figure {
    let (n, size) = (kernels.len(), kernels.first().map_or(0, Picture::width));
    let of_tower = n.div_ceil(towers.max(1)).max(1);
    let panels = kernels.chunks(of_tower).enumerate().map(|(i, kernels)| {
        let tile = |picture: &Picture| Tile {
            picture: picture.clone(),
            caption: String::new(),
            mark: None,
            bars: Vec::new(),
        };
        let gallery = Gallery {
            tiles: kernels.iter().map(tile).collect(),
            columns: KERNELS.min(of_tower),
            scaling: Scaling::Pixelated,
            ..Gallery::default()
        };
        let title = match (towers, i) {
            (2, 0) => "first tower",
            (2, 1) => "second tower",
            _ => "",
        };
        Panel { title: title.into(), gallery: Some(gallery), ..Panel::default() }
    });
    Figure {
        title: format!(
            "Figure 3: the first layer's {n} kernels of {size}×{size}, trained on {data}"
        ),
        caption: format!(
            "The {n} kernels of {size}×{size} pixels and three colours that the first layer learned on {data}, \
             seed 0. Grey is no weight; each kernel is scaled to its own largest weight."
        ),
        panels: panels.collect(),
        columns: 1,
    }
}

/// Test pictures, each with its class and the five most probable classes.
pub(crate) fn predictions(
    data: &str,
    shown: Vec<predictions::Shown>,
    errors: predictions::Errors,
) -> Figure {
    let n = shown.len();
    let right = shown.iter().filter(|one| one.guesses.first().is_some_and(|g| g.0 == one.class));
    let right = right.count();
    let tiles = shown.into_iter().map(|predictions::Shown { picture, class, guesses }| {
        let bar = |(label, share): (String, f64)| {
            let mark = (label == class).then_some(0);
            Bar { label, share, mark }
        };
        let bars = guesses.into_iter().map(bar).collect();
        Tile { picture, caption: class, mark: None, bars }
    });
    let gallery = Gallery {
        tiles: tiles.collect(),
        columns: 4,
        marks: vec![Mark { label: "the picture's class".into(), colour: RIGHT }],
        ..Gallery::default()
    };
    Figure {
        title: format!("Figure 4, left: {n} test pictures of {data} and the most probable classes"),
        caption: format!(
            "{n} test pictures of {data}, drawn at random, each with its class below it and the five classes that \
             the network, seed 0, finds most probable; it is right about {right} of them. On all test pictures \
             its first guess is wrong for {:.1} %, all five for {:.1} %.",
            100.0 * errors.top1,
            100.0 * errors.top5
        ),
        panels: vec![Panel { gallery: Some(gallery), ..Panel::default() }],
        columns: 1,
    }
}

/// Test pictures, each with the training pictures nearest to it.
pub(crate) fn retrieval(
    data: &str,
    rows: Vec<Vec<neighbours::Shown>>,
    [by_features, by_pixels]: [f64; 2],
) -> Figure {
    let (n, columns) = (rows.len(), rows.first().map_or(1, Vec::len));
    let tiles = rows.into_iter().flatten().map(|neighbours::Shown { picture, class, same }| Tile {
        picture,
        caption: class,
        mark: same.then_some(0),
        bars: Vec::new(),
    });
    let gallery = Gallery {
        tiles: tiles.collect(),
        columns,
        apart: 1,
        marks: vec![Mark { label: "of the class of the picture on the left".into(), colour: SAME }],
        ..Gallery::default()
    };
    let nearest = columns - 1;
    Figure {
        title: format!(
            "Figure 4, right: {n} test pictures of {data} and the {nearest} nearest training pictures"
        ),
        caption: format!(
            "{n} test pictures of {data}, drawn at random, on the left; beside each the {nearest} training \
             pictures whose last hidden features are nearest to its own, the nearest first, seed 0. Of the \
             {nearest} nearest training pictures {:.1} % are of the test picture's class; of the nearest by raw \
             pixels {:.1} %.",
            100.0 * by_features,
            100.0 * by_pixels
        ),
        panels: vec![Panel { gallery: Some(gallery), ..Panel::default() }],
        columns: 1,
    }
}

#[cfg(test)]
mod tests {
    use ledger::plot::MAX_SVG_BYTES;

    use super::*;

    /// A picture that cannot be packed: the worst that there can be.
    fn noise(size: usize, k: usize) -> Picture {
        let mut state = k as u32 + 1;
        let mut level = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        Picture::new(size, size, (0..3 * size * size).map(|_| level()).collect())
    }

    #[test]
    fn even_pictures_of_noise_fit_into_a_figure_and_what_is_right_is_marked() {
        let classes =
            ["tench", "English springer", "cassette player", "chain saw", "church", "horn"];
        let guesses = |k: usize| (0..5).map(|i| (classes[(k + i) % 6].to_owned(), 0.2)).collect();
        let shown = (0..8).map(|k| predictions::Shown {
            picture: noise(64, k),
            class: classes[0].into(),
            guesses: guesses(k),
        });
        let left =
            predictions("data", shown.collect(), predictions::Errors { top1: 0.4, top5: 0.1 });
        let row = |k: usize| {
            let one = |i: usize| neighbours::Shown {
                picture: noise(40, 7 * k + i),
                class: classes[i % 6].into(),
                same: i == 6,
            };
            (0..7).map(one).collect()
        };
        let right = retrieval("data", (0..5).map(row).collect(), [0.5, 0.25]);
        let kernels = filters("data", &(0..96).map(|k| noise(11, k)).collect::<Vec<_>>(), 2);
        assert_eq!(kernels.panels.len(), 2);
        for (figure, pictures) in [(&left, 8), (&right, 35), (&kernels, 96)] {
            let svg = figure.to_svg().unwrap();
            assert!(svg.len() <= MAX_SVG_BYTES, "{}", svg.len());
            assert_eq!(svg.matches("<image ").count(), pictures);
        }
        // Five of six classes in a row, from each of the six on in turn: two of eight lack the first.
        let tiles = &left.panels[0].gallery.as_ref().unwrap().tiles;
        let marked = tiles.iter().flat_map(|tile| &tile.bars).filter(|bar| bar.mark.is_some());
        assert!(marked.clone().all(|bar| bar.label == "tench") && marked.count() == 6);
        assert!(left.caption.contains("it is right about 2 of them"), "{}", left.caption);
        let tiles = &right.panels[0].gallery.as_ref().unwrap().tiles;
        assert_eq!(tiles.iter().filter(|tile| tile.mark.is_some()).count(), 5);
        assert!(right.caption.contains("50.0 %") && right.caption.contains("25.0 %"));
    }
}
