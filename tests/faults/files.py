"""Faults of the picture file of a PNG panel."""

import asyncio
import os
import signal
import subprocess
import time

import glass
from cases import SOON, WORD
from judge import Row
from vendor import SPX, VIX

# The time in seconds between two reads of the file.
LOOK = 0.004


async def watch(judge, path):
    """Reads the file after each change, while the display uses it."""
    last = None
    while True:
        moment = time.monotonic()
        try:
            state = path.stat()
            state = (state.st_ino, state.st_mtime_ns, state.st_size)
            if state != last:
                rows = glass.png(path.read_bytes())
                judge.show("png", moment, glass.look(rows))
        except (OSError, ValueError, IndexError, KeyError, glass.zlib.error):
            # The file is missing or incomplete.
            judge.show("png", moment, glass.Picture())
            state = None
        last = state
        await asyncio.sleep(LOOK)


def fill(folder):
    """Fills the file system until no space is left."""
    for size in (4096, 1):
        try:
            with open(folder / "filler", "ab", buffering=0) as file:
                while file.write(bytes(size)):
                    pass
        except OSError:
            pass


async def begin(stand, seen):
    stand.picture_folder = stand.folder / "pictures"
    stand.picture_folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "deskticker-faults", stand.picture_folder]
    subprocess.run(mount, check=True)
    await stand.start(seen)


async def finish(stand):
    # A lazy unmount by path works while the display still has the folder open.
    subprocess.run(["umount", "--lazy", stand.picture_folder], check=True)


async def pictures(trial, long):
    """The file must never hold a price that looks live and is not."""
    stand, judge = trial.stand, trial.judge
    path = stand.picture_folder / "inner" / "screen.png"
    path.parent.mkdir()
    panel = f'kind = "png"\nfile = "{path}"'
    watching = asyncio.create_task(watch(judge, path))
    await stand.start_display("png", panel)
    await trial.recovery(time.monotonic(), name="png")

    await silence(trial)
    for number in range(2):
        await asyncio.sleep(3)
        begun = time.monotonic()
        fill(stand.picture_folder)
        await asyncio.sleep(25)
        (stand.picture_folder / "filler").unlink()
        await judged(trial, Row("disk full for 25 s"), begun, time.monotonic())

    await asyncio.sleep(3)
    begun, away = time.monotonic(), path.parent.with_name("away")
    path.parent.rename(away)
    await asyncio.sleep(20)
    # The file still has the content from before the fault: until the next write the display cannot
    # remove it.
    away.rename(path.parent)
    back = time.monotonic()
    await asyncio.sleep(3)
    first = next((at for at, _ in judge.shown["png"] if at > back + 2 * LOOK), time.monotonic())
    row = Row("folder away for 20 s, and back")
    row.notes.append(f"apart: first write {(first - back) * 1000:.0f} ms after")
    if first - back > 1.2:
        row.broken.append("not written again in time")
    await judged(trial, row, begun, back, [(back, first)])

    await asyncio.sleep(3)
    fill(stand.picture_folder)
    await asyncio.sleep(1)
    begun = time.monotonic()
    await stand.png.end(signal.SIGTERM)
    ended = time.monotonic()
    await asyncio.sleep(12)
    row = Row("ended in good order, disk full")
    row.notes.append(f"took {ended - begun:.2f} s")
    await trial.row(row, begun, name="png")
    watching.cancel()


async def silence(trial):
    """SPX becomes stale 0.3 s after another picture was written: the new picture must not wait for
    the next second."""
    stand = trial.stand
    await trial.settle()
    begun = time.monotonic()
    stand.vendor.frozen.add(SPX)
    last = max(stand.vendor.made[SPX].values())
    await asyncio.sleep(last + 9.7 - time.monotonic())
    stand.vendor.step(VIX)
    await asyncio.sleep(5)
    back = time.monotonic()
    stand.vendor.frozen.discard(SPX)
    row = Row("PNG: old just after a write", word="STALE", told_by=WORD, recovered_by=SOON + 1)
    row.told, _ = trial.judge.told(["STALE"], begun, "png")
    row.recovered = await trial.recovery(back, name="png")
    await trial.row(row, begun, name="png")


async def judged(trial, row, begun, back, apart=()):
    # The display writes one picture a second, so the bound is one second longer.
    row.recovered_by = SOON + 1
    row.recovered = await trial.recovery(back, name="png")
    await trial.row(row, begun, apart, name="png")


pictures.before, pictures.after = begin, finish
