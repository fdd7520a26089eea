//! What is shown: a pure function from a [`View`] to a [`Frame`].

mod frame;
mod view;

pub use frame::{Frame, Size, WIDTH};
pub use view::{Line, Sign, View};
