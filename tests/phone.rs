//! Tests of the set-up by phone: the page, its answers, and the words for the display, with the
//! image's import of settings and without a radio. The tests with two simulated radios are in
//! tests/pi/wifi.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deskticker::phone::decision::Access;
use deskticker::phone::{PhoneSetup, notice};
use deskticker::render::{self, Colours, DrawCache, Format, Frame, LinkIcon, PageView, Size, View};
use deskticker::time::{Clock, ManualClock, Moment, Now};
use tokio::sync::mpsc;

const TOOL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/boards/root/usr/lib/deskticker/phone"
);

const CONFIG: &str = "boot/firmware/deskticker.toml";

/// A set-up by phone that runs on its own thread, with a temporary system directory. The drop of this
/// value stops the set-up.
struct Phone {
    root: PathBuf,
    page: SocketAddr,
    names: SocketAddr,
    connected: Arc<AtomicBool>,
    clock: ManualClock,
    stop: mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Phone {
    fn start(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("deskticker-phone-{}-{name}", std::process::id()));
        for folder in [
            "etc/deskticker",
            "kept/iwd",
            "var/lib/iwd",
            "run/deskticker-import",
            "proc",
            "usr/share/zoneinfo",
            "boot/firmware",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(
            root.join("proc/mounts"),
            "/dev/mmcblk0p3 /kept ext4 rw 0 0\n",
        )
        .unwrap();
        let countries = root.join("usr/share/zoneinfo/iso3166.tab");
        fs::write(countries, "DE\tGermany\n").unwrap();
        fs::write(
            root.join(CONFIG),
            "#[hub]\n#url = \"ws://hub.local:3000\"\n",
        )
        .unwrap();
        fs::write(root.join("sys-address"), "02:00:00:00:1a:2b\n").unwrap();
        // The command of the image, without a radio.
        let tool = root.join("phone");
        let script = format!(
            "#!/bin/sh\nexport ROOT='{root}'\necho \"$1\" >>\"$ROOT/calls\"\n\
             [ \"$1\" != store ] || exec sh '{TOOL}' \"$@\"\n",
            root = root.display()
        );
        fs::write(&tool, script).unwrap();
        fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
        let page = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let names = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let start = Now {
            monotonic: Moment::ZERO,
            utc: None,
        };
        let (clock, hand) = Clock::manual(start);
        let connected = Arc::new(AtomicBool::new(false));
        let (seen, stored) = (connected.clone(), root.join("kept/iwd"));
        let setup = PhoneSetup {
            tool,
            folder: root.join("run/answers"),
            config: root.join(CONFIG),
            notice: root.join("run/notice"),
            fault: root.join("run/deskticker-import/fault"),
            radio: root.join("sys-address"),
            page,
            names,
            access: Box::new(move || Access {
                connected: seen.load(Ordering::SeqCst),
                stored: fs::read_dir(&stored).unwrap().next().is_some(),
            }),
            clock,
        };
        let (stop, stops) = mpsc::channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(setup.run(stops)).unwrap();
        });
        Self {
            root,
            page,
            names,
            connected,
            clock: hand,
            stop,
            thread: Some(thread),
        }
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }

    fn notice(&self) -> String {
        self.text("run/notice")
    }

    /// Advances the clock by this time, in small steps.
    fn passes(&self, secs: u64) {
        for _ in 0..secs {
            self.clock.advance(Duration::from_secs(1));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Advances the clock until the condition holds, at most by this time.
    fn within(&self, secs: u64, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..secs * 2 {
            if holds() {
                return;
            }
            self.clock.advance(Duration::from_millis(500));
            std::thread::sleep(Duration::from_millis(5));
        }
        // A command of the set-up may still run.
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && !holds() {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(
            holds(),
            "{what}: {:?} {:?}",
            self.text("calls"),
            self.notice()
        );
    }

    fn opens(&self, secs: u64) {
        self.within(secs, "the network opens", || !self.notice().is_empty());
    }

    fn request(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.page).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.request(&format!(
            "GET {path} HTTP/1.1\r\nHost: captive.apple.com\r\n\r\n"
        ))
    }

    fn post(&self, body: &str) -> String {
        let length = body.len();
        self.request(&format!(
            "POST / HTTP/1.1\r\nHost: deskticker\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.stop.try_send(()).ok();
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() {
                self.clock.advance(Duration::from_secs(1));
                std::thread::sleep(Duration::from_millis(5));
            }
            thread.join().ok();
        }
        fs::remove_dir_all(&self.root).ok();
    }
}

#[test]
fn a_phone_sets_the_wifi_the_hub_and_the_token() {
    let phone = Phone::start("all");
    phone.passes(110);
    assert_eq!(phone.text("calls"), "", "two minutes have not passed");
    phone.opens(20);
    let notice = phone.notice();
    let code = notice
        .split("the code ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert!(
        code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{notice}"
    );
    assert!(notice.contains("join the Wi-Fi ticker-1a2b"), "{notice}");

    // A phone resolves a known name and requests a known page, to find out if there is a login.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x07captive\x05apple\x03com\0\0\x01\0\x01";
    socket.send_to(query, phone.names).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    assert!(answer[..length].ends_with(&[127, 0, 0, 1]));
    let answer = phone.get("/hotspot-detect.html");
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    assert!(
        answer.contains(&format!("location: http://{}/", phone.page)),
        "{answer}"
    );
    assert!(phone.get("/").contains("Your Wi-Fi"));

    // A wrong password gets the same words as in wifi.txt, and the display still shows the network.
    let answer = phone.post("ssid=Corner+desk&psk=s3cr3t&country=DE&hub=hub.local&token=");
    assert!(
        answer.contains("the password of the Wi-Fi: 6 characters; expected 8 to 63"),
        "{answer}"
    );
    assert!(
        answer.contains("value=\"Corner desk\"") && !answer.contains("s3cr3t"),
        "{answer}"
    );
    assert_eq!(phone.notice(), notice);
    assert!(!phone.text(CONFIG).contains("\n[hub]"));

    let answer = phone.post(
        "ssid=Corner+desk&psk=s3cr3t+%22%23%22&country=DE&hub=192.168.1.5&token=t0ken%2B%2F%3D",
    );
    assert!(
        answer.contains("Saved.") && !answer.contains("s3cr3t"),
        "{answer}"
    );
    let network = phone.text("kept/iwd/Corner desk.psk");
    assert_eq!(network, "[Security]\nPassphrase=s3cr3t \"#\"\n");
    assert_eq!(phone.text("etc/deskticker/token"), "t0ken+/=\n");
    assert_eq!(
        phone.text(CONFIG),
        "[hub]\nurl = \"ws://192.168.1.5:3000\"\n"
    );
    phone.within(10, "the network closes", || {
        phone.text("calls").ends_with("close\n")
    });
    assert_eq!(phone.notice(), "");
    assert_eq!(
        fs::read_dir(phone.root.join("run/answers"))
            .unwrap()
            .count(),
        0
    );
    assert!(
        TcpStream::connect(phone.page).is_err(),
        "the page has ended"
    );

    // The Wi-Fi connects, so the network stays closed.
    phone.connected.store(true, Ordering::SeqCst);
    phone.passes(600);
    assert_eq!(phone.text("calls"), "open\nstore\nstore\nclose\n");
}

#[test]
fn a_wifi_that_does_not_connect_opens_the_network_again_and_says_so() {
    let phone = Phone::start("wrong");
    phone.opens(130);
    assert!(phone.post("ssid=desk&psk=12345678").contains("Saved."));
    phone.within(10, "the network closes", || phone.notice().is_empty());
    phone.opens(100);
    let notice = phone.notice();
    assert!(
        notice.starts_with("no connection. Again: Wi-Fi ticker-1a2b"),
        "{notice}"
    );
    assert!(phone.get("/").contains("could not connect to this Wi-Fi"));
    // A cable is connected.
    phone.connected.store(true, Ordering::SeqCst);
    phone.within(10, "the network closes", || phone.notice().is_empty());
}

#[test]
fn a_phone_makes_this_pi_the_hub_and_replaces_old_values_on_the_card() {
    let phone = Phone::start("hub");
    // The card has an error, and a network that a phone has to replace.
    fs::write(phone.root.join("boot/firmware/wifi.txt"), "ssid = old\n").unwrap();
    fs::write(phone.root.join("boot/firmware/token.txt"), "a token\n").unwrap();
    let fault = phone.root.join("run/deskticker-import/fault");
    fs::write(&fault, "wifi.txt: psk: the password is missing\n").unwrap();
    phone.opens(130);
    assert!(phone.get("/").contains("the password is missing"));
    let answer = phone.post("ssid=Corner+desk&psk=s3cr3t-word&country=de&key=v3ndor");
    assert!(answer.contains("Saved."), "{answer}");
    assert_eq!(phone.text("etc/deskticker/key"), "v3ndor\n");
    // The hub and the display of this Pi need the same token, and nobody has chosen one.
    let token = phone.text("etc/deskticker/token");
    let hexadecimal = token
        .trim_end()
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit());
    assert!(token.len() == 33 && hexadecimal, "{token:?}");
    let config = phone.text(CONFIG);
    assert_eq!(config, "[hub]\nurl = \"ws://127.0.0.1:3000\"\n");
    let card = phone.root.join("boot/firmware");
    let files: Vec<String> = fs::read_dir(&card)
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    assert_eq!(files.len(), 4, "wifi.txt, token, key and deskticker.toml");
    for secret in ["s3cr3t", "v3ndor", token.trim_end()] {
        assert!(files.iter().all(|text| !text.contains(secret)), "{files:?}");
    }
    assert!(
        phone
            .text("boot/firmware/wifi.txt")
            .contains("ssid = Corner desk")
    );
    assert_eq!(
        phone.text("etc/iwd/main.conf").lines().nth(2),
        Some("Country=DE")
    );
    // The import at the next start finds no error.
    assert!(!fault.exists());

    // Another hub: this Pi is no hub any more.
    phone.within(10, "the network closes", || phone.notice().is_empty());
    phone.opens(100);
    assert!(phone.post("hub=hub.local&token=other").contains("Saved."));
    assert!(!phone.root.join("etc/deskticker/key").exists());
    assert_eq!(phone.text("etc/deskticker/token"), "other\n");
    let config = phone.text(CONFIG);
    assert_eq!(config, "[hub]\nurl = \"ws://hub.local:3000\"\n");
}

#[test]
fn a_phone_reads_the_code_on_the_display() {
    let notice = notice::text("ticker-1a2b", "12345678", [10, 42, 0, 1].into(), false);
    let (text, code) = notice.split_once('\n').unwrap();
    let view = View {
        page: PageView::Join { text, code },
        time: None,
        sign: LinkIcon::Down,
        simulated: false,
        misconfigured: true,
        alert: None,
        format: Format::default(),
        colours: Colours::One,
    };
    let mut frame = Frame::new(Size::Tall);
    render::draw(&view, &mut DrawCache::new(), &mut frame);
    // The camera sees each dot as six pixels, and a dark room around the panel.
    let (scale, border) = (6, 8);
    let lit = |x: usize, y: usize| {
        let (x, y) = (
            (x / scale).wrapping_sub(border),
            (y / scale).wrapping_sub(border),
        );
        let byte = (x < 128 && y < 64).then(|| frame.as_bytes()[y / 8 * 128 + x]);
        byte.is_some_and(|byte| byte >> (y % 8) & 1 == 1)
    };
    let (width, height) = ((128 + 2 * border) * scale, (64 + 2 * border) * scale);
    let brightness = |x, y| if lit(x, y) { 255 } else { 0 };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, brightness);
    let codes = image.detect_grids();
    assert_eq!(codes.len(), 1);
    assert_eq!(
        codes[0].decode().unwrap().1,
        "WIFI:T:WPA;S:ticker-1a2b;P:12345678;;"
    );
}
