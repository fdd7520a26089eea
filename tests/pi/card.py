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

    def __init__(self, name, card, folder):
        self.name, self.card, self.folder = name, card, Path(folder)
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
        # QEMU's Pi resets at once when its watchdog is started.
        line.append("systemd.watchdog_sec=0")
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

    def worked(self):
        """The processor time that the emulator has had, in seconds."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def listen(self):
        with open(self.folder / f"{self.name}.log", "w") as console:
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

    def picture(self, what, seconds, is_it):
        """When there was a picture that is this for the first time, and its dots; they are kept."""
        known = set()

        def found():
            for when, dots in self.pictures():
                if dots not in known and is_it(dots):
                    return when, dots
                known.add(dots)
            return None

        when, dots = until(what, seconds, found)
        name = f"{self.name}-{what.replace(' ', '-')}.png"
        (self.folder / name).write_bytes(picture.png(dots))
        return when, dots


class Fonts:
    """What is on a picture, by the glyphs of Debian's fonts-spleen."""

    def __init__(self, folder):
        self.file = f"{folder}/spleen-{{}}.psfu.gz".format
        self.huge = picture.Digits(self.file("16x32"))

    def price(self, dots):
        """The whole part of the price of SPX, if it is there."""
        return self.huge.read(dots, 14)[0]

    def says(self, title, *words):
        """Whether a picture says this in large letters, and these in small ones, wherever they are.
        Words are of letters and digits: signs are narrower on the glass than in the font."""
        def all_of_it(dots):
            large = picture.says(dots, self.file("8x16"), title)
            return large and all(picture.says(dots, self.file("5x8"), word) for word in words)
        return all_of_it


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
    # Without the wandering of the picture, which the decoder takes for a fault.
    good = f'[hub]\nurl = "ws://10.0.2.2:{port}"\n[panel]\nshift = false\n'
    card.put("deskticker.toml", good)
    card.put("token", f"# Pasted below.\n{TOKEN}\n")
    card.put("wifi.txt", "ssid = desk\npsk = a secret of the air\ncountry = DE\n")
    pi = Pi("first", card, folder)
    kernel = pi.when("Run /init as init process", 120)
    worked = pi.worked()
    starting = fonts.says("STARTING", "system")
    first, dots = pi.picture("starting", 60, starting)
    check(dots == pi.pictures()[0][1], "something else was on the glass before")
    # On a busy machine the emulator waits too; that is no time of the Pi's.
    took = min(first - kernel, pi.worked() - worked)
    proven(f"power on to user space {kernel - pi.start:.1f} s")
    proven(f"the first picture {first - kernel:.2f} s after user space began: STARTING")
    check(took <= 2, "more than 2 s from user space to the first picture")
    space = pi.when("systemd[1]: systemd ", 120)
    drawn, dots = pi.picture("display", 240, lambda dots: not starting(dots))
    proven(f"systemd {space - kernel:.2f} s after that, the display's own picture {drawn - space:.2f} s later")
    check(not fonts.price(dots), "a price before there was a network")
    network = pi.when("QEMU USB Network Device", 300)
    check(drawn < network, "the display's picture came only after the network")
    priced, _ = pi.picture("price", 300, fonts.price)
    proven(f"a price {priced - pi.start:.1f} s after power on, with the token from the boot partition")
    rest = pi.when("the-rest.service", 120)
    check(drawn < rest, "the display's picture came only with the rest of the system")

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
    pi = Pi("wrong", card, folder)
    _, dots = pi.picture("configuration", 300, fonts.says("CONFIG", "deskticker", "toml", "1", "expected"))
    print(picture.drawn(dots))
    pi.picture("price", 300, fonts.price)
    proven("a wrong configuration is said on the glass, and the last good one goes on with its prices")
    pi.end()

    # So is what cannot be taken from the boot partition.
    card.put("deskticker.toml", good)
    card.put("wifi.txt", "ssid = desk\npsk = short\n")
    pi = Pi("short", card, folder)
    _, dots = pi.picture("setup", 300, fonts.says("SETUP", "wifi", "txt", "2", "psk", "expected"))
    print(picture.drawn(dots))
    pi.picture("price", 300, fonts.price)
    proven("so is a Wi-Fi password that can be none; the one before is still there, and so are the prices")
    pi.end()
    check(b"a secret of the air" in card.partition(3), "the password before is gone")


try:
    main()
finally:
    Program.end_all()
