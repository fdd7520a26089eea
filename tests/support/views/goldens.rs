//! Golden pictures in `tests/screens/`, with two pixels per character and a bar at the end of each
//! line. `UPDATE_SCREENS=1 cargo test` writes them again, and `git diff` shows the changes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use deskticker::market::Freshness;
use deskticker::render::{Frame, Size, View};

use super::{SIZES, drawn, lines};

/// The text of a stored picture. The bars protect the spaces of dark pixels from editors and git.
fn text(frame: &Frame) -> String {
    let mut text = String::new();
    for line in frame.to_string().lines() {
        writeln!(text, "{line}|").unwrap();
    }
    text
}

/// Named pictures that are stored in one file.
pub(crate) struct Album<'a> {
    file: &'a str,
    sizes: &'static [Size],
    views: Vec<(String, View<'a>)>,
}

impl<'a> Album<'a> {
    /// An album of pictures for 128×64 and 128×32.
    pub(crate) fn new(file: &'a str) -> Self {
        Self {
            file,
            sizes: &SIZES[..2],
            views: vec![],
        }
    }

    /// An album of pictures for 128×64 alone.
    pub(crate) fn tall(file: &'a str) -> Self {
        Self {
            sizes: &SIZES[..1],
            ..Self::new(file)
        }
    }

    /// An album of pictures for 128×128 alone.
    pub(crate) fn square(file: &'a str) -> Self {
        Self {
            sizes: &SIZES[2..],
            ..Self::new(file)
        }
    }

    pub(crate) fn add(&mut self, name: &str, view: View<'a>) -> &mut Self {
        self.views.push((name.into(), view));
        self
    }

    /// Adds the view once for each freshness. All of its lines have the same freshness.
    pub(crate) fn add_each_freshness(&mut self, name: &str, view: View<'a>) -> &mut Self {
        for (word, freshness) in FRESHNESSES {
            let mut view = view;
            for line in lines(&mut view) {
                line.freshness = freshness;
            }
            self.add(&format!("{name}{word}"), view);
        }
        self
    }

    /// The views of the pictures.
    pub(crate) fn views(&self) -> impl Iterator<Item = &View<'a>> {
        self.views.iter().map(|(_, view)| view)
    }

    /// Compares the pictures with the golden file, for all sizes of the album.
    pub(crate) fn check(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/screens")
            .join(format!("{}.txt", self.file));
        let pictures = self.views.iter().flat_map(|(name, view)| {
            let picture =
                move |size: &Size| format!("{name}, {size}\n{}", text(&drawn(view, *size)));
            self.sizes.iter().map(picture)
        });
        let actual: Vec<String> = pictures.collect();
        if env::var_os("UPDATE_SCREENS").is_some() {
            fs::write(&path, actual.join("\n")).unwrap();
            return;
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let expected: Vec<&str> = kept.split("\n\n").map(str::trim_end).collect();
        for (at, actual) in actual.iter().enumerate() {
            let expected = expected.get(at).copied().unwrap_or("no picture");
            assert!(
                actual.trim_end() == expected,
                "{}, expected:\n{expected}\nactual:\n{actual}\nUPDATE_SCREENS=1 keeps the pictures",
                self.file
            );
        }
        assert_eq!(actual.len(), expected.len(), "{}: more are kept", self.file);
    }
}

/// The possible freshness values of a price.
pub(crate) const FRESHNESSES: [(&str, Freshness); 6] = [
    ("live", Freshness::Live),
    ("stale", Freshness::Stale(Duration::from_secs(12))),
    (
        "stale for hours",
        Freshness::Stale(Duration::from_secs(2 * 3600)),
    ),
    ("delayed", Freshness::Delayed),
    ("closed", Freshness::Closed),
    ("none", Freshness::None),
];
