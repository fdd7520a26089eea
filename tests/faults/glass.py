"""Reads the display with a reader of its own: from the dots of a picture to digits and marks.

The letters come from the published font Spleen. Each line of the file has a font, a letter, and its
rows in hexadecimal.
"""

import re
import zlib
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

WIDTH, HEIGHT = 128, 64
# A row of characters: each one has two dots, the upper one in the first colour and the lower one in the
# second colour. A colour stays for the characters behind it.
ROW = re.compile("\x1b\\[\\d+;\\d+H((?:\x1b\\[38;5;\\d+;48;5;\\d+m▀+)+)\x1b\\[0m")
RUN = re.compile("\x1b\\[38;5;(\\d+);48;5;(\\d+)m(▀+)")
LIT = "255"
BADGES = ["STALE", "CLOSED", "DELAYED", "DEMO", "EXT", "EXPIRED", "CLOCK", "PRE", "POST"]


def fonts():
    """Returns the letters of each font, as rows of "0" and "1"."""
    found = {}
    for line in Path(__file__).with_name("glyphs.txt").read_text().splitlines():
        font, letter, digits = line.split(" ")
        width, height = map(int, font.split("x"))
        size = len(digits) // height
        rows = [int(digits[at : at + size], 16) for at in range(0, len(digits), size)]
        found.setdefault(font, {})[letter] = [f"{row:0{width}b}" for row in rows]
    return found


FONTS = fonts()


def cropped(rows):
    """Returns the rows without the dark columns on both sides, or `None` if all are dark."""
    used = [x for x in range(len(rows[0])) if any(row[x] == "1" for row in rows)]
    return tuple(row[used[0] : used[-1] + 1] for row in rows) if used else None


def placed(font, height, offsets):
    """Returns a table from the dots of a letter in a strip of this height to the letter."""
    table = {}
    for letter, rows in FONTS[font].items():
        for offset in offsets:
            blank = ["0" * len(rows[0])]
            moved = blank * max(0, offset) + rows[max(0, -offset) :]
            strip = (moved + blank * height)[:height]
            dots = sum(row.count("1") for row in rows)
            if sum(row.count("1") for row in strip) == dots:
                table[cropped(strip)] = letter
    return table


SMALL = placed("5x8", 8, [0])
HUGE = placed("16x32", 32, [0])
RAISED_HUGE = placed("8x16", 24, range(-4, 9))
LARGE = placed("12x24", 24, [0])
RAISED_LARGE = placed("8x16", 16, range(-4, 5))
WORD = placed("8x16", 16, range(-4, 5))


def segments(rows, begin, end):
    """Yields each range of columns between dark columns: (first column, column after the last)."""
    start = None
    for x in range(begin, end + 1):
        lit = x < end and any(row[x] == "1" for row in rows)
        if lit and start is None:
            start = x
        if not lit and start is not None:
            yield start, x
            start = None


def read(rows, tables, begin=0, end=WIDTH):
    """Returns the text in a strip and the column after it; the text is `None` if a shape is not a
    letter."""
    text, after = "", begin
    for start, after in segments(rows, begin, end):
        shape = tuple(row[start:after] for row in rows)
        letter = next((table[shape] for table in tables if shape in table), None)
        if letter is None:
            return None, after
        text += letter
    return text, after


def badge(word):
    """Returns the rows of a badge: dark letters on a lit background, with a lit column at the left.
    """
    rows = ["".join(FONTS["5x8"][c][y] for c in word) for y in range(8)]
    light = str.maketrans("01", "10")
    return ["1" + row.translate(light) for row in rows]


SHAPES = {word: badge(word) for word in BADGES}


def has(rows, shape):
    """Returns true if a strip contains a shape of the same height."""
    at = rows[3].find(shape[3])
    while at >= 0:
        if all(row[at : at + len(shape[0])] == part for row, part in zip(rows, shape)):
            return True
        at = rows[3].find(shape[3], at + 1)
    return False


