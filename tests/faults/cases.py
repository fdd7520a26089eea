"""The faults, one after the other, in groups that run at the same time; with their bounds."""

import asyncio
import signal
import time

from judge import Row
from proxy import HUGE, Fault, after, as_binary, http, instead
from vendor import SPX, VIX, frame

WORD = 25.0
# Of an outage of under a minute: 95 of 100, 99 of 100. Of any longer one.
SOON, LATE, LONG = 2.0, 5.0, 10.0
HOLD = 30.0
# The least time between two tries at who has said no.
COOL_DOWN = 60.0
PATIENCE = 30.0

PAGE = b"<html><body>Please log in</body></html>"
JUNK = [
    frame(1, b'[{"ev":"V","val":NaN,"T":"I:SPX","t":1678220098130}]'),
    frame(1, b'[{"ev":"V","val":39'),
    frame(1, b"<html><body>502 Bad Gateway</body></html>"),
    frame(1, b"[[[[[[[[[[[[[[[[[[[["),
    frame(1, b'[{"ev":"ZZ"},null,17,"text",[]] trailing'),
]
BINARY = [frame(2, bytes(range(256)))]


class Trial:
    """One group: a stand and its judge, and the rows that came of it."""

    def __init__(self, stand, judge):
        self.stand, self.judge = stand, judge
        self.rows, self.outages = [], []

    async def row(self, row, since, apart=(), name="prices"):
        """Judges what was on the glass since the fault, and keeps it."""
        row.beyond, wrong = self.judge.beyond(name, since, time.monotonic(), apart)
        row.broken += sorted(wrong)
        row.judge()
        row.notes.append("words: " + " ".join(self.judge.words(since, time.monotonic())))
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

    async def settle(self):
        """Until all is well again, so that the next fault begins from there."""
        for _ in range(200):
            shown = self.judge.shown.get("link", [])
            if shown and shown[-1][1].word == "LIVE":
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)

    async def held(self, name, fault, words, hold=HOLD, pace=0.0, also=None):
        """A fault that lasts, and its end. `pace`: by how much longer the next try may be away;
        `also`: what else begins and ends it."""
        begin, end = also or (lambda: None, lambda: None)
        await self.settle()
        begun = time.monotonic()
        begin()
        await self.stand.near.set(fault)
        await asyncio.sleep(hold)
        back = time.monotonic()
        end()
        await self.stand.near.heal()
        row = Row(name, word="/".join(words), told_by=WORD if words else None)
        row.recovered = await self.recovery(back, PATIENCE + pace)
        row.told, told = self.judge.told(words, begun)
        row.word = told or row.word
        row.recovered_by = (LATE if hold < 60 else LONG) + pace
        if hold < 60 and not pace and row.recovered is not None:
            self.outages.append(row.recovered)
        await self.row(row, begun)

    async def short(self, name, count, faults, lengths):
        """Many outages that nobody need be told of."""
        begun, times = time.monotonic(), []
        for at in range(count):
            await self.settle()
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

    async def steady(self, name, seconds, fault=None, words=("LIVE",), dull=2.0):
        """Something that is to change nothing: SPX stays plain, and the word stays."""
        await self.settle()
        begun = time.monotonic()
        if fault:
            await self.stand.near.set(fault)
        await asyncio.sleep(seconds)
        row = Row(name, word="/".join(words))
        missing = self.judge.dull("prices", begun, time.monotonic())
        if missing > dull:
            row.broken.append(f"SPX was not plain for {missing:.1f} s")
        said = set(self.judge.words(begun, time.monotonic())) - set(words)
        if said and dull < 100:
            row.broken.append("said " + " ".join(sorted(said)))
        await self.row(row, begun)
        await self.stand.near.heal()

    async def frozen(self, name, tickers, hold, words, where, watched="prices"):
        """Nothing new comes of these from the vendor."""
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


async def lost(trial, long):
    """Connections that end, and servers that are not there."""
    for how in ("reset", "finish"):
        await trial.held(f"{how}, then refused", Fault(open=how, new="refuse"), ["HUB"])
    await trial.held("accepts, then closes", Fault(open="reset", new="close"), ["HUB"])
    await trial.held("accepts, then resets", Fault(open="reset", new="reset"), ["HUB"])
    await trial.held("accepts, then silence", Fault(open="reset", new="silence"), ["HUB"])


