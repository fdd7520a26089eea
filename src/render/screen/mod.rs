//! The picture of the big screen: composes a [`ScreenContent`] into a [`Scene`] for any size, and
//! paints parts of a scene. This module never reads a clock, never judges a price, and never has the
//! pixels of the whole screen.

mod canvas;
mod chart;
mod content;
mod face;
mod focus;
mod header;
mod pages;
mod paint;
mod painter;
mod scene;
mod wall;

use canvas::Canvas;
pub use content::{CurveSpan, ScreenContent, TILES};
pub use face::Widths;
pub use painter::{Change, Painter};
pub use scene::{Align, Ink, Item, Palette, Rect, Scene, Shape, Text, Theme};

use crate::render::{LinkIcon, PageView};

/// The look of the screen beside its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// The width and the height of the picture in pixels.
    pub size: (i32, i32),
    /// The theme.
    pub theme: Theme,
    /// True if the screen is on. A screen that is off is black.
    pub on: bool,
    /// The brightness, 0 to 255.
    pub brightness: u8,
    /// The shift of the picture against burn-in, in steps; positive values move it down.
    pub shift: i8,
}

/// Composes the picture. The scene keeps its memory, so a price allocates nothing.
pub fn compose(content: &ScreenContent, look: Look, widths: &Widths, scene: &mut Scene) {
    let palette = match look.on {
        true => Palette::new(look.theme, look.brightness),
        false => Palette::black(),
    };
    scene.clear(look.size, palette);
    if !look.on {
        return;
    }
    let (width, height) = look.size;
    let view = content.view();
    let margin = (width.min(height) / 45).max(2);
    let step = (margin / 4).max(1);
    let mut area = scene.area().inside(margin, margin);
    area.y += (i32::from(look.shift) * step).clamp(-margin, margin);
    let mut canvas = Canvas::new(scene, widths, view.format.numbers, margin);
    let portrait = height > width;
    let strip = area.cut_top(if portrait { height / 18 } else { height / 11 });
    header::draw(&mut canvas, &view, strip);
    area.cut_top(margin / 2);
    let prices = matches!(
        view.page,
        PageView::Pair(..) | PageView::Big(..) | PageView::Contract(_)
    );
    let grid = wall::grid(look.size, content.tiles().len()).filter(|_| prices);
    if let Some(grid) = grid {
        let bottom = area.cut_bottom(wall::height(look.size, grid));
        wall::draw(&mut canvas, content.tiles(), grid, bottom);
        area.cut_bottom(margin);
    }
    let on_wall = |label: &str| {
        let shown = grid.map_or(0, |(columns, rows)| (columns * rows) as usize);
        content.tiles().take(shown).any(|tile| tile.label == label)
    };
    match &view.page {
        PageView::Pair(first, second) => {
            let second = second.as_ref().filter(|second| !on_wall(second.label));
            focus::pair(&mut canvas, first, second, content, area, portrait);
        }
        PageView::Big(line, _) => focus::pair(&mut canvas, line, None, content, area, portrait),
        PageView::Contract(sheet) => focus::contract(&mut canvas, sheet, area, portrait),
        PageView::Link(report) => pages::link(&mut canvas, report, view.sign, area),
        PageView::Notice { title, text } => pages::notice(&mut canvas, title, text, area),
        PageView::Join { text, code } => pages::join(&mut canvas, text, code, area),
        PageView::Empty => pages::notice(&mut canvas, "", "the watchlist is empty", area),
    }
}

/// Returns the content for a text in place of prices.
pub fn notice(title: &str, text: &str) -> ScreenContent {
    let mut content = ScreenContent::default();
    content.set(&crate::render::View {
        page: PageView::Notice { title, text },
        time: None,
        sign: LinkIcon::Down,
        simulated: false,
        misconfigured: false,
        alert: None,
        format: crate::render::Format::default(),
        colours: crate::render::Colours::One,
    });
    content
}
