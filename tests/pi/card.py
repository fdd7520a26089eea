"""Tests the card image on an emulated Raspberry Pi 3B: `card.py IMAGE FOLDER FONTS HUB`, called by
tests/pi/image. The test checks the pictures on the panel and their times, the writes to the card,
and the files that remain on it."""

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
# The start and the size of the boot partition in MiB, as boards/image makes it.
BOOT = (4, 128)
ADDRESS = 0x3C
# The greatest work of the emulator from user space to the first picture, as a share of its work for the
# start of the kernel.
FIRST_PICTURE = 0.4


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def proven(text):
    print(f"image: {text}", flush=True)


def said(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


class Card:
    """A copy of the image with the size that QEMU needs for a card: a power of two."""

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
        """Returns the bytes of a partition, by the partition table of the card."""
        with open(self.path, "rb") as file:
            entry = file.read(512)[446 + 16 * (number - 1) :][:16]
            start, sectors = (int.from_bytes(entry[at : at + 4], "little") for at in (8, 12))
            file.seek(start * 512)
            return file.read(sectors * 512)


class Pi(Program):
    """An emulated Raspberry Pi 3B with this card, an SSD1306 that acknowledges each byte, and a
    network.

    QEMU does not run the Pi's firmware. This class does the firmware's work with the kernel, the
    device tree and the overlays from the card.
    """

    def __init__(self, name, card, folder):
        self.name, self.card, self.folder = name, card, Path(folder)
        self.bus = self.folder / "i2c.log"
        self.bus.unlink(missing_ok=True)
        kernel, initrd = card.take("vmlinuz", folder), card.take("initrd.img", folder)
        overlays = [self.folder / "deskticker.dtbo", self.folder / "deskticker-spi.dtbo"]
        for overlay in overlays:
            overlay.write_bytes(said("mtype", "-i", card.boot, f"::overlays/{overlay.name}"))
        tree = self.folder / "pi.dtb"
        said("fdtoverlay", "-i", card.take("bcm2837-rpi-3-b.dtb", folder), "-o", tree, *overlays)
        # QEMU has no serial port for the board's mini UART on the header pins. The kernel must
        # print its messages because this test uses them as a clock.
        line = card.take("cmdline.txt", folder).read_text().split()
        line = [word for word in line if word != "quiet" and not word.startswith("console=")]
        # The emulated Pi resets at once when its watchdog is started.
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
        """Returns the processor time of the emulator in seconds."""
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
        """Waits for this text on the console and returns its time."""
        def found():
            return next((now for now, line in list(self.seen) if words in line), None)
        return until(f"{words!r} on the console", seconds, found)

    def written(self):
        """Returns the time of the last write to the card: QEMU writes each one to the file. (QEMU
        counts no bytes for this kind of card.)"""
        return os.stat(self.card.path).st_mtime

    def pictures(self):
        """Returns the time and the dots of each picture so far, without those of a dark panel."""
        self.shown.read()
        return [(when, dots) for when, dots in self.shown.lit() if any(map(any, dots))]

    def picture(self, what, seconds, is_it):
        """Waits for the first picture for which `is_it` is true, saves it as a file, and returns
        its time and its dots."""
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
    """Reads the text on a picture, with the glyphs of Debian's fonts-spleen."""

    def __init__(self, folder):
        self.file = f"{folder}/spleen-{{}}.psfu.gz".format
        self.huge = picture.Digits(self.file("16x32"))

    def price(self, dots):
        """Returns the whole part of the SPX price, if the picture shows it."""
        return self.huge.read(dots, 14)[0]

    def says(self, title, *words):
        """Returns a function that is true for a picture with this title in large letters and these
        words in small ones, anywhere. Words may have only letters and digits: signs are narrower on
        the display than in the font."""
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
    # The picture must not shift against burn-in, because the decoder takes a shift for an error.
    good = f'[hub]\nurl = "ws://10.0.2.2:{port}"\n[panel]\nshift = false\n'
    card.put("deskticker.toml", good)
    card.put("token", f"# Pasted below.\n{TOKEN}\n")
    card.put("wifi.txt", "ssid = desk\npsk = a secret of the air\ncountry = DE\n")
    pi = Pi("first", card, folder)
    kernel = pi.when("Run /init as init process", 120)
    booted = pi.worked()
    starting = fonts.says("STARTING", "system")
    first, dots = pi.picture("starting", 60, starting)
    check(dots == pi.pictures()[0][1], "something else was on the glass before")
    # The emulator of a slow host is slow for the kernel and for the display alike, so the start of the
    # kernel in the same run is the reference. The processor time excludes the waits of a busy host.
    share = (pi.worked() - booted) / booted
    proven(f"power on to user space {kernel - pi.start:.1f} s")
    proven(f"the first picture {first - kernel:.2f} s after user space began: STARTING; its work is "
           f"{share:.2f} of that for the start of the kernel")
    check(share <= FIRST_PICTURE, f"the first picture needs {share:.2f} of the kernel's start")
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

    # The start is over when nothing has been written to the card for 20 s.
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

    # The stored settings serve the next start, and the display reports a bad configuration.
    card.put("deskticker.toml", "watchlist = 5\n")
    pi = Pi("wrong", card, folder)
    _, dots = pi.picture("configuration", 300, fonts.says("CONFIG", "deskticker", "toml", "1", "expected"))
    print(picture.drawn(dots))
    pi.picture("price", 300, fonts.price)
    proven("a wrong configuration is said on the glass, and the last good one goes on with its prices")
    pi.end()

    # The display also reports a file on the boot partition that cannot be imported.
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
