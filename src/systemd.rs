//! The notifications to systemd (sd_notify(3)): ready, reloading, stopping, and the watchdog
//! messages of the event loops. This module owns the socket. Without systemd all calls do nothing,
//! and an error here never stops the program.
//!
//! This module has no timer: each event loop feeds its own [`Heartbeat`] after an iteration that
//! did its work. A timer would continue to send watchdog messages while an event loop is blocked.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::time::Moment;

/// The maximum time to send one message if systemd does not read its socket.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);
/// The minimum interval between two heartbeats of a loop, even if the unit's watchdog time is very
/// short.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// The directory of the service in memory (RuntimeDirectory= of the unit).
pub(crate) const RUNTIME_DIRECTORY: &str = "/run/deskticker";
/// The other directory that the service can write (StateDirectory= of the unit).
const STATE_DIRECTORY: &str = "/var/lib/deskticker";
/// The directory of the additions to the unit, which `systemctl edit deskticker` writes.
const ADDITIONS: &str = "/etc/systemd/system/deskticker.service.d";

/// Returns the reason why the service of the display cannot write this file for other programs;
/// `None` if it can. The reasons are the settings of the unit, and the additions to the unit.
pub(crate) fn write_problem(file: &Path) -> Option<String> {
    let additions = std::fs::read_dir(ADDITIONS).into_iter().flatten().flatten();
    let additions = additions.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    write_problem_with(file, &additions.collect::<String>())
}

fn write_problem_with(file: &Path, additions: &str) -> Option<String> {
    let settings = additions.lines().filter_map(|line| line.split_once('='));
    let allowed = settings.filter(|(key, _)| matches!(key.trim(), "ReadWritePaths" | "BindPaths"));
    let mut allowed = allowed.flat_map(|(_, paths)| paths.split_whitespace());
    let own = [RUNTIME_DIRECTORY, STATE_DIRECTORY];
    if own.iter().any(|folder| file.starts_with(folder))
        || allowed.any(|folder| file.starts_with(folder.trim_start_matches(['-', '+'])))
    {
        return None;
    }
    let first = file.components().nth(1).map(|part| part.as_os_str());
    let second = file.components().nth(2).map(|part| part.as_os_str());
    let why = match (
        first.and_then(OsStr::to_str),
        second.and_then(OsStr::to_str),
    ) {
        (Some("tmp"), _) | (Some("var"), Some("tmp")) => {
            "the service has a /tmp of its own, so no other program sees this file"
        }
        (Some("home" | "root"), _) => "the service cannot see the folders of users",
        _ => "the service cannot write to this folder",
    };
    Some(format!(
        "{why}; write the picture to {RUNTIME_DIRECTORY}, or allow a folder outside /tmp and /home with \
         `systemctl edit deskticker`: [Service] ReadWritePaths=/FOLDER"
    ))
}

/// The connection to systemd, which supervises this process. The default value has no connection,
/// and all its calls do nothing.
///
/// The second field is the bit of the loop if the value comes from [`Supervisor::part`].
#[derive(Clone, Debug, Default)]
pub struct Supervisor(Option<Arc<NotifySocket>>, Option<u32>);

#[derive(Debug)]
struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The interval between two heartbeats of each loop. `None` if the watchdog is disabled.
    interval: Option<Duration>,
    /// A bit mask with one bit for each registered loop.
    loops: AtomicU32,
    /// A bit mask of the loops that completed an iteration since the last watchdog message.
    beaten: AtomicU32,
}

