//! Pictures of the big screen for tests.
#![allow(dead_code)]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use deskticker::market::{DayStats, Price};
use deskticker::render::screen::{
    Change, CurveSpan, Look, Painter, Scene, ScreenContent, Theme, Widths, compose,
};
use deskticker::render::{InstrumentView, View};

use super::views;

/// The look of a dark screen of this size.
pub(crate) fn look(width: i32, height: i32) -> Look {
    Look {
        size: (width, height),
        theme: Theme::Dark,
        on: true,
        brightness: 127,
        shift: 0,
    }
}

/// The content of a screen with this page and these tiles.
pub(crate) fn content(view: &View<'_>, tiles: &[InstrumentView<'_>]) -> ScreenContent {
    let mut content = ScreenContent::default();
    content.set(view);
    for tile in tiles {
        content.push_tile(tile, false);
    }
    content.set_day(day());
    content.set_span(Some(SPAN));
    content
}

const SPAN: CurveSpan = ((15, 30), (20, 32));

fn day() -> DayStats {
    views::day()
}

/// Twelve instruments as tiles.
pub(crate) fn wall(history: &[Price]) -> Vec<InstrumentView<'_>> {
    let line = views::line;
    vec![
        line("SPX", 5912.41, 5887.61, history),
        line("VIX", 17.25, 17.48, &[]),
        line("NDX", 20_412.07, 20_388.0, &[]),
        line("DJI", 42_740.42, 42_800.1, &[]),
        line("RUT", 2_310.55, 2_299.0, &[]),
        line("AAPL", 231.3, 229.87, &[]),
        line("MSFT", 415.55, 419.2, &[]),
        line("NVDA", 138.07, 134.8, &[]),
        line("TSLA", 219.16, 219.16, &[]),
        line("SPY", 589.52, 587.1, &[]),
        line("QQQ", 497.36, 496.0, &[]),
        line("IWM", 229.22, 228.1, &[]),
    ]
}

/// The pixels of a picture.
#[derive(Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) size: (usize, usize),
    pub(crate) pixels: Vec<u32>,
}

impl Picture {
    pub(crate) fn new(size: (i32, i32)) -> Self {
        let size = (size.0 as usize, size.1 as usize);
        Self {
            size,
            // This colour is in no palette, so a test notices a pixel that nothing has painted.
            pixels: vec![0x12_34_56; size.0 * size.1],
        }
    }

    /// The picture of a content.
    pub(crate) fn of(content: &ScreenContent, look: Look) -> Self {
        let mut picture = Self::new(look.size);
        picture.update(&mut Painter::new().unwrap(), None, &scene(content, look));
        picture
    }

    /// Repaints the picture from one scene to another. Returns the number of changed pixels.
    pub(crate) fn update(
        &mut self,
        painter: &mut Painter,
        from: Option<&Scene>,
        to: &Scene,
    ) -> usize {
        let mut written = 0;
        let put = &mut |change: Change<'_>| {
            written += self.put(&change);
            Ok::<_, Infallible>(())
        };
        painter.repaint(from, to, put).unwrap();
        written
    }

    fn put(&mut self, change: &Change<'_>) -> usize {
        let rect = change.rect;
        let mut written = 0;
        for (at, pixel) in change.pixels.iter().enumerate() {
            let (x, y) = (at as i32 % rect.w + rect.x, at as i32 / rect.w + rect.y);
            let place = &mut self.pixels[y as usize * self.size.0 + x as usize];
            if let Some(before) = change.before {
                assert_eq!(*place, before[at], "the pixel before at {x}, {y}");
            }
            written += usize::from(place != pixel);
            *place = *pixel;
        }
        written
    }

    /// The brightness of a pixel from 0 to 1.
    pub(crate) fn luma(&self, x: usize, y: usize) -> f64 {
        let pixel = self.pixels[y * self.size.0 + x];
        let [_, red, green, blue] = pixel.to_be_bytes().map(f64::from);
        (0.299 * red + 0.587 * green + 0.114 * blue) / 255.0
    }

    /// A coarse picture as text that one can read in a diff, and a checksum of all pixels.
    pub(crate) fn text(&self, columns: usize) -> String {
        let (width, height) = self.size;
        let rows = columns * height / width;
        let back = self.luma(0, 0);
        let cell = |column: usize, row: usize| {
            let mut most: f64 = 0.0;
            let (xs, ys) = (width * column / columns, height * row / rows);
            let (xe, ye) = (width * (column + 1) / columns, height * (row + 1) / rows);
            let mut sum = 0.0;
            for y in ys..ye {
                for x in xs..xe {
                    sum += (self.luma(x, y) - back).abs();
                    most = most.max((self.luma(x, y) - back).abs());
                }
            }
            sum / ((xe - xs) * (ye - ys)) as f64 > 0.17
        };
        let mut text = String::new();
        for row in (0..rows).step_by(2) {
            for column in 0..columns {
                let below = row + 1 < rows && cell(column, row + 1);
                text.push(match (cell(column, row), below) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push_str("|\n");
        }
        let sum = self
            .pixels
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |sum, pixel| {
                (sum ^ u64::from(*pixel)).wrapping_mul(0x0100_0000_01b3)
            });
        writeln!(text, "all pixels: {sum:016x}").unwrap();
        text
    }

    /// Writes the picture as a PNG into the folder `SCREEN_PNG`, if this variable is set, so that a
    /// person can look at it.
    pub(crate) fn keep(&self, name: &str) {
        let Some(folder) = env::var_os("SCREEN_PNG") else {
            return;
        };
        let file = fs::File::create(Path::new(&folder).join(format!("{name}.png"))).unwrap();
        let mut png = png::Encoder::new(file, self.size.0 as u32, self.size.1 as u32);
        png.set_color(png::ColorType::Rgb);
        png.set_depth(png::BitDepth::Eight);
        let bytes = self
            .pixels
            .iter()
            .flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(1));
        let bytes: Vec<u8> = bytes.collect();
        png.write_header()
            .unwrap()
            .write_image_data(&bytes)
            .unwrap();
    }
}

/// The scene of a content.
pub(crate) fn scene(content: &ScreenContent, look: Look) -> Scene {
    let mut scene = Scene::default();
    compose(content, look, &Widths::new(), &mut scene);
    scene
}
