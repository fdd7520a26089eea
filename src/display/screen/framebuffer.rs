//! The framebuffer of the kernel: its size and its format from sysfs, and writes of parts of a
//! picture to its device (fb(4), Documentation/fb in the kernel). This module has one row of pixels
//! in memory and never reads the device.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::settings::{PixelFormat, ScreenRotation, ScreenSettings};
use crate::render::screen::Change;

/// The largest accepted width and height in pixels. A larger number in sysfs is an error.
const MOST: usize = 16_384;
/// The size of the buffer for the rows of one write in bytes. A row can be larger.
const WRITE: usize = 1 << 16;

/// What sysfs says about a framebuffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// The visible width in pixels.
    pub width: usize,
    /// The visible height in pixels.
    pub height: usize,
    /// The number of bytes from one row to the next.
    pub stride: usize,
    /// The number of bits of a pixel.
    pub bits: usize,
    /// The name of the driver.
    driver: String,
}

impl Geometry {
    /// Reads the geometry from a folder like `/sys/class/graphics/fb0`.
    ///
    /// # Errors
    /// The folder is missing, or its files do not contain what is expected.
    pub fn read(sysfs: &Path) -> io::Result<Self> {
        let text = |name: &str| fs::read_to_string(sysfs.join(name));
        let wrong = |name: &str, text: &str| {
            let path = sysfs.join(name);
            let text = text.trim();
            let message = format!("{}: unexpected content {text:?}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        let number = |name: &str| {
            let text = text(name)?;
            let number = text.trim().parse::<usize>();
            number.map_err(|_| wrong(name, &text))
        };
        let size = text("virtual_size")?;
        let pair = |text: &str, mark| {
            let (width, height) = text.trim().split_once(mark)?;
            let digits = height.find(|one: char| !one.is_ascii_digit());
            let height = &height[..digits.unwrap_or(height.len())];
            Some((width.parse::<usize>().ok()?, height.parse::<usize>().ok()?))
        };
        let within =
            |size: &(usize, usize)| (1..=MOST).contains(&size.0) && (1..=MOST).contains(&size.1);
        let whole = pair(&size, ',').filter(within);
        let (width, height) = whole.ok_or_else(|| wrong("virtual_size", &size))?;
        // The memory can be larger than the picture. The mode is like U:1920x1080p-60; not every
        // driver reports it.
        let mode = text("mode").unwrap_or_default();
        let mode = mode
            .trim()
            .split_once(':')
            .and_then(|(_, mode)| pair(mode, 'x'));
        let shown = mode.filter(|mode| within(mode) && mode.0 <= width && mode.1 <= height);
        let (width, height) = shown.unwrap_or((width, height));
        let (bits, stride) = (number("bits_per_pixel")?, number("stride")?);
        if stride < width * bits / 8 || stride > MOST * 8 {
            return Err(wrong("stride", &stride.to_string()));
        }
        Ok(Self {
            width,
            height,
            stride,
            bits,
            driver: text("name").unwrap_or_default().trim().to_owned(),
        })
    }
}

/// An open framebuffer.
#[derive(Debug)]
pub(super) struct Framebuffer {
    file: File,
    /// The device and the inode of the file, to notice that it has been replaced.
    identity: (u64, u64),
    geometry: Geometry,
    format: PixelFormat,
    rotation: ScreenRotation,
    path: PathBuf,
    buffer: Vec<u8>,
}

fn identity(data: &fs::Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

impl Framebuffer {
    /// Opens the device.
    ///
    /// # Errors
    /// The device or its folder in sysfs is missing, the permission is missing, or no format has
    /// this number of bits.
    pub(super) fn open(settings: &ScreenSettings) -> io::Result<Self> {
        let geometry = Geometry::read(&settings.sysfs)?;
        let bits = geometry.bits;
        let format = settings.format.or_else(|| PixelFormat::usual(bits));
        let format = format
            .filter(|format| format.bits() == bits)
            .ok_or_else(|| {
                let message =
                    format!("{bits} bits a pixel; set a format with {bits} bits in [screen]");
                io::Error::new(io::ErrorKind::Unsupported, message)
            })?;
        // Without this flag, a program without a terminal could get a device that is a terminal.
        let flags = rustix::fs::OFlags::NOCTTY.bits() as i32;
        let file = File::options()
            .write(true)
            .custom_flags(flags)
            .open(&settings.device)?;
        Ok(Self {
            identity: identity(&file.metadata()?),
            file,
            geometry,
            format,
            rotation: settings.rotation,
            path: settings.device.clone(),
            buffer: Vec::with_capacity(WRITE),
        })
    }

    /// Returns true if the kernel still has the same framebuffer with the same geometry.
    pub(super) fn is_current(&self, settings: &ScreenSettings) -> bool {
        let data = fs::metadata(&self.path);
        let same = data.is_ok_and(|data| identity(&data) == self.identity);
        same && Geometry::read(&settings.sysfs).is_ok_and(|now| now == self.geometry)
    }

    pub(super) const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the width and the height of the picture as a person sees it.
    pub(super) fn size(&self) -> (i32, i32) {
        let (width, height) = (self.geometry.width as i32, self.geometry.height as i32);
        match self.rotation {
            ScreenRotation::Upright | ScreenRotation::UpsideDown => (width, height),
            ScreenRotation::Clockwise | ScreenRotation::CounterClockwise => (height, width),
        }
    }

    /// Writes a part of the picture: of each row of the device, the pixels from the first one that
    /// differs to the last one. Rows of the whole stride go into common writes.
    ///
    /// # Errors
    /// The device does not accept the pixels, for example because it is gone.
    pub(super) fn put(&mut self, change: &Change<'_>) -> io::Result<()> {
        let turned = Turned::new(change, self.rotation, &self.geometry);
        let pixel = self.format.bits() / 8;
        let stride = self.geometry.stride;
        self.buffer.clear();
        // The offset in the device of the first byte in the buffer.
        let mut start = 0;
        for row in 0..turned.height {
            let Some((from, to)) = turned.differing(change, row) else {
                continue;
            };
            let at = (turned.y + row) * stride + (turned.x + from) * pixel;
            let follows = start + self.buffer.len() == at;
            if !self.buffer.is_empty() && (!follows || self.buffer.len() >= WRITE) {
                self.file.write_all_at(&self.buffer, start as u64)?;
                self.buffer.clear();
            }
            if self.buffer.is_empty() {
                start = at;
            }
            let first = turned.index(row, from);
            let count = to - from;
            if turned.across == 1 {
                let range = first as usize..first as usize + count;
                let pixels = change.pixels.get(range).unwrap_or_default();
                self.format
                    .append(count, pixels.iter().copied(), &mut self.buffer);
                continue;
            }
            let places = (0..count).map(|nth| first + nth as isize * turned.across);
            let pixels = places.map(|at| change.pixels.get(at as usize).copied().unwrap_or(0));
            self.format.append(count, pixels, &mut self.buffer);
        }
        match self.buffer.is_empty() {
            true => Ok(()),
            false => self.file.write_all_at(&self.buffer, start as u64),
        }
    }
}

/// A part of the picture as the device has it: its place, and the way through its pixels.
struct Turned {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
    /// The index of the first pixel, and the distances to the next pixel of a row and to the next
    /// row.
    first: isize,
    across: isize,
    down: isize,
}

impl Turned {
    fn new(change: &Change<'_>, rotation: ScreenRotation, geometry: &Geometry) -> Self {
        let rect = change.rect;
        let [x, y, w, h] = [rect.x, rect.y, rect.w, rect.h].map(|one| one.max(0) as usize);
        let [right, bottom] = [x + w, y + h];
        let (wide, high) = (w as isize, h as isize);
        let (x, y, width, height, first, across, down) = match rotation {
            ScreenRotation::Upright => (x, y, w, h, 0, 1, wide),
            ScreenRotation::UpsideDown => (
                geometry.width.saturating_sub(right),
                geometry.height.saturating_sub(bottom),
                w,
                h,
                high * wide - 1,
                -1,
                -wide,
            ),
            ScreenRotation::Clockwise => (
                geometry.width.saturating_sub(bottom),
                x,
                h,
                w,
                (high - 1) * wide,
                -wide,
                1,
            ),
            ScreenRotation::CounterClockwise => (
                y,
                geometry.height.saturating_sub(right),
                h,
                w,
                wide - 1,
                wide,
                -1,
            ),
        };
        Self {
            x,
            y,
            width,
            height,
            first,
            across,
            down,
        }
    }

    fn index(&self, row: usize, column: usize) -> isize {
        self.first + row as isize * self.down + column as isize * self.across
    }

    /// Returns the columns of a row from the first pixel that differs to after the last one; `None`
    /// if the row is the same.
    fn differing(&self, change: &Change<'_>, row: usize) -> Option<(usize, usize)> {
        let Some(before) = change.before else {
            return Some((0, self.width));
        };
        let start = self.index(row, 0);
        if self.across == 1 {
            let range = start as usize..start as usize + self.width;
            let (new, old) = (change.pixels.get(range.clone())?, before.get(range)?);
            // Many rows have no difference, and a comparison of slices is fast.
            if new == old {
                return None;
            }
            let mut pairs = new.iter().zip(old);
            let from = pairs.position(|(new, old)| new != old)?;
            let mut pairs = new.iter().zip(old);
            let last = pairs.rposition(|(new, old)| new != old)?;
            return Some((from, last + 1));
        }
        let differs = |column: &usize| {
            let at = (start + *column as isize * self.across) as usize;
            change.pixels.get(at) != before.get(at)
        };
        let from = (0..self.width).find(differs)?;
        let to = (from..self.width).rev().find(differs)?;
        Some((from, to + 1))
    }
}