impl Supervisor {
    /// Creates the supervisor of this process from the environment variables `NOTIFY_SOCKET`,
    /// `WATCHDOG_USEC` and `WATCHDOG_PID`. If the socket is not usable, the result has no
    /// connection and a warning is logged.
    pub fn from_process() -> Self {
        let variable = |name| std::env::var(name).ok();
        let watchdog = watchdog(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        Self::at(&socket, watchdog).unwrap_or_else(|error| {
            log::warn!("cannot report the state of this program to systemd: {error}");
            Self::default()
        })
    }

    /// Creates a supervisor that sends to this socket: a path, or `@` followed by an abstract name.
    /// With `watchdog`, every loop must send a heartbeat within that time.
    ///
    /// # Errors
    /// The address is not valid, or the system cannot create a socket.
    pub fn at(socket: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(socket)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        let line = NotifySocket {
            socket,
            address,
            interval: watchdog.map(|limit| (limit / 4).max(MIN_INTERVAL)),
            loops: AtomicU32::new(0),
            beaten: AtomicU32::new(0),
        };
        Ok(Self(Some(Arc::new(line)), None))
    }

    /// Returns a supervisor for a loop that stops and starts again while the process continues.
    /// Each start uses the same heartbeat, and its [`Supervisor::stopping`] does nothing.
    pub fn part(&self) -> Self {
        Self(self.0.clone(), Some(self.register_loop()))
    }

    /// Reports that the start or a reload is complete.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Reports that the configuration is being reloaded. A call of [`Supervisor::ready`] must
    /// follow.
    pub fn reloading(&self) {
        if self.0.is_some() {
            // systemd uses this timestamp to match the message with its reload request.
            let now = clock_gettime(ClockId::Monotonic);
            let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        }
    }

    /// Reports a short status text for `systemctl status`.
    pub fn status(&self, words: &str) {
        if self.0.is_some() {
            // A newline would start a second assignment in the message.
            self.tell(&format!("STATUS={}", words.replace('\n', " ")));
        }
    }

    /// Reports that the process is stopping.
    pub fn stopping(&self) {
        if self.1.is_none() {
            self.tell("STOPPING=1");
        }
    }

    /// Registers one more loop, or uses the existing loop of a [`Supervisor::part`]. A watchdog
    /// message is sent only while all registered loops complete their iterations, so a loop that
    /// has stopped has the same effect as a blocked loop. At most 32 loops are possible.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            bit: self.1.unwrap_or_else(|| self.register_loop()),
            line: self.watched().cloned(),
            due: Moment::ZERO,
        }
    }

    fn watched(&self) -> Option<&Arc<NotifySocket>> {
        self.0.as_ref().filter(|line| line.interval.is_some())
    }

    /// Registers a loop and returns its bit. Returns 0 if the watchdog is disabled.
    fn register_loop(&self) -> u32 {
        self.watched().map_or(0, |line| {
            // The lowest free bit, taken in one step: two loops may register at the same time.
            let taken = line
                .loops
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| {
                    Some(all | (all + 1))
                });
            taken.map_or(0, |before| (before + 1) & !before)
        })
    }

    fn tell(&self, message: &str) {
        if let Some(line) = &self.0 {
            line.tell(message);
        }
    }
}

impl NotifySocket {
    fn tell(&self, message: &str) {
        // The address is resolved for each message, because a restarted systemd creates a new
        // socket at the same address.
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            log::debug!("cannot send {message:?} to systemd: {error}");
        }
    }
}

/// The heartbeat of one loop. The default value belongs to no loop and is never due.
#[derive(Debug, Default)]
pub struct Heartbeat {
    line: Option<Arc<NotifySocket>>,
    bit: u32,
    due: Moment,
}

impl Heartbeat {
    /// The latest time for the next iteration of the loop.
    pub fn due(&self) -> Moment {
        self.line.as_ref().map_or(Moment::NEVER, |_| self.due)
    }

    /// Reports that the loop completed an iteration. The call sends a watchdog message when all
    /// loops have reported. It never allocates.
    pub fn beat(&mut self, now: Moment) {
        let Some(line) = &self.line else { return };
        let Some(interval) = line.interval.filter(|_| now >= self.due) else {
            return;
        };
        self.due = now + interval;
        let beaten = line.beaten.fetch_or(self.bit, Ordering::Relaxed) | self.bit;
        if beaten == line.loops.load(Ordering::Relaxed) {
            line.beaten.store(0, Ordering::Relaxed);
            line.tell("WATCHDOG=1");
        }
    }
}

