"""Tests the display on an emulated Raspberry Pi with a hub on the host. The emulated panel must
show the same pictures as the png panel of the host's own program, and the prices that the hub has
sent.

Usage: emulated.py FOLDER FONTS KERNEL TREE INITRAMFS DISPLAY HUB ARM64, called by tests/pi/run.
"""

import os
import re
import signal
import sys
import time
from pathlib import Path
from statistics import median

import host
import picture
from guest import Guest
from host import Client, Display, Hub, Pictures, Program, Watch, until
from memory import LIMIT, MIB, TASKS, Memory

# The number of restarts of the hub.
RESTARTS = 4
# The greatest time in seconds from the first price of the new hub to live prices on the display.
# Connection attempts are at most 1.5 s apart and prices come once a second; neither depends on the
# speed of this machine.
LIVE_AGAIN = 5
# A connection that has lived for less than ten seconds does not reset the backoff: its loss
# continues the outage before, and after a minute of outage attempts are up to 8 s apart
# (src/feed/link.rs).
PROVEN = 11

# The greatest work of the emulator from user space to the first picture, as a share of its work for the
# start of the kernel.
FIRST_PICTURE = 0.2

# The least time in seconds for which the reset line of a panel is low, and for which the panel then
# rests (SH1106 data sheet, "Reset Timing").
RESET = 10e-6

# Symbols of three clusters; each cluster has its own connection.
MANY = '["SPX", "VIX", "SPY", "NVDA", "O:SPY261218C00650000"]'
# The command that starts the display on the Pi, for a configuration file and a log file.
RUN = "deskticker run --config /run/{}.toml >/dev/null 2>/run/{}.log &"

figures = []


def figure(name, value, limit=""):
    figures.append((name, value, limit))


def proven(text):
    print(f"pi: {text}", flush=True)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def without_curve(dots):
    """Returns the picture without the curve, because each display's curve starts with the display.
    """
    return tuple(row[:90] if 8 <= y < 24 else row for y, row in enumerate(dots))


def change(dots):
    """Returns the part below the decimals of SPX with the change since the previous close."""
    return tuple(row[71:118] for row in dots[32:40])


def sign(dots):
    """Returns the part of the first line with the connection symbol."""
    return tuple(row[118:] for row in dots[:8])


