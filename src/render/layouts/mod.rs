//! One layout for each kind of page and size of panel.

pub(crate) mod header;
pub(crate) mod link_status;
pub(crate) mod message;
pub(crate) mod option;
pub(crate) mod pair_short;
pub(crate) mod pair_tall;
pub(crate) mod single;
