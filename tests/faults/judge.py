"""Compares the pictures of the displays with the true values. The judge gets the creation time of
each value from the vendor, and does not know how the programs judge."""

import asyncio
import re
import time
from dataclasses import dataclass, field

import glass
from vendor import SPX, VIX

# The freshness limits: the age in seconds up to which a value may be plain.
LIMITS = {SPX: 10.0, VIX: 45.0}
# The longest time in seconds from the creation of a picture to its read.
ERROR = 0.050
# The error in seconds of a shown age: it has whole seconds and may wait for one second.
ROUNDED = 1.0
AGE = re.compile(r"(\d+)([smhd])")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass
class Row:
    """A line of the result table; times are in seconds, and `None` means no result."""

    fault: str
    beyond: float = 0.0
    # The time in seconds for which this machine did not run the processes; the programs are not
    # responsible for it.
    stall: float = 0.0
    # `age` is the greatest error of a shown age; `turned` is the time to the word on pages that
    # take turns.
    age: float = 0.0
    turned: float | None = None
    word: str = ""
    told: float | None = None
    told_by: float | None = None
    recovered: float | None = None
    recovered_by: float | None = None
    notes: list = field(default_factory=list)
    broken: list = field(default_factory=list)

    def judge(self):
        """Adds a text for each bound that the row exceeds."""
        if self.beyond > ERROR + self.stall:
            self.broken.append(f"plain for {self.beyond * 1000:.0f} ms beyond the limit")
        if self.age > ROUNDED + self.stall:
            self.broken.append(f"an age was wrong by {self.age:.1f} s")
        if self.told_by is not None and (self.told is None or self.told > self.told_by):
            self.broken.append(f"{self.word} not told in time")
        if self.recovered_by is not None and (self.recovered is None or self.recovered > self.recovered_by):
            self.broken.append("not recovered in time")
        return self


class Judge:
    """Stores the pictures of each display with their times, and judges them."""

    def __init__(self, vendor=None):
        self.vendor, self.shown = vendor, {}
        # The number of struck-out prices that could not be read, and the list of pictures to read
        # later.
        self.unread, self.later = 0, None

    def seen(self, name, moment, picture):
        """Handles a picture that a program has written to its terminal."""
        if self.later is not None:
            self.later.append((name, moment, picture))
            return
        rows = glass.dots(picture)
        if rows is not None:
            self.show(name, moment, glass.look(rows))

    def catch_up(self):
        """Reads the stored pictures, after a test that had no time to read them."""
        kept, self.later = self.later, None
        for each in kept:
            self.seen(*each)

    def show(self, name, moment, picture):
        past = self.shown.setdefault(name, [])
        if not past or past[-1][1] != picture:
            past.append((moment, picture))

    def spans(self, name, since, until, apart=()):
        """Yields (from, to, picture) for each picture of a display, without the periods in `apart`.
        """
        past = self.shown.get(name, [])
        for at, (begin, picture) in enumerate(past):
            end = past[at + 1][0] if at + 1 < len(past) else until
            for begin, end in without(max(begin, since), min(end, until), apart):
                yield begin, end, picture

    def made(self, ticker, price):
        """Returns the creation time of a value, or a time long ago if the vendor never made this
        value."""
        return self.vendor.made[ticker].get(price.cents, -1e9)

    def beyond(self, name, since, until, apart=()):
        """Returns the longest continuous time in seconds for which a price was plain beyond its
        limit, and the set of other errors."""
        worst, wrong = 0.0, set()
        for ticker in LIMITS:
            length, last = 0.0, None
            for begin, end, picture in self.spans(name, since, until, apart):
                price = picture.spx if ticker == SPX else picture.vix
                wrong |= {f"{mark} on {ticker}" for mark in price.marks & {"CLOSED", "DEMO"}}
                if price.kind == "odd":
                    wrong.add(f"unreadable {ticker}")
                if price.cents and price.cents not in self.vendor.made[ticker]:
                    wrong.add(f"{ticker} {price.cents / 100:.2f} never was")
                if price.kind == "struck" and not price.cents:
                    self.unread += 1
                if price.kind != "plain":
                    continue
                from_then = max(begin, self.made(ticker, price) + LIMITS[ticker])
                if end > from_then:
                    length = (length if last == from_then else 0.0) + end - from_then
                    last = end
                    worst = max(worst, length)
        return worst, wrong

    def misjudged(self, name, since, until, apart=()):
        """Returns the greatest error in seconds of the age beside a struck-out price."""
        worst = 0.0
        for begin, end, picture in self.spans(name, since, until, apart):
            for ticker, price in ((SPX, picture.spx), (VIX, picture.vix)):
                shown = AGE.fullmatch(price.age)
                if price.kind != "struck" or not price.cents or not shown:
                    continue
                unit, made = UNITS[shown[2]], self.made(ticker, price)
                shown = int(shown[1]) * unit
                worst = max(worst, shown - (begin - made), end - made - (shown + unit))
        return worst

    def dull(self, name, since, until):
        """Returns the longest continuous time in seconds for which SPX was not plain."""
        worst, start = 0.0, None
        for begin, end, picture in self.spans(name, since, until):
            if picture.spx.kind == "plain":
                start = None
                continue
            start = begin if start is None else start
            worst = max(worst, end - start)
        return worst

    def told(self, words, since, name="link"):
        """Returns the seconds from `since` to the first of these words, and the word."""
        for begin, end, picture in self.spans(name, since, time.monotonic()):
            if found := {picture.word, *picture.spx.marks} & set(words):
                return begin - since, found.pop()
        return None, ""

    def words(self, since, until):
        """Returns the words of the connection's page in their order."""
        found = []
        for _, _, picture in self.spans("link", since, until):
            if picture.word and found[-1:] != [picture.word]:
                found.append(picture.word)
        return found

    def fresh(self, name, since):
        """Returns the seconds from `since` to the first plain SPX that the vendor made after
        `since`, or at most one second before it."""
        for begin, _, picture in self.spans(name, since, time.monotonic()):
            if picture.spx.kind == "plain" and self.made(SPX, picture.spx) >= since - 1.0:
                return begin - since
        return None


class Pulse:
    """Measures the times for which this process could not run although it was ready."""

    BEAT = 0.01

    def __init__(self):
        # Each entry is (time, delay in seconds), for each delay longer than one beat.
        self.missed = []

    async def run(self):
        while True:
            due = time.monotonic() + self.BEAT
            await asyncio.sleep(self.BEAT)
            late = time.monotonic() - due
            if late > self.BEAT:
                self.missed.append((due + late, late))

    def worst(self, since):
        return max((late for at, late in self.missed if at > since), default=0.0)


def without(begin, end, apart):
    """Yields the parts of a period that are outside all the periods in `apart`."""
    for start, stop in apart:
        if start < end and stop > begin:
            if begin < start:
                yield from without(begin, start, apart)
            begin = max(begin, stop)
    if begin < end:
        yield begin, end


def share(times, part):
    """Returns the quantile of the times for this share, such as 0.95."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None