/// Returns the watchdog time of systemd. `None` if the watchdog is disabled or belongs to another
/// process.
fn watchdog(micros: Option<&str>, whose: Option<&str>, own: u32) -> Option<Duration> {
    if whose.is_some_and(|whose| whose.parse() != Ok(own)) {
        return None;
    }
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor with an abstract socket name, which needs no directory.
    fn listening(name: &str, watchdog: Option<Duration>) -> (UnixDatagram, Supervisor) {
        let name = format!("@deskticker-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, Supervisor::at(OsStr::new(&name), watchdog).unwrap())
    }

    /// Returns the messages that were received up to now.
    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        std::iter::from_fn(|| {
            socket
                .recv(&mut buffer)
                .ok()
                .map(|size| buffer[..size].to_vec())
        })
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
    }

    #[test]
    fn the_service_can_write_only_to_its_directories_and_to_allowed_folders() {
        let problem = |file: &str, additions| write_problem_with(Path::new(file), additions);
        for good in ["/run/deskticker/x.png", "/var/lib/deskticker/x.png"] {
            assert_eq!(problem(good, ""), None);
        }
        for (file, word) in [
            ("/tmp/x.png", "/tmp of its own"),
            ("/var/tmp/x.png", "/tmp of its own"),
            ("/home/pi/x.png", "folders of users"),
            ("/var/www/html/x.png", "cannot write to this folder"),
            ("/etc/deskticker/x.png", "cannot write to this folder"),
        ] {
            let problem = problem(file, "").unwrap();
            assert!(problem.contains(word), "{problem}");
            assert!(problem.contains("ReadWritePaths="), "{problem}");
        }
        let additions = "[Service]\nReadWritePaths=-/srv/kiosk /var/www\n";
        assert_eq!(problem("/var/www/x.png", additions), None);
        assert_eq!(problem("/srv/kiosk/x.png", additions), None);
        assert!(problem("/srv/x.png", additions).is_some());
    }

    #[test]
    fn systemd_is_notified_of_the_start_the_reload_and_the_end() {
        let (socket, supervisor) = listening("states", None);
        supervisor.ready();
        supervisor.reloading();
        supervisor.ready();
        supervisor.status("showing SPX\nREADY=1");
        supervisor.stopping();
        let messages = received(&socket);
        let micros = messages[1]
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap();
        assert!(micros.parse::<u64>().unwrap() > 0);
        assert_eq!(messages[0], "READY=1");
        let rest = ["READY=1", "STATUS=showing SPX READY=1", "STOPPING=1"];
        assert_eq!(messages[2..], rest);
    }

    #[test]
    fn the_notify_socket_can_be_a_path() {
        let path = std::env::temp_dir().join(format!("deskticker-notify-{}", std::process::id()));
        std::fs::remove_file(&path).ok();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Supervisor::at(path.as_os_str(), None).unwrap().ready();
        assert_eq!(received(&socket), ["READY=1"]);
        std::fs::remove_file(&path).unwrap();
        // A missing receiver at this address must not cause a failure.
        Supervisor::at(path.as_os_str(), None).unwrap().ready();
    }

    #[test]
    fn a_running_loop_sends_four_heartbeats_in_each_watchdog_interval() {
        let (socket, supervisor) = listening("four", Some(Duration::from_secs(20)));
        let mut heartbeat = supervisor.heartbeat();
        let mut beats = 0;
        for second in 0..20 {
            heartbeat.beat(Moment::from_secs(second));
            beats += received(&socket).len();
        }
        assert_eq!(beats, 4);
        assert_eq!(heartbeat.due(), Moment::from_secs(20));
    }

    #[test]
    fn a_single_stuck_loop_stops_the_watchdog_notifications() {
        let (socket, supervisor) = listening("stuck", Some(Duration::from_secs(20)));
        let (mut first, mut second) = (supervisor.heartbeat(), supervisor.heartbeat());
        first.beat(Moment::ZERO);
        assert!(received(&socket).is_empty());
        second.beat(Moment::ZERO);
        assert_eq!(received(&socket), ["WATCHDOG=1"]);
        for second in 1..60 {
            first.beat(Moment::from_secs(second));
        }
        assert!(received(&socket).is_empty());
        second.beat(Moment::from_secs(60));
        assert_eq!(received(&socket), ["WATCHDOG=1"]);
        drop(second);
        for second in 60..90 {
            first.beat(Moment::from_secs(second));
        }
        assert!(received(&socket).is_empty(), "one that has ended too");
    }

    #[test]
    fn a_restarted_loop_keeps_its_heartbeat_and_its_end_is_not_reported() {
        let (socket, supervisor) = listening("part", Some(Duration::from_secs(20)));
        let part = supervisor.part();
        part.heartbeat().beat(Moment::ZERO);
        part.stopping();
        part.heartbeat().beat(Moment::from_secs(5));
        assert_eq!(received(&socket), ["WATCHDOG=1", "WATCHDOG=1"]);
        supervisor.stopping();
        assert_eq!(received(&socket), ["STOPPING=1"]);
    }

    #[test]
    fn a_heartbeat_allocates_no_memory() {
        let (socket, supervisor) = listening("quiet", Some(Duration::from_secs(4)));
        let mut heartbeat = supervisor.heartbeat();
        let counted = allocation_counter::measure(|| {
            for second in 0..8 {
                heartbeat.beat(Moment::from_secs(second));
            }
        });
        assert_eq!(counted.count_total, 0);
        assert_eq!(received(&socket).len(), 8);
    }

    #[test]
    fn without_a_watchdog_no_heartbeat_is_due_and_nothing_is_sent() {
        let (socket, supervisor) = listening("unasked", None);
        for mut heartbeat in [supervisor.heartbeat(), Heartbeat::default()] {
            assert_eq!(heartbeat.due(), Moment::NEVER);
            heartbeat.beat(Moment::from_secs(60));
        }
        assert!(received(&socket).is_empty());
        let inactive = Supervisor::default();
        inactive.ready();
        inactive.reloading();
        inactive.stopping();
    }

    #[test]
    fn a_systemd_that_reads_nothing_does_not_block_the_program_for_long() {
        let (_deaf, supervisor) = listening("deaf", None);
        let start = std::time::Instant::now();
        let Supervisor(Some(line), _) = &supervisor else {
            unreachable!()
        };
        let fills = std::iter::repeat_with(|| line.socket.send_to_addr(b".", &line.address));
        // The queue is limited by net.unix.max_dgram_qlen, usually 512 or less.
        assert!(fills.take(1 << 16).any(|sent| sent.is_err()));
        supervisor.ready();
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn the_watchdog_of_another_process_is_ignored() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), None, 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("7"), 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("8"), 7), None);
        assert_eq!(watchdog(Some("1000000"), Some("x"), 7), None);
        assert_eq!(watchdog(Some("0"), None, 7), None);
        assert_eq!(watchdog(Some("soon"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }

    #[test]
    fn an_invalid_address_causes_an_error_and_no_panic() {
        let long = "/".repeat(200);
        assert!(Supervisor::at(OsStr::new(&long), None).is_err());
        assert!(Supervisor::at(OsStr::new(&format!("@{long}")), None).is_err());
    }
}
