//! The icons: the state of the connection and the direction of a change. This module never decides
//! which icon is shown.

use crate::render::{Frame, LinkIcon};

/// The width of a connection icon in columns.
pub(crate) const SIGN: usize = 8;
/// The width of an arrow in columns.
pub(crate) const ARROW: usize = 7;

/// Converts eight rows of characters to columns, from left to right. The lowest bit of a column is
/// the top row.
const fn columns<const W: usize>(rows: [&[u8; W]; 8]) -> [u8; W] {
    let mut columns = [0; W];
    let mut y = 0;
    while y < 8 {
        let mut x = 0;
        while x < W {
            if rows[y][x] == b'#' {
                columns[x] |= 1 << y;
            }
            x += 1;
        }
        y += 1;
    }
    columns
}

/// The bars of a good reception.
static LIVE: [u8; SIGN] = columns([
    b"......##",
    b"......##",
    b"...##.##",
    b"...##.##",
    b"...##.##",
    b"##.##.##",
    b"##.##.##",
    b"........",
]);
/// A ring, which is not yet full: the client connects.
static JOINING: [u8; SIGN] = columns([
    b"..####..",
    b".##..##.",
    b"##....##",
    b"##....##",
    b"##....##",
    b".##..##.",
    b"..####..",
    b"........",
]);
/// A flat line: the client is connected, but no messages arrive.
static SILENT: [u8; SIGN] = columns([
    b"........",
    b"........",
    b"........",
    b"########",
    b"########",
    b"........",
    b"........",
    b"........",
]);
/// A crossed box, which is the brightest sign.
static DOWN: [u8; SIGN] = columns([
    b"########",
    b"#.####.#",
    b"##.##.##",
    b"###..###",
    b"###..###",
    b"##.##.##",
    b"#.####.#",
    b"########",
]);
/// A no-entry sign.
static REFUSED: [u8; SIGN] = columns([
    b"..####..",
    b".######.",
    b"########",
    b"#......#",
    b"#......#",
    b"########",
    b".######.",
    b"..####..",
]);
static UP: [u8; ARROW] = columns([
    b".......", b".......", b"...#...", b"..###..", b".#####.", b"#######", b".......", b".......",
]);
static FALL: [u8; ARROW] = columns([
    b".......", b".......", b"#######", b".#####.", b"..###..", b"...#...", b".......", b".......",
]);

/// Draws the state of the connection with its left edge at `x`.
pub(crate) fn sign(frame: &mut Frame, sign: LinkIcon, x: usize, page: usize) {
    let columns = match sign {
        LinkIcon::Live => &LIVE,
        LinkIcon::Joining => &JOINING,
        LinkIcon::Silent => &SILENT,
        LinkIcon::Down => &DOWN,
        LinkIcon::Refused => &REFUSED,
    };
    frame
        .columns_mut(page, x..x + SIGN)
        .copy_from_slice(columns);
}

/// Draws the direction of a change with its left edge at `x`.
pub(crate) fn arrow(frame: &mut Frame, rising: bool, x: usize, page: usize) {
    let columns = if rising { &UP } else { &FALL };
    frame
        .columns_mut(page, x..x + ARROW)
        .copy_from_slice(columns);
}