async def vanished(trial, long):
    """Packets that vanish."""
    await trial.held("half-open: bytes vanish", Fault(open="freeze", new="silence"), ["HUB", "UPSTREAM"], 32)
    await trial.held("the same for 75 s", Fault(open="freeze", new="silence"), ["HUB", "UPSTREAM"], 75)
    await trial.held("refused for 75 s", Fault(open="reset", new="refuse"), ["HUB"], 75)


async def often(trial, long):
    """Short outages, many of them."""
    faults = [Fault(open="reset", new="refuse"), Fault(open="finish", new="close"), Fault(open="reset", new="reset")]
    lengths = [0.5, 3, 7, 1.5, 11, 5, 2]
    await trial.short("outages of 0.5 to 11 s", 20, faults, lengths)
    if long:
        await trial.short("outages of 0.5 to 55 s", 80, faults, [*lengths, 20, 31, 44, 55])


async def answers(trial, long):
    """Answers of something that is no hub, or not in the mood."""
    for status in (500, 502, 503):
        await trial.held(f"answers {status}", Fault(open="reset", new=http(status)), ["HUB"])
    await trial.held("answers 404", Fault(open="reset", new=http(404)), ["HUB"])
    again = http(429, "Retry-After: 20\r\n")
    await trial.held("answers 429, come again in 20 s", Fault(open="reset", new=again), ["HUB"], pace=20)


async def strangers(trial, long):
    """Something else answers."""
    moved = http(302, "Location: http://127.0.0.1:9/\r\n")
    await trial.held("answers 302", Fault(open="reset", new=moved), ["PORTAL"])
    await trial.held("answers with a page", Fault(open="reset", new=http(200, "Content-Type: text/html\r\n", PAGE)), ["PORTAL"])
    await trial.held("answers with junk", Fault(open="reset", new=b"\x00\xff\x16SSH-2.0 junk\r\n" * 9), ["HUB", "PORTAL"])
    await trial.held("answers 403", Fault(open="reset", new=http(403)), ["TOKEN", "PORTAL"], pace=COOL_DOWN)


