//! The fixed views of a test picture.

use serde::{Deserialize, Serialize};

use super::augment::Cut;

/// Which views of a test picture the net sees; their outputs are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestView {
    /// The centre alone.
    Centre,
    /// The four corners (top left, top right, bottom left, bottom right) and the centre, then the
    /// mirror images of these in the same order.
    ///
    /// Source: Krizhevsky et al. 2012, section 4.1.
    Ten,
}

impl TestView {
    /// Views of a picture.
    pub fn count(self) -> usize {
        match self {
            Self::Centre => 1,
            Self::Ten => 10,
        }
    }

    /// The views of a picture of `side`, in order.
    pub(super) fn cuts(self, side: usize, crop: usize) -> Vec<Cut> {
        let (end, middle) = (side - crop, (side - crop) / 2);
        let places: &[(usize, usize)] = match self {
            Self::Centre => &[(middle, middle)],
            Self::Ten => &[(0, 0), (0, end), (end, 0), (end, end), (middle, middle)],
        };
        let mirrors: &[bool] = if self == Self::Ten { &[false, true] } else { &[false] };
        let cut = |mirrored| {
            places.iter().map(move |&(top, left)| Cut {
                top,
                left,
                mirrored,
                noise: None,
                shrink: 1.0,
            })
        };
        mirrors.iter().flat_map(|&mirrored| cut(mirrored)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_views_are_corners_and_centre_and_their_mirror_images() {
        let views: Vec<_> =
            TestView::Ten.cuts(32, 24).iter().map(|v| (v.top, v.left, v.mirrored)).collect();
        let places = [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)];
        let expected: Vec<_> = [false, true]
            .iter()
            .flat_map(|&mirrored| places.map(|(top, left)| (top, left, mirrored)))
            .collect();
        assert_eq!(views, expected);
        assert_eq!(views.len(), TestView::Ten.count());
        let centre = TestView::Centre.cuts(256, 227);
        assert_eq!((centre[0].top, centre[0].left, centre.len()), (14, 14, 1));
    }
}