@dataclass(frozen=True)
class Price:
    """A price on the display: its kind (plain, faint, struck, dashes, or none), its value in cents if it
    has one, its badges, and the shown age."""

    kind: str
    cents: int = 0
    marks: frozenset = field(default_factory=frozenset)
    age: str = ""

    def __str__(self):
        value = f" {self.cents / 100:.2f}" if self.cents else ""
        return " ".join([self.kind + value, self.age, *sorted(self.marks)])


NOTHING = Price("none")


@dataclass(frozen=True)
class Picture:
    """The content of a picture: two prices, or the word of the connection's page."""

    spx: Price = NOTHING
    vix: Price = NOTHING
    word: str = ""


def dots(text):
    """Returns the rows of a picture from the terminal output, or `None` if the output has no whole
    picture."""
    rows = []
    for match in ROW.finditer(text):
        runs = RUN.findall(match[1])
        rows += ["".join("01"[colours[half] == LIT] * len(colours[2]) for colours in runs) for half in (0, 1)]
    whole = len(rows) == HEIGHT and all(len(row) == WIDTH for row in rows)
    return rows if whole else None


@dataclass(frozen=True)
class Place:
    """The place of a price: the fonts of its two parts, the left edge of each digit of a plain
    price, and the left and the top edge of the age of a struck one."""

    whole: str
    fraction: str
    top: int
    raised: int
    columns: tuple
    cents: tuple
    age: tuple


# These positions were measured on plain prices with four and with two digits.
FIRST = Place("16x32", "8x16", 8, 12, (0, 21, 37, 53), (72, 80), (90, 8))
SECOND = Place("12x24", "8x16", 40, 42, (19, 31), (46, 54), (64, 48))


