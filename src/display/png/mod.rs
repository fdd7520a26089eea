//! Shows the picture as a PNG file. This module decides the content of the file and the times of
//! the writes; it never leaves a partial picture under the file's name, and it never leaves a
//! picture that is no longer valid in the file.

pub(crate) mod picture_file;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use log::{info, warn};

use super::png::picture_file::PictureFile;
use super::{DisplayDevice, MAX_PICTURE_AGE, PanelLight};
use crate::render::{self, Frame, Size, WIDTH};
use crate::time::{Moment, Now, Utc};

/// The width and the height of a panel dot in pixels of the file.
const SCALE: usize = 4;
/// The grey level of a lit dot. A lit dot is not pure white, as on a real panel.
const LIT: u8 = 0xF0;
/// The shortest time between two writes, because people do not need more pictures and SD cards wear
/// out.
const MIN_WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// The keyword of the text chunk in the file (PNG specification, tEXt). The text is the time until
/// which the picture is valid.
const VALID_UNTIL: &str = "Valid-Until";

/// Encodes the picture as a PNG with 8 bits of grey and four by four pixels for each dot.
///
/// # Errors
/// Returns an error if the encoder reports one. No such case is known.
pub fn encode(frame: &Frame) -> io::Result<Vec<u8>> {
    encode_good_until(frame, None)
}

/// Checks that [`write`] can replace the file.
///
/// # Errors
/// The file exists and is no picture.
pub fn check(path: &Path) -> io::Result<()> {
    PictureFile::at(path.to_owned()).check()
}

/// Writes the picture to a file.
///
/// # Errors
/// The file cannot be written, or it exists and is no picture.
pub fn write(path: &Path, frame: &Frame) -> io::Result<()> {
    PictureFile::at(path.to_owned()).replace(&encode(frame)?)
}

/// Encodes the picture like [`encode`]. If `until` is known, the file also contains the text
/// `Valid-Until` with the time until which the picture is valid (RFC 3339).
fn encode_good_until(frame: &Frame, until: Option<Utc>) -> io::Result<Vec<u8>> {
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
    if let Some(until) = until.and_then(|utc| Timestamp::from_millisecond(utc.0).ok()) {
        encoder.add_text_chunk(VALID_UNTIL.to_owned(), format!("{until:.3}"))?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// The notice in a file that no program updates any more.
fn ended(size: Size) -> Frame {
    render::notice(size, "ENDED", "nothing here is live")
}

/// The content of the file after the program has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FinalPicture {
    /// The last picture. This choice is only for pictures that show by themselves that they are not
    /// live, such as simulated prices.
    Picture,
    /// A notice that the program has ended. Without the notice, a person could not see that the
    /// file is no longer updated.
    Notice,
}

/// A panel that is a PNG file.
#[derive(Debug)]
pub struct Png {
    file: PictureFile,
    leave: FinalPicture,
    /// The size of the last picture; `None` before the first picture.
    size: Option<Size>,
    /// The picture that is not in the file yet.
    pending: Option<Frame>,
    /// The validity of the next picture.
    validity: PictureValidity,
    /// The validity of the picture in the file.
    shown: PictureValidity,
    next: Moment,
    /// The state of the old file after a failed write; `None` after a successful write.
    failed: Option<StaleFile>,
}

/// The validity of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PictureValidity {
    until: Moment,
    utc: Option<Utc>,
    /// True if the validity is limited because the picture shows a live or delayed value.
    limited: bool,
}

impl PictureValidity {
    /// The validity of a notice, which is valid without end.
    const EVER: PictureValidity = PictureValidity {
        until: Moment::NEVER,
        utc: None,
        limited: false,
    };
}

/// The state of an old picture that could not be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StaleFile {
    /// The old picture is removed, or a notice that it is not live has replaced it.
    Nothing,
    /// The old picture is still in the file.
    Untrue,
}

