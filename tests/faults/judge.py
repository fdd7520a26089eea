"""What was on the glass, against what was true. It knows from the vendor when each value was made,
and nothing of how the programs judge."""

import asyncio
import re
import time
from dataclasses import dataclass, field

import glass
from vendor import SPX, VIX

# Seconds that a value may be old and plain.
LIMITS = {SPX: 10.0, VIX: 45.0}
# A picture is read this much after it was made, at most.
ERROR = 0.050
# An age is drawn in whole seconds, and may wait for a second.
ROUNDED = 1.0
AGE = re.compile(r"(\d+)([smhd])")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass
class Row:
    """A line of the table; times in seconds, `None` where there is nothing to be told."""

    fault: str
    beyond: float = 0.0
    # For how long this machine let nobody run meanwhile, which is no fault of the programs.
    stall: float = 0.0
    # By how much an age was wrong; the word on pages that take turns.
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
        """Says what is not as it should be."""
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
    """Keeps what each display has shown, and since when."""

    def __init__(self, vendor=None):
        self.vendor, self.shown = vendor, {}
        # Struck prices that could not be read; and pictures that are to be read later.
        self.unread, self.later = 0, None

    def seen(self, name, moment, picture):
        """A picture that a terminal was sent."""
        if self.later is not None:
            self.later.append((name, moment, picture))
            return
        rows = glass.dots(picture)
        if rows is not None:
            self.show(name, moment, glass.look(rows))

    def catch_up(self):
        """Reads what was kept, where there was no time for it."""
        kept, self.later = self.later, None
        for each in kept:
            self.seen(*each)

    def show(self, name, moment, picture):
        past = self.shown.setdefault(name, [])
        if not past or past[-1][1] != picture:
            past.append((moment, picture))

    def spans(self, name, since, until, apart=()):
        """(from, to, picture) of what stood on a display, without the time that is told apart."""
        past = self.shown.get(name, [])
        for at, (begin, picture) in enumerate(past):
            end = past[at + 1][0] if at + 1 < len(past) else until
            for begin, end in without(max(begin, since), min(end, until), apart):
                yield begin, end, picture

    def made(self, ticker, price):
        """When a value was made; long before everything if it never was."""
        return self.vendor.made[ticker].get(price.cents, -1e9)

    def beyond(self, name, since, until, apart=()):
        """The longest time without a break that a price stood plain beyond its limit, in seconds;
        and what else was untrue."""
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
        """By how many seconds a struck price at most wore another age than its own."""
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
        """The longest time without a break that SPX was not plain, in seconds."""
        worst, start = 0.0, None
        for begin, end, picture in self.spans(name, since, until):
            if picture.spx.kind == "plain":
                start = None
                continue
            start = begin if start is None else start
            worst = max(worst, end - start)
        return worst

    def told(self, words, since, name="link"):
        """When one of these words was first there after `since`, and which."""
        for begin, end, picture in self.spans(name, since, time.monotonic()):
            if found := {picture.word, *picture.spx.marks} & set(words):
                return begin - since, found.pop()
        return None, ""

    def words(self, since, until):
        """The words of the connection's page, in their order."""
        found = []
        for _, _, picture in self.spans("link", since, until):
            if picture.word and found[-1:] != [picture.word]:
                found.append(picture.word)
        return found

    def fresh(self, name, since):
        """When a plain SPX was there after `since` that was made no more than a second before."""
        for begin, _, picture in self.spans(name, since, time.monotonic()):
            if picture.spx.kind == "plain" and self.made(SPX, picture.spx) >= since - 1.0:
                return begin - since
        return None


class Pulse:
    """Finds out for how long at a time this process did not run although it wanted to."""

    BEAT = 0.01

    def __init__(self):
        # (when, by how much too late), of what is worth a word.
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
    """The parts of a time that are in none of the others."""
    for start, stop in apart:
        if start < end and stop > begin:
            if begin < start:
                yield from without(begin, start, apart)
            begin = max(begin, stop)
    if begin < end:
        yield begin, end


def share(times, part):
    """The time within which this part of them lies."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None
