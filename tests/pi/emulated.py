"""The display on an emulated Raspberry Pi, against a hub on the host: what its glass shows is what
the png panel of the host's own program shows, and what the hub said.

Usage: emulated.py FOLDER FONTS KERNEL TREE INITRAMFS DISPLAY HUB, called by tests/pi/run.
"""

import signal
import sys
import time
from pathlib import Path

import host
import picture
from guest import Guest
from host import Client, Display, Hub, Pictures, Program, Watch, until

MIB = 1024 * 1024

figures = []


def figure(name, value, limit=""):
    figures.append((name, value, limit))


def proven(text):
    print(f"pi: {text}", flush=True)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Reader:
    """The prices on a picture."""

    def __init__(self, fonts):
        self.fonts = [picture.Digits(f"{fonts}/spleen-{size}.psfu.gz") for size in SIZES]

    def prices(self, dots):
        """SPX and VIX as texts; what cannot be read, being dashes or struck out, is None."""
        huge, large, raised = self.fonts
        return self.price(dots, huge, raised, 14), self.price(dots, large, raised, 44)

    @staticmethod
    def price(dots, font, raised, row):
        whole, end = font.read(dots, row)
        fraction, _ = raised.read(dots, row, end)
        return f"{whole}.{fraction}" if whole and len(fraction) == 2 else None


SIZES = ("16x32", "12x24", "8x16")


def without_curve(dots):
    """The picture but for the curve, which begins when its display does."""
    return tuple(row[:84] if y >= 40 else row for y, row in enumerate(dots))


def without_change(dots):
    """Without the curve and the changes since the last close."""
    return tuple(
        row[:35] + row[77:] if y < 8 else row[:48] if y >= 56 else row[:84] if y >= 40 else row
        for y, row in enumerate(dots)
    )


