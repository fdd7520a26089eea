"""Tests the packages under a real systemd: `python3 upgrade.py TREE OLD NEW`; OLD and NEW are
folders with .deb files for this machine.

The test shows what an emulated Debian cannot show: the services run after an installation, an
upgrade stops them only for a short time, a token that root adds is accepted, and a purge leaves
nothing.
"""

import os
import pty
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "systemd"))
from machine import Failed, Machine, wait  # noqa: E402

# The greatest time in microseconds for which an upgrade may stop a service.
LIMIT = 3_000_000
KEPT = "# Kept by its owner.\n"
DISPLAY = KEPT + '[hub]\nurl = "ws://127.0.0.1:3000"\n[panel]\nkind = "png"\n'
# No server listens on the vendor's address: the hub serves its clients, and its vendor is down.
HUB = KEPT + 'listen = "127.0.0.1:3000"\n[massive]\nurl = "ws://127.0.0.1:1"\n'
# A valid token of the hub gets a short-lived token for an upgrade.
ASK = """exec 3<>/dev/tcp/127.0.0.1/3000
printf 'POST /api/ws-token HTTP/1.1\\r\\nHost: hub\\r\\nAuthorization: Bearer %s\\r\\n' "$1" >&3
printf 'Content-Length: 0\\r\\nConnection: close\\r\\n\\r\\n' >&3
head -n 1 <&3"""


def check(holds, what):
    if not holds:
        raise Failed(what)


class Packages:
    """The two packages in a running container."""

    def __init__(self, machine):
        self.machine = machine

    def install(self, version):
        debs = sorted(str(deb.relative_to(self.machine.tree)) for deb in
                      (self.machine.tree / "packages" / version).glob("*.deb"))
        self.machine.run("dpkg", "-i", *(f"/{deb}" for deb in debs))

    def show(self, unit, *names):
        said = self.machine.run("systemctl", "show", *(f"-p{name}" for name in names), unit)
        values = dict(line.split("=", 1) for line in said.splitlines())
        return [values[name] for name in names]

    def active(self, unit):
        return self.show(unit, "ActiveState") == ["active"]

    def write(self, name, text, mode=0o644):
        path = self.machine.tree / "etc/deskticker" / name
        path.write_text(text)
        path.chmod(mode)

    def answer(self, token):
        return self.machine.run("bash", "-c", ASK, "ask", token, check=False).split("\r")[0]


def set_up(machine):
    """Sets up a hub and a display from nothing but the packages, with the two set-up commands."""
    packages = Packages(machine)
    packages.install("old")
    # The display has no token yet: it ends, and systemd starts it again and again.
    interrupt(machine)
    hub = "deskticker-hub setup --simulate --listen 127.0.0.1:3000 --device kitchen"
    said = machine.run("sh", "-c", hub + " --dry-run")
    check("Nothing was changed" in said, f"a dry run: {said}")
    check(not packages.active("deskticker-hub"), "a dry run has started the hub")
    said = machine.run("sh", "-c", hub)
    check("the hub answers on 127.0.0.1:3000, and the token is accepted" in said, said)
    line = next(line.strip() for line in said.splitlines() if line.strip().startswith("echo "))
    # root needs no sudo, and the container has no I2C bus.
    machine.run("systemctl", "disable", "--now", "deskticker")
    said = machine.run("sh", "-c", line.replace("sudo ", "") + " --panel png --watchlist SPX,SPY")
    check("ok       channels" in said, f"the doctor at the end of the set-up: {said}")
    for unit in ("deskticker", "deskticker-hub"):
        wait(f"{unit} is active after its set-up", lambda: packages.active(unit), 20)
    enabled = machine.run("systemctl", "is-enabled", "deskticker", "deskticker-hub")
    check(enabled.split() == ["enabled", "enabled"], f"after the set-up: {enabled}")
    check(machine.run("stat", "-c", "%a %U", "/etc/deskticker/token") == "600 root\n", "the token")
    for name in ("deskticker/deskticker", "deskticker-hub/hub"):
        kept = f"/etc/deskticker/{name.split('/')[1]}.toml.old"
        machine.run("cmp", f"/usr/share/{name}.toml", kept)
    machine.run("deskticker", "snapshot", "--output", "/root/screen.png", "--seconds", "20")
    machine.run("rm", "/root/screen.png")
    print("two commands set up a hub and a display, and the services run", flush=True)
    purge(machine)


def answer_bus(bus):
    """Answers tests/support/i2c_bus.c: only the address 0x3c acknowledges its messages."""
    connection, _ = bus.accept()
    stream = connection.makefile("rb")
    while len(head := stream.read(4)) == 4:
        if head[1] == 0:
            stream.read(head[2] | head[3] << 8)
        connection.sendall(bytes([0 if head[0] == 0x3C else 121]))


