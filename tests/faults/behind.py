"""Faults behind the network: of the vendor, the hub, the display, and their clocks."""

import asyncio
import signal
import time

from cases import HOLD, JUNK, LATE, LONG, PATIENCE, PROVEN, SOON, WORD
from judge import ERROR, Row, share
from proxy import Fault, instead
from vendor import SPX, VIX

# The longest time in seconds between two connection attempts of the hub to the vendor, or between
# two responses that tell the display the hub's time; with a margin.
PACE = 75


async def upstream(trial, long):
    """Faults of the vendor while the hub keeps running."""
    await trial.frozen("silence upstream of SPX", [SPX], 40, ["STALE"], "prices")
    await trial.frozen("silence upstream of all", [SPX, VIX], 60, ["UPSTREAM"], "link")
    await lost_upstream(trial, "the vendor sends junk for 30 s", 30, Fault(frames=instead(*JUNK)))


async def vendor(trial, long):
    """The hub loses the vendor."""
    for name, hold, fault in [
        ("the vendor is lost for 26 s", 26, Fault(open="reset", new="refuse")),
        ("the vendor half-open for 40 s", 40, Fault(open="freeze", new="silence")),
    ]:
        await lost_upstream(trial, name, hold, fault)


async def lost_upstream(trial, name, hold, fault):
    """Runs a fault between hub and vendor. The hub retries at its own slower rate, so the recovery
    time counts from its new connection to the vendor or from the first value by REST."""
    stand = trial.stand
    await trial.settle(PACE, PROVEN)
    begun = time.monotonic()
    await stand.far.set(fault)
    await asyncio.sleep(hold)
    stand.vendor.authenticated.clear()
    healed = time.monotonic()
    await stand.far.heal()
    waiting = asyncio.create_task(stand.vendor.authenticated.wait())
    while not waiting.done() and trial.judge.fresh("prices", healed) is None:
        await asyncio.sleep(0.02)
    back = time.monotonic()
    waiting.cancel()
    row = Row(name, word="UPSTREAM", told_by=WORD, recovered_by=LATE)
    row.recovered = await trial.recovery(back)
    row.told, _ = trial.judge.told(["UPSTREAM"], begun)
    row.notes.append(f"a value was served after {back - healed:.1f} s")
    await trial.row(row, begun)


async def replays(trial, long):
    """Old values that are repeated or were buffered: each must keep its true age."""
    stand = trial.stand
    # The hub repeats its last value to a new client.
    await trial.settle()
    begun = time.monotonic()
    stand.vendor.frozen.add(SPX)
    for _ in range(4):
        await asyncio.sleep(6)
        await stand.near.set(Fault(open="reset"))
    await trial.unfrozen(Row("joins a hub whose SPX is old"), begun)
    # The display or the hub is stopped. It reads the data from the start of the stop only after it
    # continues.
    for name in ("prices", "hub"):
        await trial.settle()
        begun, program = time.monotonic(), getattr(stand, name)
        program.send(signal.SIGSTOP)
        await asyncio.sleep(3)
        stand.vendor.frozen.add(SPX)
        await asyncio.sleep(23)
        back = time.monotonic()
        program.send(signal.SIGCONT)
        await asyncio.sleep(14)
        who = "display" if name == "prices" else name
        row = Row(f"{who} stopped, its buffer 23 s old")
        if name == "prices":
            await trial.unfrozen(row, begun, [(begun, trial.first_write(back))])
        else:
            await trial.unfrozen(row, begun)
    # The stream sends no more SPX values, and REST still returns them.
    await trial.settle()
    begun = time.monotonic()
    stand.vendor.unstreamed.add(SPX)
    await asyncio.sleep(45)
    row = Row("SPX by REST alone for 45 s")
    row.notes.append(f"not plain for {trial.judge.dull('prices', begun, time.monotonic()):.1f} s at a time")
    stand.vendor.unstreamed.discard(SPX)
    row.recovered, row.recovered_by = await trial.recovery(time.monotonic()), SOON
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
        await trial.settle(calm=PROVEN)
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
    """The display itself is stopped or killed. Until its next write nothing can remove the price
    from the display."""
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
    """Returns the period in which the display could not write, and limits the time to its first
    write after that."""
    first = trial.first_write(back)
    apart, _ = trial.judge.beyond("prices", begun, first)
    row.notes.append(f"apart: {apart:.1f} s beyond the limit while nobody could write")
    row.notes.append(f"first write {(first - back) * 1000:.0f} ms after")
    if first - back > within:
        row.broken.append(f"first write after {(first - back) * 1000:.0f} ms")
    await trial.row(row, begun, [(begun, first)])


