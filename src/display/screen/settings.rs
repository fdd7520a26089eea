//! The settings of the big screen: its device, its format, its rotation and its theme.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::render::screen::Theme;

/// The settings of the big screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScreenSettings {
    /// The device of the framebuffer.
    pub device: PathBuf,
    /// The folder in which the kernel describes the framebuffer.
    pub sysfs: PathBuf,
    /// The format of a pixel; `None` selects the usual format for the number of bits.
    pub format: Option<PixelFormat>,
    /// The rotation of the picture.
    pub rotation: ScreenRotation,
    /// The theme.
    pub theme: Theme,
}

impl ScreenSettings {
    /// The usual device.
    pub const DEVICE: &'static str = "/dev/fb0";

    /// Returns the folder of a framebuffer in sysfs.
    pub fn sysfs_of(device: &Path) -> PathBuf {
        let name = device.file_name().unwrap_or_default();
        Path::new("/sys/class/graphics").join(name)
    }
}

impl Default for ScreenSettings {
    fn default() -> Self {
        Self {
            device: PathBuf::from(Self::DEVICE),
            sysfs: Self::sysfs_of(Path::new(Self::DEVICE)),
            format: None,
            rotation: ScreenRotation::Upright,
            theme: Theme::Dark,
        }
    }
}

/// The rotation of the picture, for a monitor that has been turned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ScreenRotation {
    /// The picture of the device is upright.
    #[default]
    Upright,
    /// The picture is turned by 90° clockwise.
    Clockwise,
    /// The picture is turned by 180°.
    UpsideDown,
    /// The picture is turned by 270° clockwise.
    CounterClockwise,
}

/// The format of a pixel: the bits of red, green and blue, from the highest bit to the lowest one in
/// a little-endian word. The names are those of the kernel's `simple-framebuffer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PixelFormat {
    /// 16 bits: 5 red, 6 green, 5 blue.
    R5g6b5,
    /// 16 bits: 1 unused, 5 red, 5 green, 5 blue.
    X1r5g5b5,
    /// 24 bits: 8 red, 8 green, 8 blue.
    R8g8b8,
    /// 32 bits: 8 unused, 8 red, 8 green, 8 blue.
    X8r8g8b8,
    /// 32 bits: 8 unused, 8 blue, 8 green, 8 red.
    X8b8g8r8,
}

impl PixelFormat {
    /// All formats with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("r5g6b5", Self::R5g6b5),
        ("x1r5g5b5", Self::X1r5g5b5),
        ("r8g8b8", Self::R8g8b8),
        ("x8r8g8b8", Self::X8r8g8b8),
        ("x8b8g8r8", Self::X8b8g8r8),
    ];

    /// Returns the usual format of a number of bits.
    pub fn usual(bits: usize) -> Option<Self> {
        Some(match bits {
            16 => Self::R5g6b5,
            24 => Self::R8g8b8,
            32 => Self::X8r8g8b8,
            _ => return None,
        })
    }

    /// Returns the number of bits of a pixel.
    pub const fn bits(self) -> usize {
        match self {
            Self::R5g6b5 | Self::X1r5g5b5 => 16,
            Self::R8g8b8 => 24,
            Self::X8r8g8b8 | Self::X8b8g8r8 => 32,
        }
    }

    /// Appends `count` pixels `0xRRGGBB` in this format.
    pub(super) fn append(self, count: usize, pixels: impl Iterator<Item = u32>, to: &mut Vec<u8>) {
        // The bytes exist before the loop, so that the loop does not check the capacity.
        let start = to.len();
        to.resize(start + count * self.bits() / 8, 0);
        let bytes = to.get_mut(start..).unwrap_or_default();
        match self {
            Self::R5g6b5 => fill::<2>(bytes, pixels, |pixel| {
                ((pixel >> 8) & 0xF800) | ((pixel >> 5) & 0x07E0) | ((pixel >> 3) & 0x1F)
            }),
            Self::X1r5g5b5 => fill::<2>(bytes, pixels, |pixel| {
                ((pixel >> 9) & 0x7C00) | ((pixel >> 6) & 0x03E0) | ((pixel >> 3) & 0x1F)
            }),
            Self::R8g8b8 => fill::<3>(bytes, pixels, |pixel| pixel),
            Self::X8r8g8b8 => fill::<4>(bytes, pixels, |pixel| pixel),
            Self::X8b8g8r8 => fill::<4>(bytes, pixels, |pixel| pixel.swap_bytes() >> 8),
        }
    }
}

/// Fills the bytes with pixels of `N` bytes each, little-endian.
fn fill<const N: usize>(
    bytes: &mut [u8],
    pixels: impl Iterator<Item = u32>,
    packed: impl Fn(u32) -> u32,
) {
    for (place, pixel) in bytes.chunks_exact_mut(N).zip(pixels) {
        place.copy_from_slice(&packed(pixel).to_le_bytes()[..N]);
    }
}

impl FromStr for PixelFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|(name, _)| *name == text)
            .map(|(_, it)| it)
            .ok_or(())
    }
}
