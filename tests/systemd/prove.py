"""Proves the properties of the systemd units one by one. The script `run` calls it in a mount
namespace of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from held import MainThread, states
from machine import BEGUN, TOKEN, Failed, Machine, check, proven, wait

ROOT = Path(__file__).resolve().parents[2]
UNITS = ["deskticker.service", "deskticker-hub.service"]
# The greatest exposure, in tenths, that `systemd-analyze security` may report for each unit.
EXPOSURE = {"deskticker.service": 13, "deskticker-hub.service": 11}
# The classes of devices that a configuration can name: panel.bus is an I2C bus (char-89) or an SPI
# bus (char-153), panel.dc and panel.reset are lines of a GPIO chip, and buttons are input devices.
CLASSES = {
    "deskticker.service": {
        "char-i2c rw",
        "char-89 rw",
        "char-spi rw",
        "char-153 rw",
        "char-gpiochip rw",
        "char-input r",
        "char-fb rw",
        "char-29 rw",
    },
    "deskticker-hub.service": set(),
}
# The groups of these devices.
GROUPS = ("i2c", "spi", "gpio")


def said_by(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


class Service:
    """One unit in the container."""

    def __init__(self, machine, name):
        self.machine, self.name = machine, name

    def show(self, name):
        return self.machine.run("systemctl", "show", "--value", "-p", name, self.name).strip()

    def pid(self):
        return int(self.show("MainPID"))

    def runs(self):
        return (self.show("ActiveState"), self.show("SubState")) == ("active", "running")

    def log(self, since=None):
        return self.machine.run(
            "journalctl", "-o", "cat", "--no-pager", "-u", self.name, *(["--since", since] if since else [])
        )

    def says(self, word):
        try:
            wait(word, lambda: word in self.log(), 20)
        except Failed:
            raise Failed(f"{self.name} never says {word!r}, only:\n{self.log()}") from None

    def restarted_after(self, what, seconds=20):
        """Runs a function that should end the service, and returns the seconds until systemd has
        started it again."""
        # The restart delay grows with each restart that systemd remembers.
        self.machine.run("systemctl", "reset-failed", self.name)
        pid, count = self.pid(), int(self.show("NRestarts"))
        begun = time.monotonic()
        what(self.machine.host_pid(pid))
        wait(
            f"{self.name} runs again",
            lambda: self.runs() and self.pid() not in (0, pid) and int(self.show("NRestarts")) > count,
            seconds,
        )
        return time.monotonic() - begun


def static(tree):
    """Checks the files without running the services, and installs them in the tree."""
    binaries, copies = Path(sys.argv[2]), {
        "deskticker.service": "usr/lib/systemd/system/deskticker.service",
        "deskticker-hub.service": "usr/lib/systemd/system/deskticker-hub.service",
        "deskticker-console.service": "usr/lib/systemd/system/deskticker-console.service",
        "deskticker.sysusers": "usr/lib/sysusers.d/deskticker.conf",
        "60-deskticker.rules": "usr/lib/udev/rules.d/60-deskticker.rules",
    }
    for program in ("deskticker", "deskticker-hub"):
        shutil.copy(binaries / program, tree / "usr/bin" / program)
    for source, target in copies.items():
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "systemd" / source, tree / target)

    code, said = said_by("chroot", tree, "systemd-analyze", "verify", "--man=no", *UNITS, "deskticker-console.service")
    version = int(re.search(r"systemd (\d+)", said_by("chroot", tree, "systemctl", "--version")[1])[1])
    # systemd supports a growing restart delay since version 254; older versions use a constant
    # delay.
    new = r".*Unknown key( name)? '(RestartSteps|RestartMaxDelaySec)'.*\n"
    said = re.sub(new, "", said) if version < 254 else said
    check(code == 0 and not said.strip(), f"systemd-analyze verify: {code}\n{said}")
    proven(f"systemd {version} finds nothing wrong with the units")

    for unit in UNITS:
        path = tree / "usr/lib/systemd/system" / unit
        command = ("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[unit]}")
        code, said = said_by("chroot", tree, *command, f"/{path.relative_to(tree)}")
        check(code == 0, f"{unit} is exposed too much\n{said}")
        proven(re.search(r"→ (.*:\s+[\d.]+)", said)[1])
        allowed = set(re.findall(r"^DeviceAllow=(.*)$", path.read_text(), re.MULTILINE))
        check(allowed == CLASSES[unit], f"{unit} allows the devices {allowed}")

    groups = tree / "etc/group"
    def missing():
        return [group for group in GROUPS if f"\n{group}:" not in groups.read_text()]

    check(missing() == [*GROUPS], "this Debian has such a group, and nothing is proven")
    code, said = said_by("systemd-sysusers", f"--root={tree}", "deskticker.conf")
    check(code == 0 and not missing(), f"systemd-sysusers: {code}\n{said}")
    proven("sysusers makes the groups i2c, spi and gpio, which plain Debian has not")

    rules = tree / "usr/lib/udev/rules.d/60-deskticker.rules"
    if version >= 254:
        code, said = said_by("chroot", tree, "udevadm", "verify", f"/{rules.relative_to(tree)}")
        check(code == 0, f"udevadm verify: {code}\n{said}")
        proven("udev finds nothing wrong with the rule")

    for folder, text in {
        "etc/deskticker/deskticker.toml": configuration("png", '["SPX", "VIX"]'),
        "etc/systemd/journald.conf.d/volatile.conf": "[Journal]\nStorage=volatile\n",
        # Only our two services and their pictures may write, so that each write that the test finds
        # is ours.
        "etc/systemd/system/deskticker-hub.service.d/simulated.conf": (
            "[Service]\nExecStart=\n"
            "ExecStart=/usr/bin/deskticker-hub --simulate --listen 127.0.0.1:3000\n"
            f"Environment=MASSIVE_PROXY_TOKEN={TOKEN}\n"
        ),
        # A probe in the same sandbox waits for a bus and opens it. The device number 90 is not I2C.
        "etc/systemd/system/late-bus.service.d/probe.conf": (
            "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecReload=\nExecStart=\nExecStart="
            "/bin/sh -c 'until [ -e /dev/i2c-90 ]; do sleep 0.1; done; id; ls -l /dev/i2c-*; "
            "exec 2>&1; (: <>/dev/i2c-89); (: <>/dev/i2c-90); true'\n"
        ),
    }.items():
        (tree / folder).parent.mkdir(parents=True, exist_ok=True)
        (tree / folder).write_text(text)
    shutil.copy(ROOT / "systemd/deskticker.service", tree / "etc/systemd/system/late-bus.service")
    code, said = said_by("systemctl", f"--root={tree}", "enable", *UNITS)
    check(code == 0, f"systemctl enable: {code}\n{said}")


def configuration(kind, watchlist):
    return (
        f'watchlist = {watchlist}\n[hub]\nurl = "ws://127.0.0.1:3000"\n[panel]\nkind = "{kind}"\n'
    )


def start(machine, desk, hub):
    machine.boot()
    proven(f"a real {machine.run('systemctl', '--version').splitlines()[0]} has booted")
    if int(re.search(r"systemd (\d+)", machine.run("systemctl", "--version"))[1]) < 254:
        said = machine.run("udevadm", "test", "/sys/class/mem/null", check=False)
        wrong = [l for l in said.splitlines() if "60-deskticker" in l and "Reading" not in l]
        check("60-deskticker.rules" in said and not wrong, f"udevadm test:\n{said}")
        proven("udev reads the rule and finds nothing wrong with it")
    desk.says("there is no token")
    check(desk.show("ExecMainStatus") != "243", "systemd did not start it (243/CREDENTIALS)")
    proven("without a token the display is started, and says that there is none")

    token = machine.tree / "etc/deskticker/token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    machine.run("systemctl", "restart", desk.name)
    for service in (hub, desk):
        wait(f"{service.name} is ready", service.runs)
        check(service.show("Type") == "notify", "running means nothing without notify")
    proven("both have said that they are ready, and are running")

    desk.says("indices: connection live")
    at = token.stat()
    check((at.st_uid, at.st_gid, at.st_mode & 0o777) == (0, 0, 0o600), f"{token} is not root's alone")
    status = Path(f"/proc/{machine.host_pid(desk.pid())}/status").read_text()
    user, group = (re.search(rf"{key}:\t(\d+)", status)[1] for key in ("Uid", "Gid"))
    check(user != "0", "the display runs as root")
    own = ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "cat", "/etc/deskticker/token")
    check("Permission denied" in machine.run(*own, check=False), "its user can read the token's file")
    proven("the token came as a credential and was let in; its file is closed to the display's user")

    folder = "/run/deskticker"
    wait("a picture", lambda: "deskticker.png\n" in machine.run("ls", folder))
    first = machine.run("sha256sum", f"{folder}/deskticker.png")
    wait("another picture", lambda: machine.run("sha256sum", f"{folder}/deskticker.png") != first)
    check(machine.run("stat", "-f", "-c", "%T", folder) == "tmpfs\n", "the picture is not in memory")
    proven("the picture changes with the prices, and is in memory")


def reload(machine, desk, hub):
    pid = desk.pid()
    config = machine.tree / "etc/deskticker/deskticker.toml"
    config.write_text(configuration("png", '["SPX", "NDX"]'))
    machine.run("systemctl", "reload", desk.name)
    desk.says("the new configuration is in effect; showing SPX, NDX")
    wait("the reload is over", desk.runs)
    check(desk.pid() == pid, "a reload has restarted it")
    machine.run("systemctl", "reload", hub.name)
    hub.says("SIGHUP has no effect")
    wait("the reload is over", hub.runs)
    proven("systemctl reload (SIGHUP) reads the watchlist again, in the same process")


def words(word, meaning):
    """Returns the picture with this word and text, made by the program on the host."""
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "desk.toml").write_text(f'[panel]\nkind = "png"\nfile = "{folder}/words.png"\n')
        code, said = said_by(Path(sys.argv[2]) / "deskticker", "say", word, meaning, "--after-stop",
                             "--config", folder / "desk.toml")
        check(code == 0, f"say: {code}\n{said}")
        return (folder / "words.png").read_bytes()
    finally:
        shutil.rmtree(folder)


class Kiosk:
    """The folder of a kiosk in a small memory file system, with the picture in it."""

    PLACE = "/srv/kiosk"

    def __init__(self, machine):
        machine.run("mkdir", "-p", self.PLACE)
        machine.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "tmpfs", self.PLACE)
        self.folder = Path(f"/proc/{machine.leader}/root{self.PLACE}")

    def picture(self):
        try:
            return (self.folder / "screen.png").read_bytes()
        except FileNotFoundError:
            return b""

    def shows(self, picture, seconds):
        """Waits for this picture, and returns the seconds that it took."""
        begun = time.monotonic()
        while self.picture() != picture:
            if time.monotonic() - begun > seconds:
                raise Failed(f"not within {seconds} s: the picture")
            time.sleep(0.01)
        return time.monotonic() - begun

    def lives(self, but):
        """Waits for a picture with prices; such a picture contains its expiry time."""
        wait("a picture of prices", lambda: b"Valid-Until" in self.picture() and self.picture() != but, 10)

    def fill(self):
        with open(self.folder / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(512))
            except OSError:
                pass

    def clear(self):
        (self.folder / "filler").unlink()


def pictures(machine, desk):
    """Checks that no price stays in a file when the display ends or cannot write."""
    ended, halted = words("ENDED", "nothing here is live"), words("HALTED", "the program stands still")
    not_live = words("NOT LIVE", "cannot write this file")
    config = machine.tree / "etc/deskticker/deskticker.toml"
    before = config.read_text()
    kiosk = Kiosk(machine)
    config.write_text(configuration("png", '["SPX", "VIX"]') + f'file = "{Kiosk.PLACE}/screen.png"\n')
    drop_in = machine.tree / f"etc/systemd/system/{desk.name}.d/kiosk.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\nReadWritePaths={Kiosk.PLACE}\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", desk.name)
    kiosk.lives(ended)
    machine.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-r",
                f"{Kiosk.PLACE}/screen.png")
    proven("a picture in another folder can be read by anybody, and says until when it is good")
    check(desk.show("StatusText") == "showing SPX, VIX", desk.show("StatusText"))
    check(machine.run("cat", "/run/deskticker/state") == "panel shown\n", "its state is another")
    proven("systemctl status and the state file say what is shown")

    kiosk.fill()
    took = kiosk.shows(not_live, 3)
    proven(f"{took:.1f} s after the disk is full the picture says that it is not live, in the place it had")
    kiosk.clear()
    kiosk.lives(not_live)
    proven("and prices are there again once there is room")
    kiosk.fill()
    machine.run("systemctl", "stop", desk.name)
    check(kiosk.picture() == ended, "a clean end with a full disk leaves another picture")
    kiosk.clear()
    machine.run("systemctl", "start", desk.name)
    proven("an end in good order with a full disk leaves ENDED")

    for kind in (signal.SIGKILL, signal.SIGABRT):
        kiosk.lives(ended)
        seen = []

        def end(pid):
            os.kill(pid, kind)
            seen.append(kiosk.shows(ended, 5))

        took = desk.restarted_after(end)
        check(seen[0] < 1, f"ENDED came only after {seen[0]:.2f} s")
        check(took < 4, f"the next start came only after {took:.1f} s")
        proven(f"{seen[0]:.2f} s after {kind.name} the picture says ENDED; it runs again after {took:.1f} s")

    kiosk.lives(ended)
    with MainThread(machine.host_pid(desk.pid())):
        took = kiosk.shows(halted, 12)
    proven(f"with the main thread held still the picture says HALTED after {took:.1f} s")
    kiosk.lives(halted)

    config.write_text(configuration("png", '["SPX", "VIX"]'))
    machine.run("systemctl", "restart", desk.name)
    picture = Path(f"/proc/{machine.leader}/root/run/deskticker/deskticker.png")
    wait("a picture", picture.exists)

    def gone():
        try:
            return picture.read_bytes() == ended
        except OSError:
            return True

    begun = time.monotonic()
    os.kill(machine.host_pid(desk.pid()), signal.SIGKILL)
    wait("it is gone", gone, 1)
    proven(f"in the service's own folder it is gone, or says ENDED, {time.monotonic() - begun:.2f} s after SIGKILL")
    wait("it runs again", desk.runs)
    config.write_text(before)
    drop_in.unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", desk.name)
    machine.run("umount", Kiosk.PLACE)


def steady(machine, desk, hub):
    """Checks a minute of normal operation with a watchdog of three seconds: a service that feeds
    the watchdog too rarely would not survive."""
    for service in (desk, hub):
        folder = machine.tree / f"etc/systemd/system/{service.name}.d"
        folder.mkdir(exist_ok=True)
        (folder / "watchdog.conf").write_text("[Service]\nWatchdogSec=3\n")
    machine.run("systemctl", "daemon-reload")
    connected = lambda: desk.log().count("indices: connection live")
    before = connected()
    machine.run("systemctl", "restart", hub.name, desk.name)
    wait("both run", lambda: desk.runs() and hub.runs())
    wait("they are connected", lambda: connected() > before)

    journald = Service(machine, "systemd-journald.service")
    watched = {s.name: machine.host_pid(s.pid()) for s in (desk, hub, journald)}
    watched["process 1"] = machine.leader

    def written(pid):
        text = Path(f"/proc/{pid}/io").read_text()
        counts = dict(line.split(": ") for line in text.splitlines())
        return int(counts["write_bytes"]) - int(counts["cancelled_write_bytes"])

    # First check that both methods detect a write.
    stamp = machine.tree.parent / "stamp"
    stamp.touch()
    time.sleep(0.05)
    before, probe = written(os.getpid()), machine.tree / "var/probe"
    probe.write_bytes(bytes(1 << 16))
    check(written(os.getpid()) >= before + (1 << 16), "/proc/PID/io counts no writes here")
    newer = lambda: said_by("find", machine.tree, "-xdev", "-newer", stamp, "-not", "-type", "d")[1].split()
    check(newer() == [str(probe)], f"find sees {newer()}")
    probe.unlink()

    restarts = desk.show("NRestarts"), hub.show("NRestarts")
    stamp.touch()
    before = {name: written(pid) for name, pid in watched.items()}
    time.sleep(60)
    wrote = {name: written(pid) - before[name] for name, pid in watched.items()}
    check(not any(wrote.values()), f"written to a disk in a minute: {wrote}")
    check(not newer(), f"changed on the disk in a minute: {newer()}")
    proven("in a minute of prices neither service, nor journald, nor process 1 wrote a byte to a disk "
           "(/proc/PID/io), and no file of the tree changed")
    check(restarts == (desk.show("NRestarts"), hub.show("NRestarts")), "something was restarted")
    proven("nor did a watchdog of 3 s bark in it")


def ends(desk, hub):
    for service in (desk, hub):
        for kind in (signal.SIGKILL, signal.SIGABRT):
            took = service.restarted_after(lambda pid: os.kill(pid, kind))
            proven(f"{service.name} runs again {took:.1f} s after {kind.name}")
    for service in (desk, hub):
        took = service.restarted_after(hang)
        check("Watchdog timeout" in service.log(), f"it was no watchdog:\n{service.log()}")
        proven(f"{service.name} with its main thread held still, and the others not, "
               f"is given up and runs again after {took:.1f} s (WatchdogSec=3)")


def hang(pid):
    with MainThread(pid) as main:
        others = {thread: state for thread, state in states(pid).items() if thread != pid}
        check(states(pid)[pid] == "t", "the main thread is not held")
        check(others and "t" not in others.values(), f"the other threads do not live: {others}")
        status = main.wait_for_end(10)
        check(os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGABRT, signal.SIGKILL),
              f"it ended otherwise: {status:#x}")


def buses(machine, desk):
    (machine.tree / "etc/deskticker/deskticker.toml").write_text(configuration("oled", '["SPX"]'))
    machine.run("systemctl", "restart", desk.name)
    desk.says("/dev/i2c-")
    check(desk.runs(), "it has ended for want of a bus")
    proven("without an I2C bus the display says so, and lives")

    machine.run("systemctl", "start", "--no-block", "late-bus.service")
    probe = Service(machine, "late-bus.service")
    wait("the probe runs", lambda: probe.pid() > 0 and probe.show("SubState") == "start")
    # The host makes the devices, because a container is not allowed to.
    for number in (89, 90):
        node = f"/dev/i2c-{number}"
        done = said_by("nsenter", "--target", str(machine.leader), "--mount", "--", "sh", "-c",
                       f"umask 117 && mknod {node} c {number} 200 && chgrp i2c {node}")
        check(done[0] == 0, f"mknod: {done[1]}")
    wait("the probe ends", lambda: probe.show("ActiveState") in ("inactive", "failed"))
    said = probe.log()
    check("/dev/i2c-89: No such device" in said, f"a bus that comes late is not let in:\n{said}")
    proven("a bus that comes after the start is let in by the sandbox (nothing is behind this one)")
    if "/dev/i2c-90: Operation not permitted" in said:
        proven("another kind of device is not")
    else:
        print("--           this kernel enforces no list of devices here: not proven that others are kept out")


def stop(machine, desk, hub):
    for service in (desk, hub):
        begun = time.monotonic()
        machine.run("systemctl", "stop", service.name)
        took = time.monotonic() - begun
        state = [service.show(name) for name in ("ActiveState", "Result", "ExecMainCode", "ExecMainStatus")]
        check(state == ["inactive", "success", "1", "0"], f"{service.name} ended badly: {state}\n{service.log()}")
        check(took < 2, f"{service.name} took {took:.1f} s to end")
        proven(f"{service.name} ends with 0, {took * 1000:.0f} ms after it is told to")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    machine = Machine(sys.argv[1])
    desk, hub = (Service(machine, name) for name in UNITS)
    try:
        static(machine.tree)
        start(machine, desk, hub)
        reload(machine, desk, hub)
        pictures(machine, desk)
        steady(machine, desk, hub)
        ends(desk, hub)
        buses(machine, desk)
        stop(machine, desk, hub)
    except Failed as failed:
        sys.exit(f"FAILED after {time.monotonic() - BEGUN:.0f} s: {failed}")
    finally:
        machine.end()
    print(f"all proven, {time.monotonic() - BEGUN:.0f} s")


main()
