//! The layouts, one for each kind of page and each size of panel. A layout places the parts of a
//! picture; it never judges a value.
//!
//! A new kind of page needs five steps: a variant of `PageSpec` (`config/settings.rs`), its name in
//! the configuration (`config/pages.rs`), a variant of `PageView` with the data of the page
//! (`render/view.rs`), the code that fills the data in (`ticker/view_builder.rs`), and a layout in
//! this folder that `render::draw` calls.

pub(crate) mod header;
pub(crate) mod link_status;
pub(crate) mod message;
pub(crate) mod option;
pub(crate) mod pair_short;
pub(crate) mod pair_square;
pub(crate) mod pair_tall;
pub(crate) mod single;
