"""Faults of the network itself: the displays run in a network namespace, with a resolver of this
test."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from proxy import NONE, Fault, below, http

NAME = "hub.test"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Resolver(asyncio.DatagramProtocol):
    """A DNS resolver that returns the hub's address, an error code, or nothing (RFC 1035)."""

    def __init__(self, address):
        self.address, self.code, self.silent = address, 0, False

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        if self.silent:
            return
        end = data.index(b"\0", 12) + 5
        found = self.code == 0 and data[end - 4 : end - 2] == b"\0\1"
        head = data[:2] + bytes([0x81, 0x80 | self.code, 0, 1, 0, int(found), 0, 0, 0, 0])
        packed = bytes(map(int, self.address.split(".")))
        # The time to live of the record is one second.
        row = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + packed if found else b""
        self.transport.sendto(head + data[12:end] + row, sender)


async def namespace(stand, seen):
    """Makes a network of two hosts: the test at one end of a cable, the displays at the other."""
    number = os.getpid()
    stand.space, stand.ends = f"dt-faults-{number}", (f"dtf{number % 100_000}a", f"dtf{number % 100_000}b")
    ours, theirs = (f"10.213.{number % 250}.{end}" for end in (1, 2))
    ip("netns", "add", stand.space)
    ip("link", "add", stand.ends[0], "type", "veth", "peer", "name", stand.ends[1], "netns", stand.space)
    ip("addr", "add", f"{ours}/30", "dev", stand.ends[0])
    ip("link", "set", stand.ends[0], "up")
    ip("-n", stand.space, "addr", "add", f"{theirs}/30", "dev", stand.ends[1])
    plug(stand)
    ip("-n", stand.space, "link", "set", "lo", "up")
    ip("-n", stand.space, "route", "add", "default", "via", ours)
    stand.etc = Path("/etc/netns") / stand.space
    stand.etc.mkdir(parents=True)
    (stand.etc / "resolv.conf").write_text(f"nameserver {ours}\n")
    loop = asyncio.get_running_loop()
    _, stand.resolver = await loop.create_datagram_endpoint(lambda: Resolver(ours), (ours, 53))
    await stand.start(seen, NAME, ours, ["ip", "netns", "exec", stand.space])


async def no_namespace(stand):
    ip("netns", "del", stand.space)
    shutil.rmtree(stand.etc)


def plug(stand, state="up"):
    ip("-n", stand.space, "link", "set", stand.ends[1], state)


def vanish(stand, action):
    """Drops all packets in both directions (`add`), or stops that (`del`)."""
    kind = ["blackhole"] if action == "add" else []
    for inside, end in zip(([], ["ip", "netns", "exec", stand.space]), stand.ends):
        subprocess.run([*inside, "tc", "qdisc", action, "dev", end, "root", *kind], check=True)


async def while_waiting(trial, name, words, begin, end):
    """Starts a fault of the network while the displays wait for a minute, because the hub has refused
    their token. The newer fault must be shown during this wait."""
    refused = Fault(open="reset", new=below(b"/ws/", http(403)))
    also = (lambda: asyncio.get_running_loop().call_later(5, begin), end)
    # The fault begins after 5 s, and the displays check the network each 2 s.
    await trial.held(name, refused, words, 20, pace=75.0, also=also, told_by=10.0)


async def resolver(trial, long):
    """Lets the resolver fail while the connection is lost."""
    server = trial.stand.resolver
    lost = Fault(open="reset", new="pass")

    def fails(code=0, silent=False):
        server.code, server.silent = code, silent

    for name, begin in [
        ("no such name", lambda: fails(code=3)),
        ("the resolver has failed", lambda: fails(code=2)),
        ("the resolver is silent", lambda: fails(silent=True)),
    ]:
        await trial.held(name, lost, ["DNS"], also=(begin, fails))
    await while_waiting(trial, "no such name during a wait", ["DNS"], lambda: fails(code=3), fails)
    await trial.held("the resolver is silent for 75 s", lost, ["DNS"], 75, also=(lambda: fails(silent=True), fails))


async def cable(trial, long):
    """Packets are lost, and the network interface is down."""
    stand = trial.stand
    off = (lambda: vanish(stand, "add"), lambda: vanish(stand, "del"))
    words = ["HUB", "UPSTREAM", "ADDRESS", "DNS"]
    for seconds in (8, 32, 75):
        told = words if seconds > 25 else []
        # If the connection survives, TCP may wait up to twice as long before the next
        # retransmission (RFC 6298).
        again = 2.0 if seconds < 10 else 0.0
        await trial.held(f"packets vanish for {seconds} s", NONE, told, seconds, pace=again, also=off)
    unplugged = (lambda: plug(stand, "down"), lambda: plug(stand))
    await trial.held("no network for 30 s", NONE, words, also=unplugged)
    await while_waiting(trial, "no network during a wait", ["ADDRESS"], *unplugged)


for case in (resolver, cable):
    case.before, case.after = namespace, no_namespace
