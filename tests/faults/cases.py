"""The faults and their bounds. The faults of a group run one after the other; groups run at the
same time."""

import asyncio
import time

from judge import Pulse, Row
from proxy import HUGE, Fault, after, as_binary, below, http, instead
from vendor import SPX, VIX, frame

WORD = 25.0
# The bounds of the recovery time in seconds: 95 of 100 and 99 of 100 after an outage of less than a
# minute, and all after a longer one.
SOON, LATE, LONG = 2.0, 5.0, 10.0
HOLD = 30.0
# The least time in seconds between two connection attempts to a server that has refused one.
COOL_DOWN = 60.0
PATIENCE = 30.0
# A connection that has lived this long in seconds has succeeded: its loss starts a new outage.
PROVEN = 11.0

PAGE = b"<html><body>Please log in</body></html>"
JUNK = [
    frame(1, b'[{"ev":"V","val":NaN,"T":"I:SPX","t":1678220098130}]'),
    frame(1, b'[{"ev":"V","val":39'),
    frame(1, b"<html><body>502 Bad Gateway</body></html>"),
    frame(1, b"[[[[[[[[[[[[[[[[[[[["),
    frame(1, b'[{"ev":"ZZ"},null,17,"text",[]] trailing'),
]
BINARY = [frame(2, bytes(range(256)))]


BROKEN = [
    Fault(open="reset", new="refuse"),
    Fault(open="finish", new="close"),
    Fault(open="reset", new="reset"),
    Fault(open="finish", new=http(503)),
]


class Trial:
    """One group of faults: its programs, its judge, and the rows of its results."""

    def __init__(self, stand, judge):
        self.stand, self.judge = stand, judge
        self.rows, self.outages, self.pulse = [], [], Pulse()

    async def row(self, row, since, apart=(), name="prices", ages=True):
        """Judges the pictures since the fault, and stores the row."""
        names = [name, "desk"] if name == "prices" else [name]
        for name in names:
            spans = name, since, time.monotonic(), apart if name == names[0] else ()
            beyond, wrong = self.judge.beyond(*spans)
            row.beyond = max(row.beyond, beyond)
            row.age = max(row.age, self.judge.misjudged(*spans) if ages else 0.0)
            row.broken += sorted(wrong)
        row.stall = self.pulse.worst(since)
        row.judge()
        if row.told_by is not None:
            row.turned, _ = self.judge.told(row.word.split("/"), since, "desk")
        words = self.judge.words(since, time.monotonic())
        row.notes.append("words: " + " ".join(words[:9] + ["…"] * (len(words) > 9)))
        self.rows.append(row)
        print(f"{self.stand.name}: {row}", flush=True)

    async def recovery(self, since, patience=PATIENCE, name="prices"):
        """Waits for the first fresh value after `since`."""
        while time.monotonic() < since + patience:
            took = self.judge.fresh(name, since)
            if took is not None:
                return took
            await asyncio.sleep(0.05)
        return None

    async def settle(self, patience=20, calm=1.0):
        """Waits until the display has been live for a while, so that the next fault begins from a
        good state."""
        for _ in range(patience * 10):
            shown = self.judge.shown.get("link", [])
            if shown and shown[-1][1].word == "LIVE":
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(calm)

    async def held(self, name, fault, words, hold=HOLD, pace=0.0, also=None, told_by=WORD):
        """Runs a fault for a time, and waits for the recovery. `pace` is the extra time in seconds
        until the next connection attempt; `also` is a pair of functions that run at the begin and
        the end; `told_by` is the longest time in seconds until one of the words is shown."""
        begin, end = also or (lambda: None, lambda: None)
        await self.settle(calm=PROVEN)
        begun = time.monotonic()
        begin()
        await self.stand.near.set(fault)
        await asyncio.sleep(hold)
        back = time.monotonic()
        end()
        await self.stand.near.heal()
        row = Row(name, word="/".join(words), told_by=told_by if words else None)
        row.recovered = await self.recovery(back, PATIENCE + pace)
        # The price display shows the struck-out SPX; the connection's page shows all other words.
        row.told, told = self.judge.told(words, begun, "prices" if words == ["STALE"] else "link")
        row.word = told or row.word
        row.recovered_by = (LATE if hold < 60 else LONG) + pace
        if hold < 60 and not pace and row.recovered is not None:
            self.outages.append(row.recovered)
        await self.row(row, begun)

    async def short(self, name, count, faults, lengths):
        """Runs many outages that are too short for a word on the display."""
        begun, times = time.monotonic(), []
        for at in range(count):
            await self.settle(calm=PROVEN)
            await self.stand.near.set(faults[at % len(faults)])
            await asyncio.sleep(lengths[at % len(lengths)])
            back = time.monotonic()
            await self.stand.near.heal()
            took = await self.recovery(back)
            times.append(PATIENCE if took is None else took)
        self.outages += times
        row = Row(name, recovered=max(times), recovered_by=LATE)
        row.notes.append(" ".join(f"{took:.2f}" for took in times))
        await self.row(row, begun)

    async def steady(self, name, seconds, fault=None, dull=2.0):
        """Runs something that must change nothing: SPX stays plain, and the word stays LIVE."""
        await self.settle()
        begun = time.monotonic()
        if fault:
            await self.stand.near.set(fault)
        await asyncio.sleep(seconds)
        row = Row(name, word="LIVE")
        missing = self.judge.dull("prices", begun, time.monotonic())
        if missing > dull:
            row.broken.append(f"SPX was not plain for {missing:.1f} s")
        said = set(self.judge.words(begun, time.monotonic())) - {"LIVE"}
        if said:
            row.broken.append("said " + " ".join(sorted(said)))
        await self.row(row, begun)
        await self.stand.near.heal()

    async def frozen(self, name, tickers, hold, words, where, watched="prices"):
        """Lets the vendor send no new values for these tickers."""
        await self.settle()
        begun = time.monotonic()
        self.stand.vendor.frozen |= set(tickers)
        await asyncio.sleep(hold)
        self.stand.vendor.frozen -= set(tickers)
        back = time.monotonic()
        row = Row(name, word="/".join(words), told_by=WORD, recovered_by=SOON)
        row.recovered = await self.recovery(back, name=watched)
        row.told, told = self.judge.told(words, begun, where)
        row.word = told or row.word
        await self.row(row, begun, name=watched)


    async def unfrozen(self, row, begun, apart=()):
        """Lets the vendor send SPX again."""
        self.stand.vendor.frozen.discard(SPX)
        row.recovered, row.recovered_by = await self.recovery(time.monotonic()), SOON
        await self.row(row, begun, apart)

    def first_write(self, since):
        """Returns the time of the first new picture on the price display after `since`."""
        return next((at for at, _ in self.judge.shown["prices"] if at > since), time.monotonic())


