//! The picture as a PNG file. Owns the file and how often it is written; never leaves half a
//! picture under its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{info, warn};

use super::{Glass, Light};
use crate::clock::{Moment, Now};
use crate::screen::{self, Frame, Size, WIDTH};

/// Pixels of the file for a dot of the panel, each way.
const SCALE: usize = 4;
/// Grey of a lit dot; not quite white, as on the glass.
const LIT: u8 = 0xF0;
/// The least time between two files: they are for looking at, and SD cards wear out.
const PACE: Duration = Duration::from_secs(1);

/// The picture as a PNG, 8 bits of grey, four pixels a dot.
///
/// # Errors
/// None that is known; the encoder could report one.
pub fn encode(frame: &Frame) -> io::Result<Vec<u8>> {
    let (width, height) = (WIDTH * SCALE, frame.size().height() * SCALE);
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        pixels.extend((0..width).map(|x| match frame.lit(x / SCALE, y / SCALE) {
            true => LIT,
            false => 0,
        }));
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Writes the picture to a path: whoever reads it sees the old picture or the new one, whole.
///
/// # Errors
/// If the directory is missing or may not be written, or is full.
pub fn write(path: &Path, frame: &Frame) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    // In the same directory, for a rename does not cross file systems.
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = encode(frame)
        .and_then(|bytes| fs::write(&temporary, bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing to add to the error that is returned: it may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// What a file holds once nobody writes it any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// The last picture, for who wants to keep it; only where it says itself that it is not live,
    /// as simulated prices do.
    Picture,
    /// A notice that the program has ended: a file looks the same whether it is kept up or not.
    Notice,
}

/// A panel that is a file.
#[derive(Debug)]
pub struct Png {
    path: PathBuf,
    leave: Leave,
    /// Of the last picture; `None` before there was one.
    size: Option<Size>,
    /// What is not in the file yet.
    pending: Option<Frame>,
    next: Moment,
    failed: bool,
}

impl Png {
    /// A panel that writes to `path`, at most once a second, and leaves there what `leave` says.
    pub fn new(path: impl Into<PathBuf>, leave: Leave) -> Self {
        Self {
            path: path.into(),
            leave,
            size: None,
            pending: None,
            next: Moment::ZERO,
            failed: false,
        }
    }

    fn write(&mut self) {
        let Some(frame) = self.pending.take() else {
            return;
        };
        let path = self.path.display();
        match write(&self.path, &frame) {
            Ok(()) if self.failed => {
                self.failed = false;
                info!("panel: {path} is written again");
            }
            Ok(()) => {}
            Err(error) => {
                if !self.failed {
                    warn!("panel: cannot write {path}: {error}; trying again with each picture");
                }
                self.failed = true;
            }
        }
    }
}

impl Glass for Png {
    /// The file is what one would see on a panel, dark rows and all; it is not dimmed.
    fn show(&mut self, frame: &Frame, light: Light, now: Moment) {
        self.size = Some(frame.size());
        self.pending = Some(light.on_glass(frame));
        self.tick(now);
    }

    fn tick(&mut self, now: Moment) {
        if now >= self.next && self.pending.is_some() {
            self.write();
            self.next = now + PACE;
        }
    }

    fn deadline(&self) -> Moment {
        match self.pending {
            Some(_) => self.next,
            None => Moment::NEVER,
        }
    }

    fn goodbye(&mut self, _: Now) {
        if self.leave == Leave::Notice
            && let Some(size) = self.size
        {
            self.pending = Some(screen::notice(size, "ENDED", "nothing here is live"));
        }
        self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Now = Now {
        monotonic: Moment::from_secs(9),
        utc: None,
    };

    fn directory(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("deskticker-png-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn decode(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels)
    }

    fn dot(x: usize, y: usize) -> Frame {
        let mut frame = Frame::new(Size::Short);
        frame.set(x, y, true);
        frame
    }

    #[test]
    fn a_dot_is_four_by_four_pixels() {
        let (width, height, pixels) = decode(&encode(&dot(3, 2)).unwrap());
        assert_eq!((width, height), (512, 128));
        for y in 0..128 {
            for x in 0..512 {
                let lit = (12..16).contains(&x) && (8..12).contains(&y);
                assert_eq!(pixels[y * 512 + x], if lit { LIT } else { 0 }, "{x} {y}");
            }
        }
    }

    #[test]
    fn it_is_written_at_most_once_a_second_and_at_the_end() {
        let directory = directory("pace");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, Leave::Picture);
        let shown = || fs::read(&path).unwrap();
        png.show(&dot(0, 0), Light::default(), Moment::from_millis(100));
        assert_eq!(shown(), encode(&dot(0, 0)).unwrap());
        assert_eq!(png.deadline(), Moment::NEVER);
        png.show(&dot(1, 0), Light::default(), Moment::from_millis(200));
        assert_eq!(shown(), encode(&dot(0, 0)).unwrap());
        assert_eq!(png.deadline(), Moment::from_millis(1100));
        png.tick(Moment::from_millis(1100));
        assert_eq!(shown(), encode(&dot(1, 0)).unwrap());
        png.show(&dot(2, 0), Light::default(), Moment::from_millis(1200));
        png.goodbye(END);
        assert_eq!(shown(), encode(&dot(2, 0)).unwrap());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn no_price_is_left_in_a_file_that_nobody_writes_any_more() {
        let directory = directory("ended");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, Leave::Notice);
        // Nothing was shown: nothing is there to be taken back.
        png.goodbye(END);
        assert!(!path.exists());
        png.show(&dot(0, 0), Light::default(), Moment::ZERO);
        png.show(&dot(1, 0), Light::default(), Moment::ZERO);
        png.goodbye(END);
        let notice = screen::notice(Size::Short, "ENDED", "nothing here is live");
        assert_eq!(fs::read(&path).unwrap(), encode(&notice).unwrap());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_file_is_dark_while_the_panel_is_off_and_shifted_as_the_glass_would_be() {
        let directory = directory("light");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, Leave::Picture);
        let shown = || fs::read(&path).unwrap();
        let down = Light {
            shift: 2,
            ..Light::default()
        };
        png.show(&dot(3, 4), down, Moment::ZERO);
        assert_eq!(shown(), encode(&dot(3, 6)).unwrap());
        let off = Light { on: false, ..down };
        png.show(&dot(3, 4), off, Moment::from_secs(1));
        assert_eq!(shown(), encode(&Frame::new(Size::Short)).unwrap());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error_and_no_panic() {
        let directory = directory("missing");
        let mut png = Png::new(directory.join("no/such/screen.png"), Leave::Notice);
        png.show(&dot(0, 0), Light::default(), Moment::ZERO);
        assert!(png.failed);
        png.goodbye(END);
        fs::remove_dir_all(directory).unwrap();
    }
}
