//! Draws a [`View`] into a [`Frame`] with a pure function. This module never reads a clock and
//! never judges the freshness of a price: the view contains both.

mod draw_cache;
mod font;
mod frame;
mod layouts;
mod parts;
mod row;
pub mod screen;
mod view;
mod words;

use crate::market::DayStats;
pub use draw_cache::DrawCache;
pub use frame::{Colours, Frame, Size, WIDTH};
pub use layouts::message::{notice, test_picture};
use layouts::{link_status, message, option, pair_short, pair_square, pair_tall, single};
pub use view::{
    AlertView, ClockFault, Format, InstrumentView, LinkHop, LinkIcon, LinkReport, OptionView,
    PageView, PriceSummary, Threshold, TimeSource, View,
};
pub use words::words;

/// Draws a view, and replaces the previous content of the frame.
///
/// **A price in the picture is either fresh or visibly not fresh**: a stale price is struck out and
/// has its age beside it, a closing price has faint digits and the word CLOSED, a delayed price has
/// a block with its delay and the word DELAYED, a missing price is dashes, and simulated prices have the word `DEMO`. The function
/// allocates nothing. The draw cache saves work and never changes a picture.
pub fn draw(view: &View<'_>, draw_cache: &mut DrawCache, frame: &mut Frame) {
    frame.clear(view.colours);
    match (&view.page, frame.size()) {
        (PageView::Pair(primary, secondary), Size::Tall) => {
            pair_tall::draw(view, primary, secondary.as_ref(), draw_cache, frame);
        }
        (PageView::Pair(primary, secondary), Size::Short) => {
            pair_short::draw(view, primary, secondary.as_ref(), frame);
        }
        (PageView::Pair(primary, Some(secondary)), Size::Square) => {
            pair_square::draw(view, primary, secondary, frame);
        }
        (PageView::Pair(line, None), Size::Square) => {
            single::square(view, line, DayStats::default(), frame);
        }
        (PageView::Big(line, day), Size::Tall) => {
            single::tall(view, line, *day, draw_cache, frame);
        }
        (PageView::Big(line, day), Size::Short) => single::low(view, line, *day, frame),
        (PageView::Big(line, day), Size::Square) => single::square(view, line, *day, frame),
        (PageView::Contract(sheet), Size::Tall) => option::tall(view, sheet, frame),
        (PageView::Contract(sheet), Size::Short) => option::low(view, sheet, frame),
        (PageView::Contract(sheet), Size::Square) => option::square(view, sheet, frame),
        (PageView::Link(report), Size::Tall) => link_status::tall(view, report, frame),
        (PageView::Link(report), Size::Short) => link_status::low(view, report, frame),
        (PageView::Link(report), Size::Square) => link_status::square(view, report, frame),
        (PageView::Notice { title, text }, _) => message::page(view, title, text, frame),
        (PageView::Join { text, code }, _) => message::join(view, text, code, frame),
        (PageView::Empty, _) => message::empty(view, frame),
    }
}