async def lost(trial, long):
    """Connections that end, and servers that do not run."""
    for how in ("reset", "finish"):
        await trial.held(f"{how}, then refused", Fault(open=how, new="refuse"), ["HUB"])
    await trial.held("accepts, then closes", Fault(open="reset", new="close"), ["HUB"])
    await trial.held("accepts, then resets", Fault(open="reset", new="reset"), ["HUB"])
    await trial.held("accepts, then silence", Fault(open="reset", new="silence"), ["HUB"])


async def vanished(trial, long):
    """Packets are lost without an error."""
    await trial.held("half-open: bytes vanish", Fault(open="freeze", new="silence"), ["HUB", "UPSTREAM"], 32)
    await trial.held("the same for 75 s", Fault(open="freeze", new="silence"), ["HUB", "UPSTREAM"], 75)
    await trial.held("refused for 75 s", Fault(open="reset", new="refuse"), ["HUB"], 75)


async def often(trial, long):
    """Many short outages."""
    await trial.short("outages of 0.5 to 11 s", 15, BROKEN, [0.5, 3, 7, 1.5, 11, 5, 2])
    if long:
        await trial.short("outages of 0.5 to 55 s", 60, BROKEN, [0.5, 7, 3, 20, 11, 31, 5, 44, 2, 55])


async def again(trial, long):
    """Many more short outages."""
    await trial.short("outages of 2 to 14 s", 14, BROKEN, [2.2, 8.3, 4.6, 12.9, 6.1, 14])


async def answers(trial, long):
    """HTTP responses from a server that is not a hub, or from a hub that refuses the client."""
    for status in (500, 502, 503):
        await trial.held(f"answers {status}", Fault(open="reset", new=http(status)), ["HUB"])
    await trial.held("answers 404", Fault(open="reset", new=http(404)), ["HUB"])
    again = http(429, "Retry-After: 20\r\n")
    busy = below(b"/ws/", again)
    await trial.held("429 to the upgrade, again in 20 s", Fault(open="reset", new=busy), ["HUB"], pace=20)


async def strangers(trial, long):
    """Responses from other servers."""
    moved = http(302, "Location: http://127.0.0.1:9/\r\n")
    await trial.held("answers 302", Fault(open="reset", new=moved), ["PORTAL"])
    page = http(200, "Content-Type: text/html\r\n", PAGE)
    await trial.held("answers with a page", Fault(open="reset", new=page), ["PORTAL"])
    other = b"\x00\xff\x16SSH-2.0 junk\r\n" * 9
    await trial.held("answers with junk", Fault(open="reset", new=other), ["HUB", "PORTAL"])
    await trial.held("answers 403 to all", Fault(open="reset", new=http(403)), ["TOKEN", "PORTAL"])
    refused = below(b"/ws/", http(403))
    await trial.held("refuses the token (403)", Fault(open="reset", new=refused), ["TOKEN"], pace=COOL_DOWN)


async def junk(trial, long):
    """Frames without prices."""
    await trial.held("text that is junk", Fault(frames=instead(*JUNK)), ["UPSTREAM"])
    await trial.held("binary frames of junk", Fault(frames=instead(*BINARY)), ["UPSTREAM", "HUB"])
    await trial.held("truncated frames", Fault(frames=lambda piece: piece[: len(piece) // 2]), ["HUB", "UPSTREAM"])
    await trial.held("a frame of 2 MB after each", Fault(frames=after(HUGE)), [], hold=20)
    await trial.steady("junk between prices", 12, Fault(frames=after(*JUNK)))
    await trial.steady("text in binary frames", 12, Fault(frames=as_binary))


async def slow(trial, long):
    """Slow connections."""
    await trial.steady("no fault", 40)
    await trial.steady("one byte a segment", 20, Fault(dribble=True))
    await trial.steady("1 kB/s", 20, Fault(rate=1000))
    await trial.steady("3 s of latency", 30, Fault(latency=3), dull=2.5)
    await trial.steady("0 to 4 s of jitter", 40, Fault(jitter=4), dull=2.5)
    # Each SPX value is older than its limit when it arrives.
    await trial.held("15 s of latency", Fault(latency=15), ["STALE"], 40)


ALL = [lost, vanished, often, again, answers, strangers, junk, slow]
