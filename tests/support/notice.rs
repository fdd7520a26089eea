//! The picture of a notice page, as a display must show it.
#![allow(unreachable_pub, clippy::unwrap_used)]

use deskticker::display::png;
use deskticker::render::{self, Colours, DrawCache, Format, Frame, LinkIcon, PageView, Size, View};

/// Returns the PNG of a notice with this link icon. `time` is the time of day in hours and minutes.
pub fn picture(title: &str, text: &str, time: Option<(u8, u8)>, sign: LinkIcon) -> Vec<u8> {
    let view = View {
        page: PageView::Notice { title, text },
        time,
        sign,
        simulated: false,
        misconfigured: true,
        alert: None,
        format: Format::default(),
        colours: Colours::One,
    };
    let mut frame = Frame::new(Size::Tall);
    render::draw(&view, &mut DrawCache::new(), &mut frame);
    png::encode(&frame).unwrap()
}
