"""The emulated Pi: its console, and the pictures of its panel from the bytes on the bus."""

import os
import queue
import socket
import subprocess
import threading
import time

import decode
from host import TOKEN, Program


# An update can have several messages. The time in seconds within which a message belongs to the same
# update as the message before; updates are about a second apart.
TOGETHER = 0.05


class Guest(Program):
    """An emulated Raspberry Pi 3B, with an SSD1306 at 0x3c that acknowledges each byte."""

    def __init__(self, folder, kernel, tree, initramfs, port):
        self.bus = folder / "i2c.log"
        self.bus.unlink(missing_ok=True)
        self.shown = Shown(self.bus)
        self.console = open(folder / "console.log", "w")
        self.lines = queue.Queue()
        self.start = time.time()
        self.door = socket.create_server(("127.0.0.1", 0))
        self.shell = None
        super().__init__(
            folder / "qemu.log",
            ["qemu-system-aarch64", "-M", "raspi3b", "-kernel", kernel, "-dtb", tree]
            + ["-initrd", initramfs, "-no-reboot", "-display", "none"]
            # The kernel passes unknown parameters to its first program as environment variables.
            + ["-append", "console=ttyAMA0,115200 rdinit=/init panic=-1 quiet "
               f"PORT={port} TOKEN={TOKEN} CONTROL={self.door.getsockname()[1]}"]
            + ["-serial", "stdio", "-serial", "null"]
            + ["-device", "ssd0303,bus=i2c-bus.1,address=0x3c"]
            + ["-trace", "i2c_event", "-trace", "i2c_send", "-D", self.bus]
            + ["-msg", "timestamp=on"]
            + ["-netdev", "user,id=n0", "-device", "usb-net,netdev=n0"],
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").rstrip()
            now = time.time()
            self.console.write(f"{now - self.start:8.3f} {line}\n")
            self.console.flush()
            self.lines.put((now, line))

    def await_line(self, start, seconds):
        """Waits for a console line that starts with this text. Returns its time and the line."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            try:
                when, line = self.lines.get(timeout=max(left, 0.001))
            except queue.Empty:
                raise AssertionError(f"not within {seconds} s on the console: {start}") from None
            if line.startswith(start):
                return when, line

    def worked(self):
        """Returns the processor time of the emulator in seconds."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def do(self, command, seconds=30):
        """Runs a command in the guest's shell and returns its output."""
        if not self.shell:
            self.door.settimeout(seconds)
            connection, _ = self.door.accept()
            self.shell = connection.makefile("rw", encoding="utf-8", errors="replace")
            self.connection = connection
        self.connection.settimeout(seconds)
        self.shell.write(command + "\n")
        self.shell.flush()
        printed = []
        for line in self.shell:
            if line.startswith("PI done"):
                if line.strip() != "PI done 0":
                    raise AssertionError(f"{command}: {line.strip()}: {printed}")
                return printed
            printed.append(line.rstrip())
        raise AssertionError(f"{command}: the emulated machine has gone")

    def glass(self):
        """Returns the pictures of the panel so far."""
        self.shown.read()
        return self.shown


class Shown:
    """The pictures that result from the bytes on the bus, each with the time at which it appeared.
    """

    def __init__(self, log):
        self.panel = decode.Glass()
        self.bus = decode.Bus(0x3C)
        self.log, self.rest = log, ""
        self.at = 0
        self.pictures = []
        self.messages = []

    def read(self):
        """Reads the new part of the bus log."""
        if not self.log.exists():
            return
        with open(self.log, errors="replace") as log:
            log.seek(self.at)
            text = self.rest + log.read()
            self.at = log.tell()
        *lines, self.rest = text.split("\n")
        for when, payload in self.bus.messages(lines):
            self.messages.append((when, len(payload)))
            self.panel.message(payload)
            dots = self.panel.dots()
            if self.pictures and self.pictures[-1][1] == dots:
                continue
            if self.pictures and when - self.pictures[-1][0] < TOGETHER:
                self.pictures.pop()
            self.pictures.append((when, dots))

    def lit(self, since=0.0, until=float("inf")):
        """Returns (time, picture) for the pictures between two times, without those of a dark
        panel."""
        return [(when, dots) for when, dots in self.pictures if since <= when <= until and dots]

    def last(self):
        return self.pictures[-1][1] if self.pictures else None
