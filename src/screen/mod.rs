//! What is shown: a pure function from a [`View`] to a [`Frame`]. Never asks what time it is,
//! and never decides what a value is worth: the view says that.

mod badge;
mod change;
mod clock;
mod frame;
mod glyphs;
mod icon;
mod kept;
mod label;
mod notice;
mod number;
mod short;
mod sparkline;
mod tall;
mod view;

pub use frame::{Frame, Size, WIDTH};
pub use glyphs::Glyphs;
pub use kept::Kept;
pub use notice::notice;
pub use view::{Alert, Format, Hop, Line, Page, Report, Sheet, Sign, Threshold, View};

/// Draws a view; what was in the frame before is gone.
///
/// **A number in it is either fresh or visibly not**: a stale one is struck out and wears its age,
/// a closed or delayed one wears the word, a missing one is dashes, and simulated prices are
/// headed `DEMO`. Allocates nothing. What is kept saves work and changes no picture.
pub fn draw(view: &View<'_>, glyphs: &Glyphs, kept: &mut Kept, frame: &mut Frame) {
    frame.as_bytes_mut().fill(0);
    match frame.size() {
        Size::Tall => tall::draw(view, glyphs, kept, frame),
        Size::Short => short::draw(view, glyphs, frame),
    }
}
