//! What is shown: a pure function from a [`View`] to a [`Frame`]. Never asks what time it is,
//! and never decides what a value is worth: the view says that.

mod alert;
mod badge;
mod big;
mod cell;
mod change;
mod clock;
mod contract;
mod frame;
mod glyphs;
mod header;
mod icon;
mod kept;
mod label;
mod notice;
mod number;
mod range;
mod report;
mod short;
mod sparkline;
mod tall;
mod view;

pub use frame::{Frame, Size, WIDTH};
pub use glyphs::FontSet;
pub use kept::DrawCache;
pub use notice::notice;
pub use view::{
    AlertView, ClockFault, ExtendedQuote, Format, InstrumentView, LinkHop, LinkIcon, LinkReport,
    OptionView, PageView, PriceSummary, Threshold, TimeSource, View,
};

/// Draws a view; what was in the frame before is gone.
///
/// **A number in it is either fresh or visibly not**: a stale one is struck out and wears its age,
/// a closed or delayed one wears the word, a missing one is dashes, and simulated prices are
/// headed `DEMO`. Allocates nothing. What is kept saves work and changes no picture.
pub fn draw(view: &View<'_>, font_set: &FontSet, draw_cache: &mut DrawCache, frame: &mut Frame) {
    frame.as_bytes_mut().fill(0);
    match (&view.page, frame.size()) {
        (PageView::Pair(primary, secondary), Size::Tall) => {
            tall::draw(
                view,
                (primary, secondary.as_ref()),
                font_set,
                draw_cache,
                frame,
            );
        }
        (PageView::Pair(primary, secondary), Size::Short) => {
            short::draw(view, (primary, secondary.as_ref()), font_set, frame);
        }
        (PageView::Big(line, day, outside), Size::Tall) => {
            big::tall(view, line, *day, *outside, font_set, frame);
        }
        (PageView::Big(line, day, outside), Size::Short) => {
            big::low(view, line, *day, *outside, font_set, frame);
        }
        (PageView::Contract(sheet), Size::Tall) => contract::tall(view, sheet, font_set, frame),
        (PageView::Contract(sheet), Size::Short) => contract::low(view, sheet, font_set, frame),
        (PageView::Link(report), Size::Tall) => report::tall(view, report, font_set, frame),
        (PageView::Link(report), Size::Short) => report::low(view, report, font_set, frame),
        (PageView::Notice { title, text }, _) => notice::page(view, (title, text), font_set, frame),
        (PageView::Empty, _) => notice::empty(view, font_set, frame),
    }
}