impl Png {
    /// Creates a panel that writes to `path` at most once a second. A picture that is no longer
    /// valid is replaced without this delay. `leave` selects the content of the file after the
    /// program has ended.
    pub fn new(path: impl Into<PathBuf>, leave: FinalPicture) -> Self {
        Self {
            file: PictureFile::at(path.into()),
            leave,
            size: None,
            pending: None,
            validity: PictureValidity::EVER,
            shown: PictureValidity::EVER,
            next: Moment::ZERO,
            failed: None,
        }
    }

    /// Writes a final picture to a file. The file may come from another process.
    pub fn leave(path: PathBuf, frame: &Frame) -> io::Result<()> {
        let mut file = PictureFile::at(path);
        let picture = encode(frame)?;
        file.replace(&picture).or_else(|_| file.take_back(&picture))
    }

    /// The time at which the pending picture must be written. This is at most once a second, but at
    /// once when the picture in the file is no longer valid, or when the new picture shows no live
    /// or delayed value any more.
    fn due(&self) -> Moment {
        match &self.pending {
            None => Moment::NEVER,
            Some(_) if self.shown.limited && !self.validity.limited => Moment::ZERO,
            Some(_) => self.next.min(self.shown.until),
        }
    }

    /// Writes the pending picture. If the write fails, the old picture in the file is replaced with
    /// `instead`, or the file is removed.
    fn write(&mut self, instead: &Frame) {
        let Some(frame) = &self.pending else { return };
        let picture = encode_good_until(frame, self.validity.utc);
        let written = picture.and_then(|picture| self.file.replace(&picture));
        let path = self.file.path.display();
        let before = self.failed;
        let Err(error) = written else {
            if before.is_some() {
                info!("panel: {path} can be written again");
            }
            (self.failed, self.pending) = (None, None);
            self.shown = self.validity;
            return;
        };
        if before != Some(StaleFile::Nothing) {
            let taken = encode(instead).and_then(|picture| self.file.take_back(&picture));
            self.failed = Some(taken.map_or(StaleFile::Untrue, |()| StaleFile::Nothing));
            self.shown = PictureValidity::EVER;
        }
        if self.failed != before {
            let what = match self.failed {
                Some(StaleFile::Untrue) => "the old picture in the file cannot be removed",
                _ => "the file says NOT LIVE or is removed",
            };
            warn!(
                "panel: cannot write {path}: {error}; {what}; the program retries until the write \
                 succeeds"
            );
        }
    }
}

impl DisplayDevice for Png {
    fn good_until(&mut self, until: Moment, now: Now) {
        let left = until.since(now.monotonic);
        let limited = left < MAX_PICTURE_AGE;
        let utc = now.utc.filter(|_| until != Moment::NEVER).map(|utc| {
            let millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            Utc(utc.0.saturating_add(millis))
        });
        self.validity = PictureValidity {
            until,
            utc,
            limited,
        };
    }

    /// The file shows the same dots as a real panel, even while the panel is off. The brightness
    /// has no effect.
    fn show(&mut self, frame: &Frame, light: PanelLight, now: Moment) {
        self.size = Some(frame.size());
        self.pending = Some(light.on_glass(frame));
        self.tick(now);
    }

    fn tick(&mut self, now: Moment) {
        if let Some(size) = self.size
            && now >= self.due()
        {
            self.write(&render::notice(size, "NOT LIVE", "cannot write this file"));
            self.next = now + MIN_WRITE_INTERVAL;
        }
    }

    fn deadline(&self) -> Moment {
        self.due()
    }

