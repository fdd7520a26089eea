"""Pictures as rows of 0 and 1: this module decodes PNG files and recognises digits in pictures.

It has its own PNG reader, and takes the glyphs from Debian's fonts-spleen. It uses none of the
program's code or data, so that the test is independent of the program.
"""

import gzip
import struct
import zlib

SCALE = 4  # pixels of the file for each dot of the panel, in both directions


def of_png(data):
    """Returns the dots of a picture from the png panel; any other file is an error."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("not a PNG")
    at, packed, head = 8, b"", None
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        if zlib.crc32(kind + body) != crc:
            raise ValueError(f"the checksum of {kind} is wrong")
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    width, height, depth, colour, *_ = head
    if (depth, colour) != (8, 0):
        raise ValueError(f"depth {depth}, colour {colour}: not 8 bits of grey")
    rows = unfiltered(zlib.decompress(packed), width, height)
    dots = []
    for y in range(0, height, SCALE):
        row = [rows[y][x] for x in range(0, width, SCALE)]
        wide = bytes(grey for grey in row for _ in range(SCALE))
        if any(rows[y + below] != wide for below in range(SCALE)):
            raise ValueError(f"row {y} is not made of dots")
        dots.append(tuple(int(grey > 127) for grey in row))
    return tuple(dots)


def unfiltered(raw, width, height):
    """Returns the rows of an image with one byte a pixel (PNG specification, 9.2)."""
    rows, above = [], bytes(width)
    for y in range(height):
        start = y * (width + 1)
        kind, line = raw[start], bytearray(raw[start + 1 : start + 1 + width])
        for x in range(width):
            left = line[x - 1] if x else 0
            corner = above[x - 1] if x else 0
            if kind == 1:
                add = left
            elif kind == 2:
                add = above[x]
            elif kind == 3:
                add = (left + above[x]) // 2
            elif kind == 4:
                guess = left + above[x] - corner
                add = min((left, above[x], corner), key=lambda p: abs(guess - p))
            else:
                add = 0
            line[x] = (line[x] + add) & 0xFF
        rows.append(bytes(line))
        above = rows[-1]
    return rows


def drawn(dots):
    """Returns the picture as text, two rows of dots a line, as in tests/screens."""
    return "\n".join(
        "".join(" ▀▄█"[top + 2 * low] for top, low in zip(*pair))
        for pair in zip(dots[::2], dots[1::2])
    )


def glyphs(path, characters):
    """Returns the dots of some ASCII characters in a console font (PSF1 or PSF2), each as rows."""
    data = gzip.open(path).read()
    if data[:2] == b"\x36\x04":
        start, size, height, width = 4, data[3], data[3], 8
    elif data[:4] == b"\x72\xb5\x4a\x86":
        start, _, _, size, height, width = struct.unpack("<6I", data[8:32])
    else:
        raise ValueError(f"{path} is no console font")
    across = (width + 7) // 8
    found = {}
    for character in characters:
        glyph = data[start + ord(character) * size :][:size]
        found[character] = [
            tuple(glyph[y * across + x // 8] >> (7 - x % 8) & 1 for x in range(width))
            for y in range(height)
        ]
    return found


def says(dots, font, text):
    """Returns true if the picture contains this text on one line, in the font of this file."""
    known = glyphs(font, set(text))
    rows = [sum(row, ()) for row in zip(*(known[character] for character in text))]
    used = [y for y, row in enumerate(rows) if any(row)]
    rows = rows[used[0] : used[-1] + 1]
    width = len(rows[0])
    return any(
        all(dots[y + below][x : x + width] == row for below, row in enumerate(rows))
        for y in range(len(dots) - len(rows) + 1)
        for x in range(len(dots[0]) - width + 1)
    )


def png(dots):
    """Returns a PNG file with these dots."""
    rows = [bytes([0, *(255 * dot for dot in row for _ in range(SCALE))]) for row in dots]
    packed = zlib.compress(b"".join(row for row in rows for _ in range(SCALE)))
    head = struct.pack(">IIBBBBB", SCALE * len(dots[0]), SCALE * len(dots), 8, 0, 0, 0, 0)

    def chunk(kind, body):
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    parts = chunk(b"IHDR", head), chunk(b"IDAT", packed), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class Digits:
    """Recognises the ten digits of one size of Spleen."""

    def __init__(self, path):
        found = glyphs(path, "0123456789")
        self.width = len(found["0"][0])
        # The layout may cut off the rows that no digit uses.
        height = len(found["0"])
        used = [y for y in range(height) if any(any(rows[y]) for rows in found.values())]
        self.height = used[-1] + 1 - used[0]
        self.glyphs = {
            tuple(rows[used[0] : used[-1] + 1]): digit for digit, rows in found.items()
        }

    def read(self, dots, top, left=0):
        """Returns the digits from the left whose first dots are in row `top`, and the column after
        them."""
        text, x, end = "", left, left
        while x + self.width <= len(dots[0]):
            box = tuple(row[x : x + self.width] for row in dots[top : top + self.height])
            digit = self.glyphs.get(box)
            if digit:
                text, x, end = text + digit, x + self.width, x + self.width
            else:
                x += 1
        return text, end


class Prices:
    """Reads the two prices on a picture of 128×64 dots, as texts."""

    def __init__(self, fonts):
        sizes = ("16x32", "12x24", "8x16")
        self.fonts = [Digits(f"{fonts}/spleen-{size}.psfu.gz") for size in sizes]
        self.known = {}

    def of(self, dots):
        """Returns SPX and VIX; a price that cannot be read (dashes or struck out) is None."""
        if dots not in self.known:
            huge, large, raised = self.fonts
            spx, vix = self.price(dots, huge, raised, 14), self.price(dots, large, raised, 44)
            self.known[dots] = spx, vix
        return self.known[dots]

    @staticmethod
    def price(dots, font, raised, row):
        whole, end = font.read(dots, row)
        fraction, _ = raised.read(dots, row, end)
        return f"{whole}.{fraction}" if whole and len(fraction) == 2 else None
