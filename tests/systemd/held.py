"""Stops one thread of a process while its other threads run."""

import ctypes
import os
import time
from pathlib import Path

from machine import Failed

# <linux/ptrace.h>
SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) == -1:
        error = ctypes.get_errno()
        raise Failed(f"ptrace {request:#x} of {thread}: {os.strerror(error)}")


def states(pid):
    """Returns the state of each thread by its id: R and S are alive, t is stopped."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(task.name)] = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
    return found


class MainThread:
    """The main thread of a process; it is stopped until the process ends or the block is left."""

    def __init__(self, pid):
        self.pid = pid
        self.ended = False

    def __enter__(self):
        ptrace(SEIZE, self.pid)
        ptrace(INTERRUPT, self.pid)
        os.waitpid(self.pid, WALL)
        return self

    def wait_for_end(self, seconds):
        """Waits until the process has been killed. As its tracer, this test gets the exit status
        before the parent process."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG | WALL)
            if pid and (os.WIFSIGNALED(status) or os.WIFEXITED(status)):
                self.ended = True
                return status
            time.sleep(0.02)
        raise Failed(f"nobody has ended {self.pid}, which hangs, within {seconds} s")

    def __exit__(self, *_):
        if not self.ended:
            try:
                ptrace(DETACH, self.pid)
            except Failed:
                pass