class Test:
    def __init__(self, folder, fonts, display, hub):
        self.folder, self.display, self.hub_program = Path(folder), display, hub
        self.reader, self.pictures, self.watch = Reader(fonts), Pictures(), Watch()
        self.guest = None

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

    def common(self, displays, since, view=lambda dots: dots):
        """The pictures of the glass since a time that these displays drew too, as a test for
        `until`; for each view the first time it was seen."""
        drawn = {view(dots) for each in displays for dots in self.pictures.of(each, since - 2)}
        return [dots for dots in self.guest.glass().lit(since) if view(dots) in drawn]

    def memory(self, pid):
        status = self.guest.do(f"grep VmHWM /proc/{pid}/status")
        return int(status[0].split()[1]) * 1024

    def start(self, hub, boot):
        """Boot: the first picture before there is a network."""
        waiting = self.show("waiting", 1, host.UNSET)
        self.guest = Guest(self.folder, *boot, hub.port)
        began, _ = self.guest.await_line("PI init", 120)
        figure("power on to user space, in the emulator", f"{began - self.guest.start:.1f} s")
        first = until("a picture on the glass", 20, lambda: self.guest.glass().lit())[0]
        shown = next(when for when, dots in self.guest.glass().pictures if dots == first)
        figure("user space to the first picture", f"{shown - began:.2f} s", "2 s")
        check(shown - began <= 2, f"{shown - began:.2f} s to the first picture")
        until("the same picture on the host", 10, lambda: self.common([waiting], 0))
        check(self.reader.prices(first) == (None, None), "a price before there was a network")
        proven(f"a picture {shown - began:.2f} s after user space began; no price, no network yet")
        self.drop([waiting])

    def unset(self, hub, client):
        """Without a clock: prices, and no change since a close of who knows when."""
        twin = self.show("unset", hub.port, host.UNSET)
        came = self.guest.await_line("PI network", 60)[0]
        pid = self.guest.do("cat /run/first.pid")[0]
        year = self.guest.do("date +%Y")[0]
        check(year == "1970", f"the clock is not unset, but {year}")

        def valued():
            return [
                dots
                for dots in self.common([twin], came, without_curve)
                if all(self.reader.prices(dots))
            ]

        until("SPX and VIX on the glass", 60, valued)
        spx, vix = self.reader.prices(valued()[-1])
        self.said(client, valued())
        proven(f"without a clock: SPX {spx}, VIX {vix}, as the hub said and the host drew")

        self.guest.do(f"date -s @{int(time.time()) + host.SHIFT}")
        stepped = time.time()
        twin_of_day = self.show("set", hub.port)

        def changed():
            glass = self.common([twin_of_day], stepped, without_curve)
            before = {without_change(dots) for dots in valued()}
            return [
                dots
                for dots in glass
                if any(any(row[35:77]) for row in dots[:8]) and all(self.reader.prices(dots))
            ]

        until("the change since the last close, once the clock was set", 45, changed)
        proven("with the clock set: the change since the last close, without a restart")
        used = self.memory(pid)
        figure("memory of the program, at most", f"{used / MIB:.2f} MiB", "8 MiB")
        check(used <= 8 * MIB, f"{used} bytes of memory")
        self.goodbye(pid)
        self.drop([twin, twin_of_day])

    def said(self, client, glass):
        for dots in glass:
            for ticker, price in zip(("I:SPX", "I:VIX"), self.reader.prices(dots)):
                check(price in client.said(ticker), f"{ticker} {price}: the hub never said so")

    def goodbye(self, pid):
        """SIGTERM: dark, with an empty memory."""
        self.guest.do(f"kill {pid}")
        self.guest.do(f"while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; true")
        until("a dark panel", 5, lambda: self.guest.glass().last() is None)
        check(self.guest.glass().panel.is_clear(), "prices were left in the panel's memory")
        proven("SIGTERM: the panel is off and its memory empty")
        time.sleep(0.5)

    def steady(self, hub, client):
        """Dot for dot the same as on the host, the curve too; the hub lost, and back again."""
        began = time.time()
        self.guest.do("deskticker run --config /run/panel.toml >/dev/null 2>/run/second.log &")
        pid = self.guest.do("echo $!")[0]
        # The curve begins with a display's first price. One of these begins in the same second
        # of the feed as that on the Pi does.
        twins = []
        for number in range(12):
            twins.append(self.show(f"twin-{number}", hub.port))
            time.sleep(0.25)

        def same(twin):
            return [dots for dots in self.common([twin], began) if all(self.reader.prices(dots))]

        def best():
            return max(twins, key=lambda twin: len(same(twin)))

        time.sleep(12)
        until("ten pictures with their curve as on the host", 20, lambda: len(same(best())) >= 10)
        twin = best()
        glass = self.guest.glass().lit(began + 4)
        self.said(client, [dots for dots in glass if all(self.reader.prices(dots))])
        proven(f"{len(same(twin))} pictures dot for dot as the host's png panel drew them")
        self.drop([other for other in twins if other is not twin])

        live = self.guest.glass().last()
        lost = time.time()
        hub.end(signal.SIGKILL)

        def struck():
            return [
                dots
                for dots in self.common([twin], lost + 11)
                if self.reader.prices(dots)[0] is None
            ]

        until("a stale price as on the host", 40, lambda: len(struck()) >= 3)
        down = struck()[-1]
        check(down[:8] != live[:8], "the first line says nothing of the loss")
        proven("the hub is killed: the price is struck out, dot for dot as on the host")
        print(picture.drawn(down))

        again = self.hub("hub-2", hub.port)
        restarted = time.time()
        client = Client(again.port)

        def back():
            return [
                dots
                for dots in self.common([twin], restarted, without_curve)
                if all(self.reader.prices(dots)) and dots[0][118:] == live[0][118:]
            ]

        until("live prices after the restart of the hub", 60, lambda: len(back()) >= 3)
        when = next(at for at, dots in self.guest.glass().pictures if dots == back()[0])
        self.said(client, back()[1:])
        figure("hub restarted to live prices", f"{when - restarted:.1f} s")
        proven(f"the hub is back: live prices {when - restarted:.1f} s later, as the hub says")
        used = self.memory(pid)
        check(used <= 8 * MIB, f"{used} bytes of memory")
        shown = self.guest.glass()
        sizes = [size for at, size in shown.messages if began + 4 < at < lost]
        seconds = lost - began - 4
        figure("bytes on the bus, with address, a second", f"{(sum(sizes) + len(sizes)) / seconds:.0f}")
        self.goodbye(pid)
        self.drop([twin])

    def absent(self):
        """No panel at the address: told once, tried for as long as it takes."""
        self.guest.do("deskticker run --config /run/absent.toml >/dev/null 2>/run/absent.log &")
        pid = self.guest.do("echo $!")[0]
        began = time.time()
        until("a word of the absent panel", 20, lambda: self.log("absent", "nothing answers"))
        time.sleep(max(0.0, 32 - (time.time() - began)))
        self.guest.do(f"kill -0 {pid}")
        told = self.log("absent", "nothing answers")
        check(len(told) == 1, f"told {len(told)} times: {told}")
        lines = self.log("absent", "")
        check(len(lines) <= 12, f"{len(lines)} lines in the log: {lines}")
        used = self.memory(pid)
        check(used <= 8 * MIB, f"{used} bytes of memory")
        proven(f"no panel for 32 s: alive, told once, {len(lines)} lines of log")
        print(f"    {told[0]}")
        self.guest.do(f"kill {pid}")
        self.guest.do(f"while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; true")

    def log(self, name, word):
        printed = self.guest.do(f"cat /run/{name}.log")
        return [line for line in printed if word in line]

    def keep_logs(self):
        for name in ("first", "second", "absent"):
            (self.folder / f"pi-{name}.log").write_text("\n".join(self.log(name, "")) + "\n")


def main():
    folder, fonts, kernel, tree, initramfs, display, hub_program = sys.argv[1:]
    test = Test(folder, fonts, display, hub_program)
    hub = test.hub("hub")
    client = Client(hub.port)
    try:
        test.start(hub, (kernel, tree, initramfs))
        test.unset(hub, client)
        test.steady(hub, client)
        test.absent()
        test.keep_logs()
    finally:
        Program.end_all()
    width = max(len(name) for name, _, _ in figures)
    for name, value, limit in figures:
        print(f"pi: {name:<{width}}  {value:>9}" + (f"  (limit {limit})" if limit else ""))


main()
