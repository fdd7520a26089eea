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

use deskticker::phone::PhoneSetup;
use deskticker::phone::decision::Access;
use deskticker::render::{self, DrawCache, Format, Frame, LinkIcon, PageView, Size, View};
use deskticker::time::{Clock, ManualClock, Moment, Now};
use tokio::sync::mpsc;

const IMPORT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/boards/root/usr/lib/deskticker/import"
);

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
            root.join("desk.toml"),
            "#[hub]\n#url = \"ws://hub.local:3000\"\n",
        )
        .unwrap();
        // A command without a radio. It stores the answers with the image's import.
        let tool = root.join("phone");
        let script = format!(
            "#!/bin/sh\nROOT='{root}'\necho \"$1\" >>\"$ROOT/calls\"\n[ \"$1\" = store ] || exit 0\n\
             fault=$ROOT/run/deskticker-import/fault\ncp $fault $ROOT/words\n\
             ROOT=$ROOT CARD=$2 sh '{IMPORT}' 2>/dev/null\nstate=0\n\
             if [ -s $fault ]; then cat $fault; state=1; fi\nmv $ROOT/words $fault\n\
             [ ! -e $2/deskticker.toml ] || cp $2/deskticker.toml $ROOT/desk.toml\nexit $state\n",
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
            config: root.join("desk.toml"),
            words: root.join("run/deskticker-import/fault"),
            name: "ticker-1a2b".into(),
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

    fn words(&self) -> String {
        self.text("run/deskticker-import/fault")
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
            self.words()
        );
    }

    fn opens(&self, secs: u64) {
        self.within(secs, "the network opens", || {
            self.words().starts_with("phone: ")
        });
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
    let words = phone.words();
    let code = words
        .split("the code ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert!(
        code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit()),
        "{words}"
    );
    assert!(words.contains("join the Wi-Fi ticker-1a2b"), "{words}");

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
    assert!(phone.get("/").contains("Name of your Wi-Fi"));

    // A wrong password gets the same words as in wifi.txt, and the display still shows the network.
    let answer = phone.post("ssid=Corner+desk&psk=s3cr3t&country=DE&hub=hub.local&token=");
    assert!(
        answer.contains("wifi.txt:2: psk: 6 characters; expected 8 to 63"),
        "{answer}"
    );
    assert!(
        answer.contains("value=\"Corner desk\"") && !answer.contains("s3cr3t"),
        "{answer}"
    );
    assert_eq!(phone.words(), words);
    assert!(!phone.text("desk.toml").contains("\n[hub]"));

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
        phone.text("desk.toml"),
        "[hub]\nurl = \"ws://192.168.1.5:3000\"\n"
    );
    phone.within(10, "the network closes", || {
        phone.text("calls").ends_with("close\n")
    });
    assert_eq!(phone.words(), "");
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
    phone.within(10, "the network closes", || phone.words().is_empty());
    phone.opens(100);
    let words = phone.words();
    assert!(
        words.starts_with("phone: no connection. Again: Wi-Fi ticker-1a2b"),
        "{words}"
    );
    assert!(phone.get("/").contains("could not connect to this Wi-Fi"));
    // A cable is connected.
    phone.connected.store(true, Ordering::SeqCst);
    phone.within(10, "the network closes", || phone.words().is_empty());
}

#[test]
fn a_phone_reads_the_code_on_the_display() {
    let qr = "WIFI:T:WPA;S:ticker-1a2b;P:12345678;;";
    let text = "join the Wi-Fi ticker-1a2b with the code 12345678, then open 10.42.0.1";
    let view = View {
        page: PageView::Join { text, qr },
        time: None,
        sign: LinkIcon::Down,
        simulated: false,
        misconfigured: true,
        alert: None,
        format: Format::default(),
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
    assert_eq!(codes[0].decode().unwrap().1, qr);
}
