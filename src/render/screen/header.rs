//! The first line of the big screen: the name, the alert, and the state of the whole display. This
//! module never judges a state.

use super::canvas::Canvas;
use super::scene::{Align, Ink, Rect, Shape};
use crate::render::parts::{alert, clock, name};
use crate::render::{LinkIcon, PageView, View};

pub(crate) fn draw(canvas: &mut Canvas<'_>, view: &View<'_>, mut strip: Rect) {
    let (height, gap) = (strip.h, canvas.margin);
    let badge = |canvas: &mut Canvas<'_>, strip: &mut Rect, text: &str, ink| {
        let width = canvas.badge_width(text, height).min(strip.w / 2);
        let place = strip.cut_right(width);
        canvas.badge(place, text, ink);
        strip.cut_right(gap);
    };
    if view.simulated {
        badge(canvas, &mut strip, "DEMO", Ink::Demo);
    }
    if let Some(text) = alert::words(view) {
        let lit = view.alert.is_some_and(|alert| alert.lit);
        let inks = match lit {
            true => (Ink::Stale, Ink::OnBadge),
            false => (Ink::Tile, Ink::Stale),
        };
        return canvas.text(strip, inks, &text, height * 3 / 5, Align::Centre);
    }
    let time = clock::text(view);
    let size = (height / 2).max(1);
    let width = canvas.widths.of(&time, size as u16, 0);
    let place = strip.cut_right(width);
    canvas.text(place, (Ink::Back, Ink::Text), &time, size, Align::Right);
    strip.cut_right(gap);
    let (bars, word) = match view.sign {
        LinkIcon::Live => (4, None),
        LinkIcon::Joining => (2, Some("JOINING")),
        LinkIcon::Silent => (1, Some("SILENT")),
        LinkIcon::Down => (0, Some("NO LINK")),
        LinkIcon::Refused => (0, Some("REFUSED")),
    };
    let place = strip.cut_right(size).inside(0, height / 4);
    let ink = if word.is_some() {
        Ink::Stale
    } else {
        Ink::Text
    };
    let shape = Shape::Bars(bars, bars == 0);
    canvas.scene.push(place, Ink::Back, ink, shape);
    strip.cut_right(gap);
    if let Some(word) = word {
        badge(canvas, &mut strip, word, Ink::Stale);
    }
    if view.misconfigured {
        badge(canvas, &mut strip, "CONFIG", Ink::Stale);
    }
    let title = match &view.page {
        PageView::Pair(line, _) | PageView::Big(line, _) => name::long(line),
        PageView::Contract(sheet) => name::long(&crate::render::InstrumentView {
            contract: Some(sheet.contract),
            ..sheet.line
        }),
        PageView::Link(_) => super::canvas::cut("CONNECTION"),
        PageView::Join { .. } => super::canvas::cut("PHONE"),
        PageView::Notice { .. } | PageView::Empty => super::canvas::cut(""),
    };
    canvas.text(
        strip,
        (Ink::Back, Ink::Text),
        &title,
        height * 3 / 5,
        Align::Left,
    );
}