def interrupt(machine):
    """Presses Ctrl-C at a test picture. The service must stand still for the picture, and then run."""
    packages, folder = Packages(machine), machine.tree / "packages"
    source = Path(__file__).resolve().parents[1] / "support/i2c_bus.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "bus.so", source], check=True)
    (folder / "i2c-1").touch()
    bus = socket.socket(socket.AF_UNIX)
    bus.bind(str(folder / "bus"))
    bus.listen()
    threading.Thread(target=answer_bus, args=[bus], daemon=True).start()
    before = (machine.tree / "etc/deskticker/deskticker.toml").read_text()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("nsenter", [
            *("nsenter", "--target", str(machine.leader), "--all", "--", "env"),
            *("LD_PRELOAD=/packages/bus.so", "I2C_BUS=/packages/bus", "/usr/bin/deskticker", "setup"),
            *("--panel", "oled", "--bus", "/packages/i2c-1")])
    said = b""
    while b"s: keep these settings): " not in said:
        said += os.read(terminal, 4096)
    check(packages.show("deskticker", "ActiveState") == ["inactive"], "the ticker draws over the picture")
    os.write(terminal, b"\x03")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    check(code == 1, f"Ctrl-C ends the set-up with {code}: {said.decode()}")
    check(packages.show("deskticker", "ActiveState") != ["inactive"], "the service stays stopped after Ctrl-C")
    check((machine.tree / "etc/deskticker/deskticker.toml").read_text() == before, "Ctrl-C changes the settings")
    print("the service stands still for a test picture, and runs again after Ctrl-C", flush=True)


def life(machine):
    packages = Packages(machine)
    packages.install("old")
    enabled = machine.run("systemctl", "is-enabled", "deskticker", "deskticker-hub", check=False)
    check(enabled.split() == ["enabled", "disabled"], f"after the installation: {enabled}")
    check(packages.show("deskticker", "ActiveState") != ["inactive"], "the display was not started")
    check(packages.show("deskticker-hub", "ActiveState") == ["inactive"], "a hub without a key was started")

    # These steps follow the README for both packages; the first token is added before the hub has
    # ever run.
    token = machine.run("sh", "-c", "deskticker-hub token add kitchen 2>/dev/null").strip()
    packages.write("key", "0123456789\n", 0o600)
    packages.write("token", token + "\n", 0o600)
    packages.write("hub.toml", HUB)
    packages.write("deskticker.toml", DISPLAY)
    machine.run("systemctl", "enable", "--now", "deskticker-hub")
    machine.run("systemctl", "restart", "deskticker")
    for unit in ("deskticker", "deskticker-hub"):
        wait(f"{unit} is active", lambda: packages.active(unit), 20)
    wait("a token from before the hub's first start is good", lambda: "200" in packages.answer(token))
    later = machine.run("sh", "-c", "deskticker-hub token add hallway 2>/dev/null").strip()
    wait("one from after it is, too", lambda: "200" in packages.answer(later))
    check("403" in packages.answer("0" * 43), "a token that nobody was given is let in")
    said = machine.run("deskticker", "check")
    check(said.startswith("ok: "), f"check on a correct installation: {said}")
    machine.run("deskticker", "snapshot", "--output", "/root/screen.png", "--seconds", "3")
    machine.run("rm", "/root/screen.png")
    print("check and snapshot find the token of the service", flush=True)
    print("installed; tokens given before and after the hub's first start are good", flush=True)

    pids = {unit: packages.show(unit, "MainPID") for unit in ("deskticker", "deskticker-hub")}
    packages.install("new")
    for unit, pid in pids.items():
        wait(f"{unit} is active after the upgrade", lambda: packages.active(unit), 20)
        check(packages.show(unit, "MainPID") != pid, f"{unit} is still the old one")
        left, came = map(int, packages.show(
            unit, "ActiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic"))
        check(0 < came - left < LIMIT, f"{unit} was away for {(came - left) / 1e6:.2f} s in the upgrade")
        print(f"upgraded: {unit} was away for {(came - left) / 1e6:.2f} s", flush=True)
    for name in ("hub.toml", "deskticker.toml"):
        text = (machine.tree / "etc/deskticker" / name).read_text()
        check(text.startswith(KEPT), f"the upgrade has changed {name}")
    wait("the upgraded hub knows its devices", lambda: "200" in packages.answer(token))

    purge(machine)
    print("purged: nothing is left", flush=True)


def purge(machine):
    """Removes the packages with everything that belongs to them."""
    machine.run("dpkg", "-P", "deskticker", "deskticker-hub")
    left = machine.run(
        "find", "/", "-xdev", "-name", "*deskticker*", "-not", "-path", "/proc/*",
        "-not", "-path", "/packages/*", "-not", "-path", "/run/*")
    check(not left.strip(), f"a purge has left:\n{left}")
    running = machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "deskticker*")
    check("running" not in running, f"a purge has left:\n{running}")


def main():
    tree, old, new = sys.argv[1:]
    machine = Machine(tree)
    for name, folder in (("old", old), ("new", new)):
        shutil.copytree(folder, machine.tree / "packages" / name)
    try:
        machine.boot()
        set_up(machine)
        life(machine)
    except Failed as failed:
        log = machine.run("journalctl", "-b", "--no-pager", "-n", "60", check=False) if machine.leader else ""
        sys.exit(f"tests/packages: {failed}\n{log}")
    finally:
        machine.end()


main()