async def stepped(trial, who, watches, told_by=WORD, hold=HOLD):
    """Steps wall clocks and sets them right again: values must be judged correctly, and the word
    for the wrong clock must appear."""
    for hours in (1, -1):
        await trial.settle(PACE)
        begun = time.monotonic()
        for watch in watches:
            watch.step(hours * 3600)
        await asyncio.sleep(hold)
        row = Row(f"clock of {who} {hours:+d} h", word="CLOCK", told_by=told_by)
        row.told, _ = trial.judge.told(["CLOCK"], begun)
        missing = trial.judge.dull("prices", begun, time.monotonic())
        # If the two clocks agree with each other and not with the timestamps, the timestamps count
        # as late.
        late = len(watches) > 1 and hours > 0
        if missing > 2.0 and not late:
            row.broken.append(f"SPX was not plain for {missing:.1f} s")
        row.notes.append(f"not plain for {missing:.1f} s")
        back = time.monotonic()
        for watch in watches:
            watch.step(0)
        row.recovered, row.recovered_by = await trial.recovery(back), LONG
        await trial.row(row, begun, ages=not late)


async def clock_here(trial, long):
    """Steps the display's clock and sets it right again."""
    await stepped(trial, "display", [trial.stand.desk_watch])


async def clock_there(trial, long):
    """Steps the hub's clock and sets it right again. A display learns the hub's time from the REST
    responses. If all prices are streamed, it sends a request every 30 s, and it reports a wrong
    clock 5 to 8 s after that."""
    await stepped(trial, "hub", [trial.stand.hub_watch], told_by=40.0, hold=45.0)


async def clocks(trial, long):
    """Steps both clocks and sets them right again."""
    await stepped(trial, "display and hub", [trial.stand.desk_watch, trial.stand.hub_watch])


async def crowd(trial, long):
    """Many displays at the same time, without a proxy. This group runs only if it is named, or with
    --long."""
    stand, judge = trial.stand, trial.judge
    names = [f"display-{number}" for number in range(200)]
    # The hub must use the same port after its restart, because these displays connect to it without
    # a proxy.
    stand.port = stand.near.target[1]
    for name in names:
        await stand.start_display(name, port=stand.port)
    for seconds in (10, 75):
        await trial.settle(calm=PROVEN)
        judge.later = []
        begun = time.monotonic()
        await stand.hub.end(signal.SIGKILL)
        await asyncio.sleep(seconds)
        await stand.start_hub()
        back = time.monotonic()
        await asyncio.sleep(15)
        end = time.monotonic()
        judge.catch_up()
        times = [judge.fresh(name, back) for name in names]
        times = [PATIENCE if took is None else took for took in times]
        row = Row(f"200 displays, hub away for {seconds} s", recovered=share(times, 0.99))
        row.recovered_by = LATE if seconds < 60 else LONG
        row.notes.append(f"half within {share(times, 0.5):.2f} s, 95 of 100 within {share(times, 0.95):.2f} s")
        if seconds < 60 and share(times, 0.95) > SOON:
            row.broken.append("95 of 100 not in time")
        # 200 terminals take longer to read than one, so the tolerance is ten times the usual one.
        beyond = max(judge.beyond(name, begun, end)[0] for name in names)
        row.notes.append(f"plain beyond the limit, and the time to read 200 terminals: {beyond * 1000:.0f} ms")
        row.broken += ["plain beyond the limit"] if beyond > 10 * ERROR else []
        trial.rows.append(row.judge())


crowd.asked = True

ALL = [upstream, vendor, replays, restarts, stops, clock_here, clock_there, clocks, crowd]
