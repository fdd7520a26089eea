"""The card image on an emulated Raspberry Pi 3B: `card.py IMAGE FOLDER FONTS HUB`, called by
tests/pi/image. What the glass shows and when, what is written to the card, and what is left on it.
"""

import lzma
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import picture
from guest import Shown
from host import TOKEN, Program, until

MIB = 1024 * 1024
# Where boards/image puts the partitions, and how large they are, in MiB.
BOOT = (4, 128)
ADDRESS = 0x3C


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def proven(text):
    print(f"image: {text}", flush=True)


def said(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


class Card:
    """A copy of the image, as large as QEMU wants a card: a power of two."""

    def __init__(self, image, path):
        self.path = Path(path)
        shutil.copyfile(image, self.path)
        size = 1
        while size < self.path.stat().st_size:
            size *= 2
        os.truncate(self.path, size)
        self.boot = f"{self.path}@@{BOOT[0]}M"

    def take(self, name, folder):
        path = Path(folder) / name
        path.write_bytes(said("mtype", "-i", self.boot, f"::{name}"))
        return path

    def put(self, name, text):
        file = self.path.with_suffix(".put")
        file.write_text(text)
        said("mcopy", "-o", "-i", self.boot, file, f"::{name}")
        file.unlink()

    def partition(self, number):
        """The bytes of a partition, by the table of the card."""
        with open(self.path, "rb") as file:
            entry = file.read(512)[446 + 16 * (number - 1) :][:16]
            start, sectors = (int.from_bytes(entry[at : at + 4], "little") for at in (8, 12))
            file.seek(start * 512)
            return file.read(sectors * 512)


class Pi(Program):
    """A Raspberry Pi 3B of QEMU's with this card, an SSD1306 that acknowledges, and a network.

    QEMU has none of the Pi's firmware: what that does with kernel, device tree and overlay is done
    here, with the files of the card."""

    def __init__(self, card, folder):
        self.card, self.folder = card, Path(folder)
        self.bus = self.folder / "i2c.log"
        self.bus.unlink(missing_ok=True)
        kernel, initrd = card.take("vmlinuz", folder), card.take("initrd.img", folder)
        overlay = self.folder / "deskticker.dtbo"
        overlay.write_bytes(said("mtype", "-i", card.boot, "::overlays/deskticker.dtbo"))
        tree = self.folder / "pi.dtb"
        said("fdtoverlay", "-i", card.take("bcm2837-rpi-3-b.dtb", folder), "-o", tree, overlay)
        # The board's mini UART, on the pins of the header, is no serial port to QEMU; and what the
        # kernel says is the clock of this test.
        line = card.take("cmdline.txt", folder).read_text().split()
        line = [word for word in line if word != "quiet" and not word.startswith("console=")]
        self.seen, self.shown = [], Shown(self.bus)
        self.start = time.time()
        super().__init__(
            self.folder / "qemu.log",
            ["qemu-system-aarch64", "-M", "raspi3b", "-kernel", kernel, "-initrd", initrd]
            + ["-dtb", tree, "-append", " ".join(["console=ttyAMA0,115200", *line])]
            + ["-drive", f"if=sd,format=raw,file={card.path}", "-no-reboot", "-display", "none"]
            + ["-serial", "stdio", "-serial", "null"]
            + ["-device", f"ssd0303,bus=i2c-bus.1,address={ADDRESS:#x}"]
            + ["-trace", "i2c_event", "-trace", "i2c_send", "-D", self.bus, "-msg", "timestamp=on"]
            + ["-netdev", "user,id=n0", "-device", "usb-net,netdev=n0"],
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with open(self.folder / "console.log", "w") as console:
            for raw in self.process.stdout:
                now, line = time.time(), raw.decode(errors="replace").rstrip()
                console.write(f"{now - self.start:8.3f} {line}\n")
                console.flush()
                self.seen.append((now, line))

    def when(self, words, seconds):
        """When the console said this."""
        def found():
            return next((now for now, line in list(self.seen) if words in line), None)
        return until(f"{words!r} on the console", seconds, found)

    def written(self):
        """When the card was last written: each write of the card's is one to its file. (QEMU counts
        no bytes for this kind of card.)"""
        return os.stat(self.card.path).st_mtime

    def pictures(self):
        """When each picture came so far, and its dots; without those of a dark panel."""
        self.shown.read()
        return [(when, dots) for when, dots in self.shown.lit() if any(map(any, dots))]

    def first_picture(self, seconds):
        return until("a picture on the glass", seconds, self.pictures)[0]


class Fonts:
    """Whether the price of SPX is on a picture, by the glyphs of Debian's fonts-spleen."""

    def __init__(self, folder):
        self.huge = picture.Digits(f"{folder}/spleen-16x32.psfu.gz")

    def price(self, dots):
        return self.huge.read(dots, 14)[0]

    def any(self, pictures):
        return any(self.price(dots) for _, dots in pictures)


def main():
    packed, folder, fonts, hub = sys.argv[1:]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "image.img"
    opened = lzma.open if packed.endswith(".xz") else open
    with opened(packed, "rb") as source, open(image, "wb") as target:
        shutil.copyfileobj(source, target, MIB)
    fonts = Fonts(fonts)

    hub = Program(
        folder / "hub.log",
        [hub, "--simulate", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "MASSIVE_PROXY_TOKEN": TOKEN},
    )
    port = int(hub.process.stdout.readline().decode().split("127.0.0.1:")[1].split()[0])

    card = Card(image, folder / "card.img")
    card.put("deskticker.toml", f'[hub]\nurl = "ws://10.0.2.2:{port}"\n')
    card.put("token", f"# Pasted below.\n{TOKEN}\n")
    card.put("wifi.txt", "ssid = desk\npsk = a secret of the air\ncountry = DE\n")
    pi = Pi(card, folder)
    kernel = pi.when("Run /init as init process", 120)
    space = pi.when("systemd[1]: systemd ", 120)
    first, dots = pi.first_picture(240)
    proven(f"power on to the first program {kernel - pi.start:.1f} s, to systemd {space - pi.start:.1f} s")
    proven(f"the first picture {first - space:.2f} s after systemd began, {first - kernel:.2f} s after /init")
    check(not fonts.price(dots), "a price before there was a network")
    network = pi.when("QEMU USB Network Device", 300)
    check(first < network, "the first picture came only after the network")
    until("a price on the glass", 300, lambda: fonts.any(pi.pictures()))
    proven(f"a price {time.time() - pi.start:.1f} s after power on, with the token from the boot partition")
    rest = pi.when("the-rest.service", 120)
    check(first < rest, "the first picture came only with the rest of the system")

    # Whatever comes late at a start has come when nothing is written for as long again.
    check(pi.written() > pi.start, "the token was not written to the card")
    until("an end of writing to the card after the start", 180, lambda: time.time() - pi.written() > 20)
    before, pictures, begun = pi.written(), len(pi.pictures()), time.time()
    until("a minute", 70, lambda: time.time() - begun >= 60)
    shown = len(pi.pictures()) - pictures
    check(shown >= 30, f"only {shown} pictures in a minute")
    check(pi.written() == before, "the card was written in a minute of steady state")
    proven(f"last written {before - pi.start:.1f} s after power on; not once in a minute with {shown} pictures")
    pi.end()

    boot, root, kept = (card.partition(number) for number in (1, 2, 3))
    for secret in (TOKEN, "a secret of the air"):
        check(secret.encode() not in boot, "a secret is still on the boot partition")
        check(secret.encode() not in root, "a secret is on the root")
        check(secret.encode() in kept, "a secret was not kept")
    with open(image, "rb") as source:
        source.seek((BOOT[0] + BOOT[1]) * MIB)
        check(source.read(len(root)) == root, "the root is not as it was flashed")
    proven("token and password have left the boot partition; the root is as it was flashed")

    # What was kept serves the next start; a bad configuration is said on the glass.
    card.put("deskticker.toml", "watchlist = 5\n")
    pi = Pi(card, folder)
    pi.when("systemd[1]: systemd ", 120)
    first, dots = pi.first_picture(240)
    proven(f"with a wrong configuration there is a picture, {first - pi.start:.1f} s after power on")
    until("a price by the last good configuration", 300, lambda: fonts.any(pi.pictures()))
    proven("and then the prices of the last good one, with the token that was kept")
    pi.end()


try:
    main()
finally:
    Program.end_all()