def faded(rows, left, top, begin, level):
    """Returns the dots of a letter that remain when it is struck out. Large letters lose every
    other dot; small letters lose vertical strokes in every other column."""
    kept = set()
    for y, row in enumerate(rows):
        for x, dot in enumerate(row):
            even = (left + x - begin) % 2 == 0
            if dot == "0":
                continue
            if level:
                # The program draws eight rows together as one page, and sees only neighbours in the
                # same page.
                near = [y + step for step in (-1, 1) if (top + y) // 8 == (top + y + step) // 8]
                stroke = any(0 <= other < len(rows) and rows[other][x] == "1" for other in near)
                lost = even and stroke
            else:
                lost = even == ((top + y) % 2 == 0)
            if not lost:
                kept.add((left + x, top + y))
    return kept


def struck(rows, place):
    """Returns the cents of a struck-out price, or 0 if the reader cannot read it."""
    height = len(FONTS[place.whole]["0"])
    # The decimal point takes only three columns.
    end = place.cents[0] - 3

    def line(x, y):
        """Returns true if the strike line may be at this dot: the line rises from corner to corner
        of the whole digits."""
        share = (x - place.columns[0]) / (end - place.columns[0])
        return abs(place.top + height * (0.8 - 0.64 * share) - y) < 3

    text = ""
    for font, columns, top, level in (
        (place.whole, place.columns, place.top, False),
        (place.fraction, place.cents, place.raised, True),
    ):
        for left in columns:
            fitting = []
            width = len(FONTS[font]["0"][0])
            lit = {
                (x, y)
                for y in range(top, top + len(FONTS[font]["0"]))
                for x in range(left, left + width)
                if rows[y][x] == "1"
            }
            for digit in "0123456789":
                dots = faded(FONTS[font][digit], left, top, end if level else place.columns[0], level)
                more = lit - dots
                if dots <= lit and all(not level and line(x, y) for x, y in more):
                    fitting.append(digit)
            if len(fitting) != 1:
                return 0
            text += fitting[0]
    return int(text)


def age(rows, left, top):
    """Returns the age in dark letters on a lit background, such as `12s`. The first column is lit.
    """
    text, x = "", left + 1
    while x + 8 <= WIDTH and rows[top + 15][x] == rows[top + 15][x + 7] == "1":
        cell = ["".join("10"[int(dot)] for dot in rows[y][x : x + 8]) for y in range(top + 1, top + 16)]
        text, x = text + WORD.get(cropped(["0" * 8, *cell]), "?"), x + 8
    return text


def price(rows, text, marks, place):
    if text is None and "CLOSED" in marks:
        return Price("faint", marks=marks)
    if text is None:
        return Price("struck", struck(rows, place), marks, age(rows, *place.age))
    if text and not text.strip("-"):
        return Price("dashes", marks=marks)
    plain = re.fullmatch(r"\d{1,3}(,\d{3})*\.\d\d", text)
    # Letters that form no price must not count as a struck-out price.
    return Price("plain", int(re.sub("[,.]", "", text)), marks) if plain else Price("odd", marks=marks)


def look(rows):
    """Reads a picture with two prices, or the connection's page."""
    marks = lambda *strips: frozenset(
        word for word, shape in SHAPES.items() for strip in strips if has(strip, shape)
    )
    label, _ = read(rows[0:8], [SMALL], 0, 14)
    if label != "SPX":
        return Picture(word=word(rows))
    # The change is below the decimals, and the curve is behind them.
    first = number(rows[8:40], HUGE, rows[8:32], RAISED_HUGE, 0)
    # The name comes first, then the number.
    second = number(rows[40:64], LARGE, rows[40:56], RAISED_LARGE, 17)
    return Picture(
        spx=price(rows, first, marks(rows[0:8], rows[32:40]), FIRST),
        vix=price(rows, second, marks(rows[48:56], rows[56:64]), SECOND),
    )


def number(strip, table, raised, decimals, begin):
    """Returns the text of a plain number or of dashes: large letters, and smaller ones directly
    behind them. Returns `None` for a number that is not plain."""
    whole, after = "", begin
    for start, end in segments(strip, begin, WIDTH):
        shape = tuple(row[start:end] for row in strip)
        if shape not in table:
            break
        whole, after = whole + table[shape], end
    if whole and not whole.strip("-"):
        return whole
    text = ""
    for start, end in segments(raised, after, WIDTH):
        shape = tuple(row[start:end] for row in raised)
        if start - after > 6 or shape not in decimals:
            break
        text, after = text + decimals[shape], end
    # The decimals of a number that is not plain are not plain either.
    return whole + text if whole and text else None


def word(rows):
    """Returns the word of the connection's page. Its letters have eight columns and may touch each
    other."""
    text = ""
    for x in range(0, WIDTH, 8):
        cell = cropped([row[x : x + 8] for row in rows[8:24]])
        if cell is None:
            break
        text += WORD.get(cell, "?")
    return text


def png(data):
    """Returns the rows of a picture file: 8 bits of grey, four pixels for each dot in both
    directions."""
    at, packed = 8, b""
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    lines, size = zlib.decompress(packed), WIDTH * 4 + 1
    kinds, rows, line = lines[::size], [], bytes(size - 1)
    for number, kind in enumerate(kinds):
        last = number % 4 != 0
        # One of four equal lines is enough, unless the filter of the next line needs this one.
        if last and kinds[number + 1 : number + 2] <= b"\x01":
            continue
        above, line = line, bytearray(lines[number * size + 1 : (number + 1) * size])
        if kind == 1:
            line = bytes(value & 0xFF for value in accumulate(line))
        elif kind == 2 and not any(line):
            line = above
        elif kind:
            for x, value in enumerate(line):
                left, corner = (line[x - 1], above[x - 1]) if x else (0, 0)
                line[x] = value + predicted(kind, left, above[x], corner) & 0xFF
        if not last:
            rows.append("".join("1" if dot else "0" for dot in line[::4]))
    return rows


def predicted(kind, left, up, corner):
    """Returns the value that a PNG filter predicts (PNG specification, 9.2)."""
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda each: abs(guess - each))
    return up if kind == 2 else (left + up) // 2
