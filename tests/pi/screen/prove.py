"""Compares what the screen of an emulated Raspberry Pi shows with the pictures that the same program
draws on this machine into a file, for the same hub: before the network, through ticks, and stale.

Usage: prove.py FOLDER KERNEL TREE INITRAMFS DISPLAY HUB, called by tests/pi/screen/run.
"""

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from host import SHIFT, TOKEN, Hub, Program, shifted, until  # noqa: E402

WIDTH, HEIGHT = 640, 480
# The number of different pictures that must be equal in each part of the test.
LIVE, STALE = 8, 4


def packed(ppm):
    """Returns the pixels of a picture of QEMU's (PPM, 8 bits a channel) as r5g6b5, little-endian."""
    head, size, most, pixels = ppm.split(b"\n", 3)
    if (head, size, most) != (b"P6", f"{WIDTH} {HEIGHT}".encode(), b"255"):
        raise AssertionError(f"not the expected picture: {ppm[:20]}")
    out = bytearray()
    for at in range(0, len(pixels), 3):
        red, green, blue = pixels[at : at + 3]
        out += ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3).to_bytes(2, "little")
    return bytes(out)


class Twin(Program, threading.Thread):
    """The program on this machine with a file in place of the framebuffer, and all its pictures."""

    def __init__(self, folder, program, port):
        threading.Thread.__init__(self, daemon=True)
        self.file, sysfs = folder / "fb0", folder / "graphics"
        sysfs.mkdir()
        for name, text in (("virtual_size", f"{WIDTH},{HEIGHT}"), ("stride", "1280"), ("bits_per_pixel", "16")):
            (sysfs / name).write_text(text)
        self.file.write_bytes(bytes(2 * WIDTH * HEIGHT))
        config = folder / "twin.toml"
        config.write_text(
            f'[hub]\nurl = "ws://127.0.0.1:{port}"\n[pages]\npin = "SPX VIX"\n'
            f'[panel]\nkind = "screen"\nshift = false\n[screen]\ndevice = "{self.file}"\nsysfs = "{sysfs}"\n'
        )
        self.seen = {}
        Program.__init__(
            self, folder / "twin.log", [program, "run", "--config", config], env=shifted(SHIFT)
        )
        self.start()

    def run(self):
        while self.process.poll() is None:
            self.seen.setdefault(self.file.read_bytes(), time.time())
            time.sleep(0.02)


class Pi(Program):
    """The emulated Pi and its screen."""

    def __init__(self, folder, kernel, tree, initramfs, port):
        self.folder, self.lines = folder, queue.Queue()
        self.control = folder / "qmp"
        self.door = socket.create_server(("127.0.0.1", 0))
        super().__init__(
            folder / "qemu.log",
            ["qemu-system-aarch64", "-M", "raspi3b", "-kernel", kernel, "-dtb", tree]
            + ["-initrd", initramfs, "-no-reboot", "-display", "none"]
            + ["-append", "console=ttyAMA0,115200 rdinit=/init panic=-1 quiet "
               f"PORT={port} TOKEN={TOKEN} CONTROL={self.door.getsockname()[1]} NOW={open_now()}"]
            + ["-serial", "stdio", "-serial", "null", "-qmp", f"unix:{self.control},server=on,wait=off"]
            + ["-netdev", "user,id=n0", "-device", "usb-net,netdev=n0"],
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self.listen, daemon=True).start()
        until("the control of QEMU", 20, self.control.exists)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.control))
        self.qmp = connection.makefile("rw")
        self.qmp.readline()
        self.tell("qmp_capabilities")

    def tell(self, command, **arguments):
        self.qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while "event" in (answer := json.loads(self.qmp.readline())):
            pass
        if "error" in answer:
            raise AssertionError(f"{command}: {answer}")

    def set_clock(self):
        self.door.settimeout(30)
        self.shell, _ = self.door.accept()
        self.shell.sendall(f"date -s @{open_now()}\n".encode())

    def shown(self):
        """Returns the pixels of the screen as r5g6b5."""
        file = self.folder / "screen.ppm"
        self.tell("screendump", filename=str(file))
        return packed(file.read_bytes())

    def listen(self):
        with open(self.folder / "console.log", "w") as console:
            for raw in self.process.stdout:
                line = raw.decode(errors="replace").rstrip()
                print(line, file=console, flush=True)
                self.lines.put(line)

    def await_line(self, start, seconds):
        end = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(end - time.monotonic(), 0.001))
            if line.startswith(start):
                return line


def open_now():
    """The wall clock of the hub and of the displays: exchanges are open."""
    return int(time.time()) + SHIFT


def equal(pi, twin, since, wanted, seconds):
    """Waits until this number of different pictures since a time are the same on both screens."""
    found, nearest = set(), None
    end = time.monotonic() + seconds
    while len(found) < wanted:
        shown = pi.shown()
        at = twin.seen.get(shown)
        if at is not None and at >= since:
            found.add(shown)
        elif not found:
            last = list(twin.seen)[-1]
            differ = sum(shown[p : p + 2] != last[p : p + 2] for p in range(0, len(shown), 2))
            nearest = differ if nearest is None else min(nearest, differ)
        if time.monotonic() > end:
            (pi.folder / "pi.565").write_bytes(shown)
            (pi.folder / "twin.565").write_bytes(list(twin.seen)[-1])
            raise AssertionError(f"{len(found)} equal pictures, the nearest other one: {nearest} pixels")
        time.sleep(0.1)
    return len(found)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("pi: out of time"))
    folder, kernel, tree, initramfs, display, hub_program = sys.argv[1:]
    folder = Path(folder)
    hub = Hub(hub_program, folder / "hub.log")
    try:
        pi = Pi(folder, kernel, tree, initramfs, hub.port)
        print(f"pi: {pi.await_line('PI started', 120)}", flush=True)
        pi.await_line("PI network", 90)
        # The curves of both begin with their first values, so both start in the same minute.
        pi.set_clock()
        twin = Twin(folder, display, hub.port)
        count = equal(pi, twin, time.time(), LIVE, 120)
        print(f"pi: through ticks, {count} different pictures: 0 of {WIDTH * HEIGHT} pixels differ", flush=True)
        hub.end(signal.SIGKILL)
        # An index value is stale after ten seconds.
        time.sleep(12)
        count = equal(pi, twin, time.time() - 1, STALE, 60)
        print(f"pi: stale, {count} different pictures: 0 of {WIDTH * HEIGHT} pixels differ", flush=True)
        (folder / "stale.565").write_bytes(pi.shown())
    finally:
        Program.end_all()


main()
