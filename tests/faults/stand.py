"""Runs the built programs with a vendor and two proxies: vendor - far - hub - near - displays.

libfaketime sets the wall clock of the programs to a time of trading; monotonic time is the
machine's own.
"""

import asyncio
import codecs
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

import vendor as vendors
from proxy import Proxy

# A Monday, 11:00 in New York, in seconds since 1970.
TRADING = 1_795_449_600
TOKEN = "a-token-for-these-displays-only"
LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"
# The columns and rows of the terminal; the picture uses half blocks.
TERMINAL = (140, 40)
PICTURE_ENDS = "\x1b[?7h\x1b8"


class Watch:
    """A wall clock for a program; the test can step it."""

    def __init__(self, path, begun):
        self.path, self.offset, self.ahead = path, TRADING - begun, 0.0
        self.step(0.0)

    def step(self, ahead):
        """Sets the clock this many seconds ahead of the right time."""
        self.ahead = ahead
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{self.offset + ahead:+.6f}\n")
        fresh.rename(self.path)

    def environment(self):
        (library,) = Path("/").glob(LIBRARY[1:])
        return {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }


class Program:
    """One of the built programs; the test ends it by its process id."""

    def __init__(self, stand, name, arguments, watch, stdout):
        self.log = stand.folder / f"{name}.log"
        environment = {"PATH": os.environ["PATH"], "TZ": "America/New_York", "MASSIVE_PROXY_TOKEN": TOKEN}
        environment |= watch.environment()
        environment |= {"MASSIVE_API_KEY": vendors.KEY} if name == "hub" else {}
        with self.log.open("ab") as log:
            # The programs get a higher priority than this test, which only watches them.
            steady(2)
            self.child = subprocess.Popen(
                arguments, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=log, cwd=stand.folder
            )
            steady(1)

    def send(self, number):
        self.child.send_signal(number)

    async def end(self, number=signal.SIGTERM):
        if self.child.poll() is None:
            self.send(signal.SIGCONT)
            self.send(number)
        for _ in range(500):
            if self.child.poll() is not None:
                return
            await asyncio.sleep(0.01)
        self.child.kill()
        self.child.wait()

    def said(self):
        return self.log.read_text(errors="replace")


class Display(Program):
    """A display on a terminal of its own; each picture is passed on as soon as the display has
    written it."""

    def __init__(self, stand, name, pages, address, seen, panel='kind = "terminal"'):
        config = stand.folder / f"{name}.toml"
        config.write_text(
            f'watchlist = ["SPX", "VIX"]\n[hub]\nurl = "ws://{address}"\n[pages]\n{pages}\n'
            f"[panel]\nshift = false\n{panel}\n"
        )
        # The terminal shows only the panel, so a picture is complete when its end has arrived.
        self.terminal, theirs = pty.openpty()
        size = struct.pack("HHHH", TERMINAL[1], TERMINAL[0], 0, 0)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)
        os.set_blocking(self.terminal, False)
        self.seen, self.text = seen, ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        asyncio.get_running_loop().add_reader(self.terminal, self.read)
        arguments = [*stand.inside, stand.binaries / "deskticker", "run", "--config", config]
        super().__init__(stand, name, arguments, stand.desk_watch, theirs)
        os.close(theirs)

    def read(self):
        now = time.monotonic()
        try:
            data = os.read(self.terminal, 1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.terminal)
            return
        self.text += self.decoder.decode(data)
        *pictures, self.text = self.text.split(PICTURE_ENDS)
        for picture in pictures:
            self.seen(now, picture)

    async def end(self, number=signal.SIGTERM):
        await super().end(number)
        if self.terminal is not None:
            # The terminal may still hold the last output.
            self.read()
            asyncio.get_running_loop().remove_reader(self.terminal)
            os.close(self.terminal)
            self.terminal = None


class Stand:
    """All programs and proxies of one group, in a folder of their own."""

    def __init__(self, name, binaries):
        self.name, self.binaries = name, Path(binaries)
        self.folder = Path(tempfile.mkdtemp(prefix=f"deskticker-faults-{name}-"))
        begun = time.time()
        self.offset = TRADING - begun
        self.desk_watch = Watch(self.folder / "desk-time", begun)
        self.hub_watch = Watch(self.folder / "hub-time", begun)
        self.displays, self.hub, self.port = [], None, 0

    async def start(self, seen, host="127.0.0.1", listens="127.0.0.1", inside=()):
        """Starts the programs. `seen` takes (display, moment, picture). One display shows prices,
        one the connection, and one takes turns with the default pages. `inside` is the command
        prefix that starts the displays elsewhere, such as in a network namespace."""
        self.seen, self.host, self.inside = seen, host, inside
        self.vendor = await vendors.Vendor(lambda: time.time() + self.offset).start()
        self.far = await Proxy(self.vendor.address).listen()
        self.near = Proxy(None)
        await self.start_hub()
        await self.near.listen(listens)
        for name in ("prices", "link", "desk"):
            await self.start_display(name)

    async def start_display(self, name, panel='kind = "terminal"', port=None):
        pages = {"link": 'show = ["link"]', "desk": ""}.get(name, 'pin = "SPX VIX"')
        address = f"{self.host}:{port or self.near.address[1]}"
        seen = lambda moment, picture: self.seen(name, moment, picture)
        display = Display(self, name, pages, address, seen, panel)
        setattr(self, name, display)
        self.displays.append(display)

    async def start_hub(self):
        config = self.folder / "hub.toml"
        address = "%s:%d" % self.far.address
        config.write_text(
            f'listen = "127.0.0.1:{self.port}"\n[massive]\nurl = "ws://{address}"\nrest_url = "http://{address}"\n'
            # All displays have the same address here, so the limit per address must be high.
            f'clusters = ["indices"]\n[limits]\nper_minute = 100000\n'
        )
        log = self.folder / "hub.log"
        before = log.stat().st_size if log.exists() else 0
        arguments = [self.binaries / "deskticker-hub", "--config", config]
        self.hub = Program(self, "hub", arguments, self.hub_watch, subprocess.DEVNULL)
        for _ in range(1000):
            if found := re.search(r"on ws://127\.0\.0\.1:(\d+)", self.hub.said()[before:]):
                self.near.target = ("127.0.0.1", int(found[1]))
                return
            if self.hub.child.poll() is not None:
                break
            await asyncio.sleep(0.01)
        raise RuntimeError(f"the hub does not start:\n{self.hub.said()}")

    async def end(self):
        for program in [*self.displays, self.hub]:
            if program:
                await program.end()

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def steady(priority):
    """Sets a real-time priority for this process and its child processes, where that is allowed, so
    that other work on this machine does not delay their timers."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except PermissionError:
        # Without the priority, delays of this machine may count against the programs; the table
        # shows the greatest delay.
        pass
