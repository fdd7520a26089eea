"""A container in which a real systemd is process 1. This module owns the container's processes, its
cgroup and its directory tree."""

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# The name of the cgroup. It is random, because a killed run may have left its cgroup behind.
NAME = f"deskticker-{secrets.token_hex(4)}"


# A token that is valid only in the container.
TOKEN = "a-token-for-this-container-only"
BEGUN = time.monotonic()


class Failed(Exception):
    """A property does not hold, or the test could not check it."""


def proven(what):
    """Prints that a property holds, and the time since the start."""
    print(f"ok {time.monotonic() - BEGUN:6.1f} s  {what}", flush=True)


def check(holds, what):
    if not holds:
        raise Failed(what)


def wait(what, condition, seconds=30):
    """Waits until the condition returns a true value, and returns that value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return found


def unified_cgroups():
    """Mounts cgroup version 2 at its usual place, and makes an empty cgroup there.

    systemd needs version 2 at this place; on a machine with both versions it is elsewhere or not
    mounted. The mount happens in a mount namespace of this test.
    """
    line = next(
        (l for l in Path("/proc/self/cgroup").read_text().splitlines() if l.startswith("0::")), None
    )
    if line is None:
        raise Failed("this kernel has no cgroup v2 (no line 0:: in /proc/self/cgroup): no systemd can run here")
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", str(CGROUPS)], check=True)
    own = CGROUPS / line.removeprefix("0::").lstrip("/") / NAME
    own.mkdir()
    return own


class Machine:
    """The container. Its directory tree is a copy, so that each container starts from the same
    state."""

    def __init__(self, pristine):
        self.tree = Path(pristine).parent / "run"
        shutil.rmtree(self.tree, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(pristine), str(self.tree)], check=True)
        self.cgroup = None
        self.nspawn = None
        self.leader = None

    def boot(self):
        """Starts the container, and returns when its systemd has started all units."""
        self.cgroup = unified_cgroups()
        console = open(self.tree.parent / "console", "w+b")
        command = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"),
            *("--private-network", "--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            # systemd enforces device lists with BPF programs.
            "--system-call-filter=bpf",
            *(f"--machine={NAME}", "--console=pipe", f"--directory={self.tree}"),
        ]
        self.nspawn = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
            preexec_fn=lambda: (self.cgroup / "cgroup.procs").write_text("0"),
        )
        try:
            self.leader = wait("process 1 of the container", self._find_leader, 20)
            wait("its systemd has started", self._has_started, 60)
        except Failed as failed:
            console.seek(0)
            tail = console.read()[-4000:].decode(errors="replace")
            raise Failed(f"no systemd can be booted here: {failed}\n{tail}") from None

    def _find_leader(self):
        if self.nspawn.poll() is not None:
            raise Failed(f"systemd-nspawn has ended with {self.nspawn.returncode}")
        for pid, parent in processes():
            # The process has its namespaces before it becomes systemd; until then it has another
            # name.
            if parent == self.nspawn.pid and name(pid) == "systemd":
                return pid
        return None

    def _has_started(self):
        state = self.run("systemctl", "is-system-running", check=False)
        return state.strip() in ("running", "degraded")

    def run(self, *command, check=True):
        """Runs a command in the container as root, and returns its output."""
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            ["nsenter", "--target", str(self.leader), "--all", "--", *command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean, timeout=60,
        )
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def host_pid(self, pid):
        """Returns the host's process id of a process in the container."""
        namespace = os.stat(f"/proc/{self.leader}/ns/pid")
        for own, _ in processes():
            try:
                if not os.path.samestat(os.stat(f"/proc/{own}/ns/pid"), namespace):
                    continue
                status = Path(f"/proc/{own}/status").read_text()
            except OSError:
                continue
            names = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            if int(names.split()[-1]) == int(pid):
                return own
        raise Failed(f"there is no process {pid} in the container")

    def end(self):
        """Kills the container with all its processes, and removes the tree. A clean shutdown is not
        needed because the tree is removed."""
        if self.nspawn is not None and self.nspawn.poll() is None:
            self.nspawn.kill()
            self.nspawn.wait()
        if self.cgroup is not None:
            kill = self.cgroup / "cgroup.kill"
            if kill.exists():
                kill.write_text("1")
            for _ in range(100):
                for folder in sorted(self.cgroup.glob("**/"), reverse=True):
                    try:
                        folder.rmdir()
                    except OSError:
                        pass
                if not self.cgroup.exists():
                    break
                time.sleep(0.05)
        shutil.rmtree(self.tree, ignore_errors=True)


def name(pid):
    """Returns the name of a process, or an empty string if the process has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def processes():
    """Yields each process id with its parent's process id."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            yield int(entry.name), int(fields[1])
