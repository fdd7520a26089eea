//! The layouts, one for each kind of page and each size of panel. A layout places the parts of a
//! picture; it never judges a value.

pub(crate) mod header;
pub(crate) mod link_status;
pub(crate) mod message;
pub(crate) mod option;
pub(crate) mod pair_short;
pub(crate) mod pair_tall;
pub(crate) mod single;
