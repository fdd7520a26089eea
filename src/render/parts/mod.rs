//! The parts of the layouts: prices, changes, badges, icons. A part never decides its own position.

pub(crate) mod alert;
pub(crate) mod badge;
pub(crate) mod change;
pub(crate) mod clock;
pub(crate) mod field;
pub(crate) mod icon;
pub(crate) mod name;
pub(crate) mod price;
pub(crate) mod range;
pub(crate) mod sparkline;
