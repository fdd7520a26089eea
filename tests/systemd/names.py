"""Proves that a display finds a hub by the name hub.local, with the network settings of the card
image: `names.py TREE BINARIES`. The script `run` calls it in a mount namespace of its own.

The container is the display. Its cable belongs to systemd-networkd, and its other interface to no
service of systemd, as the Wi-Fi does with iwd. The hub runs in a network namespace."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import NAME, TOKEN, Machine, check, proven, wait

ROOT = Path(__file__).resolve().parents[2]
# The interfaces of the container, and the network of each.
LINKS = {"eth0": "10.9.0", "wlan0": "10.9.1"}


def install(tree, binaries):
    """Installs the settings of the image, and the programs."""
    for folder in ("network", "resolved.conf.d"):
        shutil.copytree(ROOT / "boards/root/etc/systemd" / folder, tree / "etc/systemd" / folder, dirs_exist_ok=True)
    (tree / "etc/systemd/network/00-wlan0.network").write_text("[Match]\nName=wlan0\n[Link]\nUnmanaged=yes\n")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf")
    for program in ("deskticker", "deskticker-hub"):
        shutil.copy(binaries / program, tree / "usr/bin" / program)
    for unit in ("deskticker.service", "deskticker-hub.service"):
        shutil.copy(ROOT / "systemd" / unit, tree / "usr/lib/systemd/system" / unit)
    (tree / "usr/lib/sysusers.d/deskticker.conf").write_bytes((ROOT / "systemd/deskticker.sysusers").read_bytes())
    drop_in = tree / f"etc/systemd/system/{unit}.d/simulated.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nExecStart=\nExecStart=/usr/bin/deskticker-hub --simulate\n"
                       f"Environment=MASSIVE_PROXY_TOKEN={TOKEN}\n")
    own = tree / "etc/deskticker"
    own.mkdir()
    (own / "token").write_text(TOKEN)
    (own / "deskticker.toml").write_text('[hub]\nurl = "ws://hub.local:3000"\n[panel]\nkind = "png"\n')
    subprocess.run(["systemctl", f"--root={tree}", "--quiet", "enable", "systemd-networkd", "systemd-resolved"],
                   check=True, capture_output=True)


class Network:
    """A network namespace with a cable to each interface of the container."""

    def __init__(self, machine):
        self.machine = machine
        subprocess.run(["ip", "netns", "add", NAME], check=True)
        # The simulated vendor listens on the loopback address.
        self.ip("link", "set", "lo", "up")
        for number, (link, net) in enumerate(LINKS.items()):
            own = f"hub{number}"
            self.ip("link", "add", own, "type", "veth", "peer", "name", link)
            self.ip("link", "set", link, "netns", str(machine.leader))
            self.ip("addr", "add", f"{net}.1/24", "dev", own)
            self.ip("link", "set", own, "up")

    def ip(self, *command):
        subprocess.run(["ip", "-n", NAME, *command], check=True)

    def inside(self, *command):
        """Runs the `ip` of this machine in the network of the container."""
        subprocess.run(["nsenter", "--target", str(self.machine.leader), "--net", "ip", *command], check=True)

    def only(self, link):
        """Switches on only this interface of the container, and gives it an address."""
        for other in LINKS:
            self.inside("link", "set", other, "down")
        self.inside("link", "set", link, "up")
        self.inside("addr", "replace", f"{LINKS[link]}.2/24", "dev", link)

    def end(self):
        subprocess.run(["ip", "netns", "del", NAME])


class Hub:
    """A hub in the network namespace."""

    def __init__(self, binaries, port):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", NAME, binaries / "deskticker-hub", "--simulate", "--listen", f"0.0.0.0:{port}"],
            stdout=subprocess.DEVNULL, stderr=self.log, env={**os.environ, "MASSIVE_PROXY_TOKEN": TOKEN},
        )

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def end(self):
        self.process.terminate()
        self.process.wait(10)


def asked(name, link):
    """Sends a multicast query for the IPv4 address of a name from the network namespace, and returns
    the first response with this name (RFC 6762), or nothing after a second."""
    code = """