class Test:
    def __init__(self, folder, fonts, display, hub):
        self.folder, self.display, self.hub_program = Path(folder), display, hub
        self.prices, self.pictures, self.watch = picture.Prices(fonts), Pictures(), Watch()
        self.guest, self.memories = None, []

    def hub(self, name, port=0):
        return Hub(self.hub_program, self.folder / f"{name}.log", port)

    def show(self, name, port, shift=host.SHIFT):
        display = Display(self.display, self.folder, name, port, shift)
        self.watch.displays.append(display)
        return display

    def drop(self, displays):
        for display in displays:
            self.watch.displays.remove(display)
            display.end()

    def common(self, display, since, view=lambda dots: dots):
        """Returns the pictures of the emulated panel since a time that a display of the host drew,
        too."""
        drawn = {view(dots) for dots in self.pictures.of(display, since - 2)}
        return [dots for _, dots in self.guest.glass().lit(since) if view(dots) in drawn]

    def priced(self, display, since, view=lambda dots: dots):
        """Returns the common pictures on which both prices can be read."""
        return [dots for dots in self.common(display, since, view) if all(self.prices.of(dots))]

    def as_said(self, client, since):
        """Checks that the hub sent each shown SPX just before, and each shown VIX at some time.
        Returns the delays of SPX from the hub to the display, in seconds."""
        delays = []
        # The client may not have read the last second of values yet.
        for when, dots in self.guest.glass().lit(since, time.time() - 1):
            spx, vix = self.prices.of(dots)
            if spx is None or vix is None:
                continue
            said = [at for at, price in client.said("I:SPX") if price == spx and at <= when]
            check(said and when - said[-1] < 3, f"SPX {spx} at {when}: the hub said so at {said}")
            check(vix in {price for _, price in client.said("I:VIX")}, f"VIX {vix}: never said")
            delays.append(when - said[-1])
        check(delays, "no prices on the glass")
        return delays

    def start(self, hub, boot):
        """Checks the boot: the first picture must come before there is a network."""
        waiting = self.show("waiting", 1, host.UNSET)
        self.guest = Guest(self.folder, *boot, hub.port)
        began, _ = self.guest.await_line("PI init", 120)
        booted = self.guest.worked()
        figure("power on to user space, in the emulator", f"{began - self.guest.start:.1f} s")
        shown, first = until("a picture on the glass", 20, lambda: self.guest.glass().lit())[0]
        # The emulator of a slow host is slow for the kernel and for the display alike, so the start of
        # the kernel in the same run is the reference. The processor time excludes the waits of a busy
        # host.
        share = (self.guest.worked() - booted) / booted
        figure("user space to the first picture", f"{shown - began:.2f} s")
        figure("its work, as a share of the kernel's start", f"{share:.2f}", f"{FIRST_PICTURE}")
        check(share <= FIRST_PICTURE, f"the first picture needs {share:.2f} of the kernel's start")
        until("the same picture on the host", 10, lambda: self.common(waiting, 0))
        check(self.prices.of(first) == (None, None), "a price before there was a network")
        proven(f"a picture {shown - began:.2f} s after user space began; no price, no network yet")
        self.drop([waiting])

    def reset(self):
        """Checks the reset line, by the levels and the messages that the kernel has recorded."""
        trace = "/sys/kernel/tracing"
        self.guest.do(f"echo 0 >{trace}/events/i2c/i2c_write/enable")
        held = "\n".join(self.guest.do("cat /sys/kernel/debug/gpio"))
        line = re.search(r"gpio-(\d+) .*\|deskticker *\) out hi", held)
        check(line, f"the reset line is not held high:\n{held}")
        events = "\n".join(self.guest.do(f"cat {trace}/trace"))
        levels = re.findall(rf" ([\d.]+): gpio_value: {line[1]} set (\d)", events)
        messages = re.findall(r" ([\d.]+): i2c_write: i2c-1 ", events)
        check([level for _, level in levels[-2:]] == ["0", "1"], f"no pulse: {levels}")
        fell, rose, first = (float(at) for at in (levels[-2][0], levels[-1][0], messages[0]))
        low, rest = rose - fell, first - rose
        check(low >= RESET and rest >= RESET, f"low for {low} s, then {rest} s to the first message")
        proven(
            f"/dev/gpiochip0 resets the panel: low for {1000 * low:.1f} ms, the first message "
            f"{1000 * rest:.1f} ms later, then held high"
        )

    def buttons(self):
        """Checks that a simulated button (uinput) makes the panel darker and brighter again."""
        contrast = lambda: self.guest.glass().panel.contrast
        day = contrast()
        self.guest.do("insmod /modules/evdev.ko; insmod /modules/uinput.ko")
        # KEY_DOWN and KEY_UP
        self.guest.do("press 108 103 >/run/press.log 2>&1 &")
        until("a darker panel", 30, lambda: contrast() < day)
        darker = contrast()
        until("the brightness of the day", 10, lambda: contrast() == day)
        proven(f"a button (uinput) sets the contrast from {day} to {darker}, another one back")

    def unset(self, hub, client):
        """Checks that a display without a clock shows prices but no change, because the day of the
        close is unknown."""
        twin = self.show("unset", hub.port, host.UNSET)
        came = self.guest.await_line("PI network", 60)[0]
        pid = self.guest.do("cat /run/first.pid")[0]
        year = self.guest.do("date +%Y")[0]
        check(year == "1970", f"the clock is not unset, but {year}")

        def priced():
            return self.priced(twin, came, without_curve)

        until("SPX and VIX on the glass", 60, lambda: len(priced()) >= 3)
        spx, vix = self.prices.of(priced()[-1])
        self.as_said(client, came)
        # The line is empty at this place before the first price.
        nothing = change(self.guest.glass().lit()[0][1])
        check(all(change(dots) == nothing for dots in priced()), "a change, without a clock")
        proven(f"without a clock: SPX {spx}, VIX {vix}, as the hub said and the host drew")
        # The display learns the time from the hub after some seconds, so these checks come later.
        self.reset()
        self.buttons()

        stepped = time.time()
        self.guest.do(f"date -s @{int(time.time()) + host.SHIFT}")
        twin_of_day = self.show("set", hub.port)

        def changed():
            priced = self.priced(twin_of_day, stepped, without_curve)
            return [dots for dots in priced if change(dots) != nothing]

        # The program checks an unset clock every five seconds, and makes a REST request after that.
        until("the change since the last close, once the clock was set", 45, changed)
        figure("clock set to the change since the last close", f"{time.time() - stepped:.0f} s")
        proven("with the clock set: the change since the last close, without a restart")
        # With huge pages off, the memory test would say nothing about machines that have them.
        given = self.guest.do("cat /sys/kernel/mm/transparent_hugepage/enabled")[0]
        check("[always]" in given, f"this kernel gives no huge pages unasked: {given}")
        self.frugal(pid, "started before the network")
        self.goodbye(pid)
        self.drop([twin, twin_of_day])

    def frugal(self, pid, when):
        """Checks that the program uses little memory, independent of the cached parts of its files,
        and writes nothing to a disk."""
        memory = Memory(self.guest.do(f"cat /proc/{pid}/status /proc/{pid}/smaps"))
        wrong = memory.judge()
        check(wrong is None, f"memory, {when}: {wrong}")
        self.memories.append(memory)
        proven(f"memory, {when}: {memory}")
        written = self.guest.do(f"grep ^write_bytes /proc/{pid}/io")
        check(written == ["write_bytes: 0"], f"to a disk: {written}")
        return memory

    def steady(self, hub, client):
        """Checks that the pictures equal those of the host, also the curve, and that the display
        recovers when the hub is lost and back."""
        # The curve begins with a display's first price. Some of these displays start in the same
        # second of the feed as the display on the Pi.
        began = time.time()
        twins = []
        for number in range(16):
            twins.append(self.show(f"twin-{number}", hub.port))
            if number == 5:
                self.guest.do(RUN.format("panel", "second"))
                pid = self.guest.do("echo $!")[0]
            time.sleep(0.2)

        def best():
            return max(twins, key=lambda twin: len(self.priced(twin, began)))

        until(
            "ten pictures with their curve as on the host",
            40,
            lambda: time.time() > began + 14 and len(self.priced(best(), began)) >= 10,
        )
        twin = best()
        same = len(self.priced(twin, began))
        proven(f"{same} pictures dot for dot as the host's png panel drew them")
        delays = self.as_said(client, began)
        proven(f"{len(delays)} pictures with the SPX and the VIX that the hub had just said")
        figure("the hub's word to the glass, at the median", f"{1000 * median(delays):.0f} ms")
        self.drop([other for other in twins if other is not twin])

        live = self.guest.glass().last()
        lost = time.time()
        steady = [size + 1 for at, size in self.guest.glass().messages if began + 6 < at < lost]
        figure("bytes on the bus a second", f"{sum(steady) / (lost - began - 6):.0f}")
        took = []
        for number in range(RESTARTS):
            hub, *pair = self.restarted(hub, twin, live, f"hub-{number + 2}")
            took.append(pair)
        for name, limit, seconds in (
            ("hub's first price to live ones", f"{LIVE_AGAIN} s each", [pair[0] for pair in took]),
            ("hub listening to live prices", "", [pair[1] for pair in took]),
        ):
            figure(name, " ".join(f"{each:.1f}" for each in seconds) + " s", limit)
        self.frugal(pid, f"after {RESTARTS} restarts of the hub")
        self.goodbye(pid)
        self.drop([twin])

    def restarted(self, hub, twin, live, name):
        """Kills the hub until its price is struck out, and starts it again. Returns the new hub and
        two times in seconds: from its first price, and from its listening, to live prices on the
        display."""
        lost = time.time()
        hub.end(signal.SIGKILL)

        def struck():
            common = self.common(twin, lost + 11)
            return [dots for dots in common if self.prices.of(dots)[0] is None]

        until("a stale price as on the host", 90, lambda: len(struck()) >= 3)
        down = struck()[-1]
        check(sign(down) != sign(live), "the sign says nothing of the loss")
        check(change(down) != change(live), "the change of an old price looks live")
        proven("the hub is killed: the price is struck out, dot for dot as on the host")

        again = self.hub(name, hub.port)
        listening = time.time()
        # The reference is another client of the same hub: it runs on this machine and connects at
        # once.
        client = Client(again.port)
        first = until("a price of the new hub", 20, lambda: client.said("I:SPX"))[0][0]

        def back(pictures):
            spx, vix = ({price for _, price in client.said(name)} for name in ("I:SPX", "I:VIX"))
            live_again = [dots for dots in pictures if sign(dots) == sign(live)]
            prices = [(dots, *self.prices.of(dots)) for dots in live_again]
            return [dots for dots, one, other in prices if one in spx and other in vix]

        def lit():
            return [at for at, dots in self.guest.glass().lit(first) if back([dots])]

        until("live prices after the restart of the hub", 30, lit)
        when = lit()[0]
        until(
            "live prices as on the host",
            30,
            lambda: len(back(self.common(twin, when, without_curve))) >= 3,
        )
        time.sleep(max(0.0, when + PROVEN - time.time()))
        # The picture just before can still have the VIX of the previous hub.
        self.as_said(client, when)
        took = when - first
        check(took <= LIVE_AGAIN, f"live {took:.1f} s after the first price of the hub")
        proven(f"the hub is back: live {took:.1f} s after its first price, as it says")
        return again, took, when - listening

    def goodbye(self, pid):
        """Checks that SIGTERM turns the panel off and clears its memory."""
        self.ended(pid)
        until("a dark panel", 5, lambda: self.guest.glass().last() is None)
        check(self.guest.glass().panel.is_clear(), "prices were left in the panel's memory")
        proven("SIGTERM: the panel is off and its memory empty")
        time.sleep(0.5)

    def absent(self):
        """Checks that a missing panel is logged once, and that the program keeps trying."""
        before = len(self.guest.glass().messages)
        self.guest.do(RUN.format("absent", "absent"))
        pid = self.guest.do("echo $!")[0]
        began = time.time()
        until("a word of the absent panel", 20, lambda: self.log("absent", "nothing answers"))
        time.sleep(max(0.0, 32 - (time.time() - began)))
        self.guest.do(f"kill -0 {pid}")
        told = self.log("absent", "nothing answers")
        check(len(told) == 1, f"told {len(told)} times: {told}")
        lines = self.log("absent", "")
        check(len(lines) <= 12, f"{len(lines)} lines in the log: {lines}")
        self.frugal(pid, "no panel")
        check(len(self.guest.glass().messages) == before, "a panel at another address was written")
        proven(f"no panel for 32 s: alive, told once, {len(lines)} lines of log")
        print(f"    {told[0]}")
        self.ended(pid)

    def unnamed(self):
        """Checks the memory with three silent name servers and no panel: each lookup blocks a
        thread."""
        self.guest.do(
            "insmod /modules/dummy.ko; ip addr add 192.0.2.1/24 dev dummy0; ip link set dummy0 up; "
            "mkdir -p /etc; for _ in 1 2 3; do echo nameserver 192.0.2.53; done >/etc/resolv.conf; "
            f"echo 'watchlist = {MANY}' | cat - /run/absent.toml | sed s/10.0.2.2/hub.silent/ "
            ">/run/unnamed.toml"
        )
        self.guest.do(RUN.format("unnamed", "unnamed"))
        pid = self.guest.do("echo $!")[0]
        # The first lookups end within this time.
        time.sleep(33)
        threads = self.frugal(pid, "name servers say nothing").threads
        check(threads > 8, f"only {threads} threads: somebody has answered")
        self.guest.do("echo 10.0.2.2 hub.silent >/etc/hosts")
        until("live once the name is known", 60, lambda: len(self.log("unnamed", ": connection live")) >= 3)
        self.frugal(pid, "once they have")
        self.ended(pid)

    def ended(self, pid):
        self.guest.do(f"kill {pid}")
        self.guest.do(f"while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; true")

    def log(self, name, word):
        printed = self.guest.do(f"cat /run/{name}.log")
        return [line for line in printed if word in line]

    def keep_logs(self):
        for name in ("first", "second", "absent", "unnamed"):
            (self.folder / f"pi-{name}.log").write_text("\n".join(self.log(name, "")) + "\n")


def main():
    # The exit must run the clean-up, which ends all started processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("pi: out of time"))
    folder, fonts, kernel, tree, initramfs, display, hub_program, arm64 = sys.argv[1:]
    test = Test(folder, fonts, display, hub_program)
    hub = test.hub("hub")
    client = Client(hub.port)
    try:
        test.start(hub, (kernel, tree, initramfs))
        test.unset(hub, client)
        test.steady(hub, client)
        test.absent()
        test.unnamed()
        test.keep_logs()
    finally:
        Program.end_all()
    for name, of in (("at most", "peak"), ("its own, and all of its files", "most")):
        most = max(getattr(memory, of) for memory in test.memories) / MIB
        figure(f"memory, {name}", f"{most:.2f} MiB", f"{LIMIT // MIB} MiB")
    figure("threads, at most", max(memory.threads for memory in test.memories), TASKS)
    figure("size of the program", f"{os.path.getsize(arm64) / MIB:.2f} MiB", "5 MiB")
    for name, value, limit in figures:
        print(f"pi: {name:<48} {value:>9}" + (f"  (limit {limit})" if limit else ""))


main()