    fn leave_display(&mut self, _: Now) {
        let Some(size) = self.size else { return };
        let ended = ended(size);
        if self.leave == FinalPicture::Notice {
            self.pending = Some(ended.clone());
            self.validity = PictureValidity::EVER;
            // The old notice in the file must also be replaced with the ENDED notice.
            self.failed = self.failed.map(|_| StaleFile::Untrue);
        }
        self.write(&ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
    fn a_panel_pixel_is_four_by_four_pixels_in_the_file() {
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
    fn the_file_is_written_at_most_once_a_second_and_at_the_end() {
        let directory = directory("pace");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, FinalPicture::Picture);
        let shown = || fs::read(&path).unwrap();
        png.show(&dot(0, 0), PanelLight::default(), Moment::from_millis(100));
        assert_eq!(shown(), encode(&dot(0, 0)).unwrap());
        assert_eq!(png.deadline(), Moment::NEVER);
        png.show(&dot(1, 0), PanelLight::default(), Moment::from_millis(200));
        assert_eq!(shown(), encode(&dot(0, 0)).unwrap());
        assert_eq!(png.deadline(), Moment::from_millis(1100));
        png.tick(Moment::from_millis(1100));
        assert_eq!(shown(), encode(&dot(1, 0)).unwrap());
        png.show(&dot(2, 0), PanelLight::default(), Moment::from_millis(1200));
        png.leave_display(END);
        assert_eq!(shown(), encode(&dot(2, 0)).unwrap());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_file_contains_no_price_after_the_program_ends() {
        let directory = directory("ended");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, FinalPicture::Notice);
        // No picture was shown, so no file exists.
        png.leave_display(END);
        assert!(!path.exists());
        png.show(&dot(0, 0), PanelLight::default(), Moment::ZERO);
        png.show(&dot(1, 0), PanelLight::default(), Moment::ZERO);
        png.leave_display(END);
        assert_eq!(
            fs::read(&path).unwrap(),
            encode(&ended(Size::Short)).unwrap()
        );
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_file_has_the_same_light_and_shift_as_the_panel() {
        let directory = directory("light");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, FinalPicture::Picture);
        let shown = || fs::read(&path).unwrap();
        let down = PanelLight {
            shift: 2,
            ..PanelLight::default()
        };
        png.show(&dot(3, 4), down, Moment::ZERO);
        assert_eq!(shown(), encode(&dot(3, 6)).unwrap());
        let off = PanelLight { on: false, ..down };
        png.show(&dot(3, 4), off, Moment::from_secs(1));
        assert_eq!(shown(), encode(&Frame::new(Size::Short)).unwrap());
        fs::remove_dir_all(directory).unwrap();
    }

    fn millis(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// Shows a picture with a live value that is valid until `until`; both times are in
    /// milliseconds.
    fn show_live(png: &mut Png, frame: &Frame, until: u64, now: u64) {
        let utc = Utc(1_795_444_200_000 + now as i64);
        png.good_until(millis(until), Now::new(millis(now), utc));
        png.show(frame, PanelLight::default(), millis(now));
    }

    #[test]
    fn the_file_contains_the_end_of_its_validity() {
        let directory = directory("valid");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, FinalPicture::Notice);
        let file_texts = || {
            let file = io::BufReader::new(fs::File::open(&path).unwrap());
            let reader = png::Decoder::new(file).read_info().unwrap();
            let texts = reader.info().uncompressed_latin1_text.clone();
            texts
                .into_iter()
                .map(|text| (text.keyword, text.text))
                .collect::<Vec<_>>()
        };
        show_live(&mut png, &dot(0, 0), 11_001, 1_000);
        // The time is 2026-11-23 14:30:01 UTC plus ten seconds.
        let until = "2026-11-23T14:30:11.001Z";
        assert_eq!(file_texts(), [("Valid-Until".to_owned(), until.to_owned())]);
        // The wall clock is not set.
        let now = Now {
            monotonic: millis(3_000),
            utc: None,
        };
        png.good_until(millis(9_000), now);
        png.show(&dot(0, 0), PanelLight::default(), millis(3_000));
        assert_eq!(file_texts(), []);
        png.leave_display(END);
        assert_eq!(file_texts(), [], "ENDED is true for ever");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_loss_of_a_live_value_is_written_without_the_usual_wait() {
        let directory = directory("loss");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, FinalPicture::Notice);
        let file_equals = |x| fs::read(&path).unwrap() == encode(&dot(x, 0)).unwrap();
        let pixels_equal = |x| {
            let shown = decode(&fs::read(&path).unwrap());
            shown == decode(&encode(&dot(x, 0)).unwrap())
        };
        // Both pictures show a live value. The validity of the first picture ends after 200 ms.
        show_live(&mut png, &dot(0, 0), 1_200, 1_000);
        show_live(&mut png, &dot(1, 0), 1_300, 1_100);
        assert!(pixels_equal(0), "a tick is paced");
        assert_eq!(png.deadline(), millis(1_200));
        png.tick(millis(1_199));
        assert!(pixels_equal(0));
        png.tick(millis(1_200));
        assert!(pixels_equal(1));
        show_live(&mut png, &dot(2, 0), 9_000, 1_300);
        assert!(pixels_equal(2), "what was in the file was good no longer");
        // The connection is lost or the simulation has ended, so no value in the next picture is
        // live.
        png.good_until(
            millis(1_400) + MAX_PICTURE_AGE,
            Now {
                monotonic: millis(1_400),
                utc: None,
            },
        );
        png.show(&dot(3, 0), PanelLight::default(), millis(1_400));
        assert!(file_equals(3));
        // The next picture must wait for the write interval again.
        show_live(&mut png, &dot(4, 0), 9_000, 1_500);
        assert!(file_equals(3));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_overwritten_in_place_with_a_notice() {
        let directory = directory("full");
        let path = directory.join("screen.png");
        let mut png = Png::new(&path, FinalPicture::Notice);
        show_live(&mut png, &dot(0, 0), 11_000, 1_000);
        let before = fs::metadata(&path).unwrap();
        // A directory at the temporary path makes each write fail, as on a full disk.
        let temporary = directory.join(format!("screen.png.{}.tmp", std::process::id()));
        fs::create_dir(&temporary).unwrap();
        show_live(&mut png, &dot(1, 0), 12_000, 2_000);
        let file_contains = |picture: &Frame| fs::read(&path).unwrap() == encode(picture).unwrap();
        let notice = render::notice(Size::Short, "NOT LIVE", "cannot write this file");
        assert!(file_contains(&notice));
        use std::os::unix::fs::MetadataExt;
        let after = fs::metadata(&path).unwrap();
        assert_eq!(before.ino(), after.ino());
        assert!(after.blocks() <= before.blocks());
        // The write is retried each second, even without a new picture.
        assert_eq!(png.deadline(), millis(3_000));
        png.tick(millis(3_000));
        assert!(file_contains(&notice));
        fs::remove_dir(&temporary).unwrap();
        png.tick(millis(4_000));
        assert!(decode(&fs::read(&path).unwrap()) == decode(&encode(&dot(1, 0)).unwrap()));
        // The program ends while the file cannot be replaced.
        fs::create_dir(&temporary).unwrap();
        png.leave_display(END);
        assert!(file_contains(&ended(Size::Short)));
        fs::remove_dir(&temporary).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn each_notice_fits_into_the_first_block_of_the_file() {
        // A file of at most one block needs no additional disk space. A block has 4096 bytes on
        // most file systems, like a page in memory.
        let notice = render::notice(Size::Tall, "NOT LIVE", "cannot write this file");
        assert!(encode(&notice).unwrap().len() < 4096);
        assert!(encode(&ended(Size::Tall)).unwrap().len() < 4096);
    }

    #[test]
    fn a_missing_directory_causes_an_error_and_no_panic() {
        let directory = directory("missing");
        let mut png = Png::new(directory.join("no/such/screen.png"), FinalPicture::Notice);
        png.show(&dot(0, 0), PanelLight::default(), Moment::ZERO);
        assert_eq!(png.failed, Some(StaleFile::Nothing));
        png.leave_display(END);
        fs::remove_dir_all(directory).unwrap();
    }
}