import socket, struct, sys, time
name, own, group = sys.argv[1], socket.inet_aton(sys.argv[2]), socket.inet_aton("224.0.0.251")
name = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + own)
    udp.bind(("", 5353))
    udp.settimeout(0.2)
    udp.sendto(struct.pack(">6H", 0, 0, 1, 0, 0, 0) + name + struct.pack(">B2H", 0, 1, 1), ("224.0.0.251", 5353))
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            packet = udp.recv(9000)
        except TimeoutError:
            continue
        if packet[2] & 0x80 and name in packet:
            print(packet.hex())
            break
"""
    done = subprocess.run(["ip", "netns", "exec", NAME, sys.executable, "-c", code, name, f"{LINKS[link]}.1"],
                          check=True, capture_output=True, text=True)
    return bytes.fromhex(done.stdout.strip())


def prove(machine, network, binaries):
    query = lambda *words: machine.run("resolvectl", "--cache=no", *words, check=False)
    log = lambda: machine.run("journalctl", "-o", "cat", "--no-pager", "-u", "deskticker")
    for link, net in LINKS.items():
        network.only(link)
        hub = Hub(binaries, 3000)
        wait(f"hub.local by {link}", lambda: f"{net}.1" in query("query", "-4", "hub.local"), 20)
        begun = time.monotonic()
        machine.run("getent", "ahosts", "hub.local")
        check(time.monotonic() - begun < 2, "the C library waits for an IPv6 address, which the hub has not")
        machine.run("systemctl", "start", "deskticker")
        wait(f"prices by {link}", lambda: "indices: connection live" in log(), 10)
        machine.run("systemctl", "stop", "deskticker")
        machine.run("journalctl", "--rotate", "--vacuum-time=1s")
        proven(f"a display with ws://hub.local:3000 gets prices by {link}")
        hub.end()
        # The display has stored the address for two minutes. The hub withdraws it.
        gone = lambda: f"{net}.1" not in machine.run("resolvectl", "query", "-4", "hub.local", check=False)
        wait("the end of the announcement", gone, 20)
        proven("the hub withdraws its name at its end")

    hub = Hub(binaries, 3111)
    listed = wait("the service", lambda: service(query("query", "--type=PTR", "_deskticker._tcp.local")), 20)
    said = query("service", listed, "_deskticker._tcp", "local")
    check("hub.local:3111" in said and "tls=no" in said and f"{net}.1" in said, said)
    proven(f"it is the service {listed!r} of _deskticker._tcp, with its host, port and address")
    hub.end()

    machine.run("systemctl", "stop", "systemd-resolved")
    check(not asked("hub.local", link), "the name hub.local without a hub")
    machine.run("systemctl", "start", "deskticker-hub")
    first, second = (socket.inet_aton(f"{net}.{host}") for host in (2, 1))
    wait("an answer of the unit", lambda: first in asked("hub.local", link), 20)
    proven("a hub announces itself in the sandbox of its unit, on a machine without systemd-resolved")
    hub = Hub(binaries, 3000)
    wait("another name", lambda: "the name of this hub is hub-2.local" in hub.said(), 20)
    wait("an answer of the second hub", lambda: second in asked("hub-2.local", link), 20)
    check(first in asked("hub.local", link), "the first hub has lost its name")
    proven("a second hub in the network says that its name is hub-2.local, and the first one keeps its name")
    hub.end()


def service(said):
    """Returns the name of the service in the output of resolvectl, or None."""
    line = next((l for l in said.splitlines() if " IN PTR " in l), None)
    return line and line.split(" IN PTR ")[1].split("._deskticker")[0].replace("\\032", " ")


def main():
    binaries = Path(sys.argv[2]).resolve()
    machine, network = Machine(sys.argv[1]), None
    install(machine.tree, binaries)
    try:
        machine.boot()
        network = Network(machine)
        prove(machine, network, binaries)
    finally:
        if network:
            network.end()
        machine.end()


main()
