"""The host's side of the test: a hub with simulated prices, displays that draw the same prices into
files, and an independent client that records the hub's values. All connections use the loopback
interface."""

import base64
import glob
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import picture

TOKEN = secrets.token_urlsafe(24)

# A Wednesday in June 2026, 11:00 in New York: the freshness of a value then does not depend on the
# time of the test. Displays and hub share this shift of the wall clock; monotonic time is the
# machine's own.
OPEN = 1_781_103_600
SHIFT = OPEN - int(time.time())
# The shift for a machine without a battery-backed clock: its wall clock starts at 1970.
UNSET = -int(time.time())


def until(what, seconds, condition):
    """Waits for a condition and returns its value. After the time limit the error names what was
    awaited."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def shifted(seconds):
    """Returns the environment of a program whose wall clock is shifted by this number of seconds.
    """
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        raise AssertionError("libfaketime is missing")
    return {
        **os.environ,
        "LD_PRELOAD": found[0],
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "MASSIVE_PROXY_TOKEN": TOKEN,
        "TZ": "UTC",
    }


class Program:
    """A process; the test ends it in any case, by its process id."""

    running = []

    def __init__(self, log, arguments, **options):
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stderr=self.log, **options
        )
        Program.running.append(self)

    def end(self, kind=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(kind)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        if self in Program.running:
            Program.running.remove(self)

    @classmethod
    def end_all(cls):
        for program in list(cls.running):
            program.end()


class Hub(Program):
    """`deskticker-hub --simulate` on loopback; port 0 lets the hub choose its port."""

    def __init__(self, program, log, port=0):
        super().__init__(
            log,
            [program, "--simulate", "--listen", f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE,
            env=shifted(SHIFT),
        )
        first = self.process.stdout.readline().decode()
        self.port = int(first.split("127.0.0.1:")[1].split()[0])


class Display(Program):
    """A display that draws into a file, and all the pictures of this file."""

    def __init__(self, program, folder, name, port, shift=SHIFT, runner=()):
        self.file = Path(folder) / f"{name}.png"
        self.file.unlink(missing_ok=True)
        config = Path(folder) / f"{name}.toml"
        config.write_text(
            f'[hub]\nurl = "ws://127.0.0.1:{port}"\n'
            # With the shift against burn-in, displays with different start times would draw at
            # different rows.
            f'[panel]\nkind = "png"\nfile = "{self.file}"\nshift = false\n'
        )
        self.name = name
        self.seen = []
        self.identity = None
        environment = shifted(shift)
        if runner:
            del environment["LD_PRELOAD"]
        super().__init__(
            Path(folder) / f"{name}.log",
            [*runner, program, "run", "--config", config],
            env=environment,
        )

    def look(self):
        """Stores the file's picture if the file has changed."""
        try:
            with open(self.file, "rb") as file:
                state = os.fstat(file.fileno())
                identity = (state.st_ino, state.st_mtime_ns)
                if identity != self.identity:
                    self.identity = identity
                    self.seen.append((time.time(), file.read()))
        except FileNotFoundError:
            pass


class Watch(threading.Thread):
    """Reads the files of the displays ten times a second; a file changes at most once a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.displays = []
        self.start()

    def run(self):
        while True:
            for display in list(self.displays):
                display.look()
            time.sleep(0.1)


class Pictures:
    """Decodes pictures; equal file contents are decoded once."""

    def __init__(self):
        self.known = {}

    def of(self, display, since=0.0, until=float("inf")):
        """Returns the pictures that a display drew between two times."""
        return [self.dots(data) for when, data in list(display.seen) if since <= when <= until]

    def dots(self, data):
        if data not in self.known:
            self.known[data] = picture.of_png(data)
        return self.known[data]


class Client(threading.Thread):
    """Records each value that the hub sends for SPX and VIX, with its own WebSocket code."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.values = []
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.socket.sendall(
            f"GET /ws/indices HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        status = self.file.readline()
        if b" 101 " not in status:
            raise AssertionError(f"the hub said {status}")
        while self.file.readline().strip():
            pass
        self.send(json.dumps({"action": "subscribe", "params": "V.I:SPX,V.I:VIX"}).encode(), 0x81)
        self.start()

    def send(self, payload, kind):
        mask = secrets.token_bytes(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([kind, 0x80 | len(payload)]) + mask + masked)

    def run(self):
        try:
            while True:
                kind, length = self.file.read(2)
                if length == 126:
                    (length,) = struct.unpack(">H", self.file.read(2))
                payload = self.file.read(length)
                if kind & 0xF == 9:
                    self.send(payload, 0x8A)
                elif kind & 0xF == 1:
                    for event in json.loads(payload):
                        if event.get("ev") == "V":
                            when = event["t"] / 1000 - SHIFT
                            self.values.append((when, event["T"], event["val"]))
        except (OSError, ValueError):
            return  # The hub has ended.

    def said(self, ticker):
        """Returns the timestamp and the value, formatted as on the display, of each value of a
        ticker so far."""
        return [(at, f"{value:.2f}") for at, name, value in list(self.values) if name == ticker]
