"""What a program's memory consists of, by /proc/PID/status and /proc/PID/smaps (proc(5)).

Two parts are told apart. What the program decides: its own, anonymous memory (heap, stacks, what it has
changed of its files). What it does not: how much of its program file and libraries is in memory, which
the kernel reads ahead and maps as it sees fit; that ends at the size of these files.
"""

import re

MIB = 1024 * 1024
LIMIT = 8 * MIB
# `TasksMax=` of systemd/deskticker.service; with one more, the program would get no thread.
TASKS = 32

MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ (\S{4}) \S+ \S+ \S+ *(.*)")


class Memory:
    """Read off the lines of both files, one after the other; all sizes in bytes."""

    def __init__(self, lines):
        self.peak = self.threads = self.own = self.files = self.huge = 0
        self.unhuge = False
        mapped = False
        for line in lines:
            mapping = MAPPING.fullmatch(line)
            if mapping:
                mode, path = mapping.groups()
                # The gaps within a library are never in memory.
                mapped = path.startswith("/") and mode[0] == "r"
                continue
            name, _, rest = line.partition(":")
            value = rest.split()[0] if rest.split() else ""
            if name == "VmHWM":
                self.peak = 1024 * int(value)
            elif name == "Threads":
                self.threads = int(value)
            elif name == "THP_enabled":
                self.unhuge = value == "0"
            elif name == "Size":
                size = 1024 * int(value)
                self.files += size if mapped else 0
            elif name == "Anonymous":
                self.own += 1024 * int(value)
                # A page of a file that the program has changed is its own, and no longer the file's.
                self.files -= 1024 * int(value) if mapped else 0
            elif name == "AnonHugePages":
                self.huge += 1024 * int(value)

    @property
    def most(self):
        """What it takes with all of its files in memory: no kernel and no host makes it more."""
        return self.own + self.files

    def judge(self):
        """What is wrong with it, or nothing."""
        if not (self.peak and self.own and self.files and self.threads):
            return f"unreadable: {vars(self)}"
        if self.peak > LIMIT:
            return f"{self.peak} bytes at most"
        if self.most > LIMIT:
            return f"{self.own} bytes of its own and {self.files} of its files"
        # By chance a stack lies on the boundary of a huge page, or not: a run without one proves nothing,
        # so it is also asked whether there can be one.
        if self.huge or not self.unhuge:
            return f"{self.huge} bytes of huge pages; the kernel may give it some: {not self.unhuge}"
        if self.threads > TASKS:
            return f"{self.threads} threads"
        return None

    def __str__(self):
        return (
            f"{self.peak / MIB:.2f} MiB at most; {self.own / MIB:.2f} of its own, {self.most / MIB:.2f} "
            f"with all of its files; {self.threads} threads"
        )