async def junk(trial, long):
    """Frames that are no prices."""
    await trial.held("text that is junk", Fault(frames=instead(*JUNK)), ["UPSTREAM"])
    await trial.held("binary frames of junk", Fault(frames=instead(*BINARY)), ["UPSTREAM", "HUB"])
    await trial.held("truncated frames", Fault(frames=lambda piece: piece[: len(piece) // 2]), ["HUB", "UPSTREAM"])
    await trial.held("a frame of 2 MB after each", Fault(frames=after(HUGE)), [], hold=20)
    await trial.steady("junk between prices", 12, Fault(frames=after(*JUNK)))
    await trial.steady("text in binary frames", 12, Fault(frames=as_binary))


async def slow(trial, long):
    """Lines that are slow."""
    await trial.steady("no fault", 40)
    await trial.steady("one byte a segment", 20, Fault(dribble=True))
    await trial.steady("1 kB/s", 20, Fault(rate=1000))
    await trial.steady("3 s of latency", 30, Fault(latency=3), dull=2.5)
    await trial.steady("0 to 6 s of jitter", 40, Fault(jitter=6), dull=2.5)
    # Each value is older than its limit when it comes.
    await trial.steady("15 s of latency", 40, Fault(latency=15), dull=1e9)
    await trial.held("and its end", Fault(open="reset", new="refuse"), [], hold=3)


async def upstream(trial, long):
    """What fails behind the hub."""
    stand = trial.stand
    await trial.frozen("silence upstream of SPX", [SPX], 40, ["STALE"], "prices")
    await trial.frozen("silence upstream of all", [SPX, VIX], 60, ["UPSTREAM"], "link")
    for name, fault in [
        ("the vendor is lost for 25 s", Fault(open="reset", new="refuse")),
        ("the vendor half-open for 40 s", Fault(open="freeze", new="silence")),
    ]:
        await trial.settle()
        begun = time.monotonic()
        await stand.far.set(fault)
        await asyncio.sleep(40 if "half" in name else 25)
        stand.vendor.authenticated.clear()
        healed = time.monotonic()
        await stand.far.heal()
        # To the vendor the hub keeps its own pace: from then on it counts.
        waiting = asyncio.create_task(stand.vendor.authenticated.wait())
        while not waiting.done() and trial.judge.fresh("prices", healed) is None:
            await asyncio.sleep(0.02)
        back = time.monotonic()
        waiting.cancel()
        row = Row(name, word="UPSTREAM", told_by=WORD, recovered_by=LATE)
        row.recovered = await trial.recovery(back)
        row.told, _ = trial.judge.told(["UPSTREAM"], begun)
        row.notes.append(f"the hub was back after {back - healed:.1f} s")
        await trial.row(row, begun)


async def restarts(trial, long):
    """The hub ends and starts again."""
    stand = trial.stand
    for name, number, away in [
        ("hub restarted, away for 2 s", signal.SIGTERM, 2),
        ("hub killed, away for 2 s", signal.SIGKILL, 2),
        ("hub restarted, away for 30 s", signal.SIGTERM, 30),
        ("hub killed, away for 30 s", signal.SIGKILL, 30),
    ]:
        await trial.settle()
        begun = time.monotonic()
        await stand.hub.end(number)
        await stand.near.deaf()
        await asyncio.sleep(away)
        stand.vendor.authenticated.clear()
        await stand.start_hub()
        await stand.near.heal()
        back = time.monotonic()
        row = Row(name, word="HUB", told_by=WORD if away > 20 else None, recovered_by=LATE)
        row.recovered = await trial.recovery(back)
        row.told, _ = trial.judge.told(["HUB"], begun)
        trial.outages.append(PATIENCE if row.recovered is None else row.recovered)
        await trial.row(row, begun)
    await trial.settle()
    begun = time.monotonic()
    stand.hub.send(signal.SIGSTOP)
    await asyncio.sleep(26)
    back = time.monotonic()
    stand.hub.send(signal.SIGCONT)
    row = Row("hub stopped for 26 s", word="UPSTREAM/HUB", told_by=WORD, recovered_by=LATE)
    row.recovered = await trial.recovery(back)
    row.told, row.word = trial.judge.told(["UPSTREAM", "HUB"], begun)
    await trial.row(row, begun)


async def stops(trial, long):
    """The display itself is stopped, or killed. Until its first write nobody can take a price away."""
    stand = trial.stand
    for number in range(3 if long else 2):
        await trial.settle()
        begun = time.monotonic()
        stand.prices.send(signal.SIGSTOP)
        await asyncio.sleep(26)
        back = time.monotonic()
        stand.prices.send(signal.SIGCONT)
        row = Row("display stopped for 26 s", recovered_by=SOON)
        row.recovered = await trial.recovery(back)
        await asyncio.sleep(3)
        await nobody_writes(trial, row, begun, back, 0.1)
    await trial.settle()
    begun = time.monotonic()
    await stand.prices.end(signal.SIGKILL)
    await asyncio.sleep(14)
    back = time.monotonic()
    await stand.start_display("prices")
    row = Row("display killed, back after 14 s", recovered_by=SOON)
    row.recovered = await trial.recovery(back)
    await nobody_writes(trial, row, begun, back, 1.0)


async def nobody_writes(trial, row, begun, back, within):
    """Tells the time apart in which the display could not write; its first write then is bounded."""
    shown = [begin for begin, _ in trial.judge.shown["prices"] if begin > back]
    first = shown[0] if shown else time.monotonic()
    apart, _ = trial.judge.beyond("prices", begun, first)
    row.notes.append(f"apart: {apart:.1f} s beyond the limit while nobody could write")
    row.notes.append(f"first write {(first - back) * 1000:.0f} ms after")
    if first - back > within:
        row.broken.append(f"first write after {(first - back) * 1000:.0f} ms")
    await trial.row(row, begun, [(begun, first)])


async def clocks(trial, long):
    """Wall clocks that are stepped, and back again."""
    stand = trial.stand
    desk, hub = [stand.desk_watch], [stand.hub_watch]
    for who, watches in (("display", desk), ("hub", hub), ("display and hub", desk + hub)):
        for hours in (1, -1):
            await trial.settle()
            begun = time.monotonic()
            for watch in watches:
                watch.step(hours * 3600)
            await asyncio.sleep(HOLD - 4)
            row = Row(f"clock of {who} {hours:+d} h", word="CLOCK", told_by=WORD)
            row.told, _ = trial.judge.told(["CLOCK"], begun)
            missing = trial.judge.dull("prices", begun, time.monotonic())
            # Two clocks that agree with each other and not with the stamps: the stamps may be late.
            if missing > 2.0 and not (len(watches) > 1 and hours > 0):
                row.broken.append(f"SPX was not plain for {missing:.1f} s")
            row.notes.append(f"not plain for {missing:.1f} s")
            back = time.monotonic()
            for watch in watches:
                watch.step(0)
            row.recovered, row.recovered_by = await trial.recovery(back), LONG
            await trial.row(row, begun)


ORDINARY = [lost, vanished, often, answers, strangers, junk, slow, upstream, restarts, stops, clocks]
