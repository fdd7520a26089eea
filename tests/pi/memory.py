"""Reads the memory use of a program from /proc/PID/status and /proc/PID/smaps (proc(5)).

The memory has two parts. The program controls its own, anonymous memory: heap, stacks, and changed
pages of its files. The kernel controls how much of the program file and its libraries is in memory,
because it reads ahead and maps as it decides; the size of these files is the limit of this part.
"""

import re

MIB = 1024 * 1024
# The program file may have 5 MiB (tests/pi/build), the libraries have less than 2, and the memory of
# the program itself is below 2.
LIMIT = 9 * MIB
# The most that was really in memory.
PEAK = 8 * MIB
# `TasksMax=` of systemd/deskticker.service: the program cannot start more threads than this.
TASKS = 32

MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ (\S{4}) \S+ \S+ \S+ *(.*)")


class Memory:
    """The memory use from the lines of both files, one file after the other; all sizes are in
    bytes."""

    def __init__(self, lines):
        self.peak = self.threads = self.own = self.files = self.huge = 0
        self.unhuge = False
        mapped = False
        for line in lines:
            mapping = MAPPING.fullmatch(line)
            if mapping:
                mode, path = mapping.groups()
                # The gaps within a library are not readable and never in memory.
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
                # A file page that the program has changed counts as the program's own memory, and
                # no longer as file memory.
                self.files -= 1024 * int(value) if mapped else 0
            elif name == "AnonHugePages":
                self.huge += 1024 * int(value)

    @property
    def most(self):
        """Returns the memory use with all files completely in memory: no kernel and no host can
        exceed it."""
        return self.own + self.files

    def judge(self):
        """Returns a description of the first exceeded limit, or None."""
        if not (self.peak and self.own and self.files and self.threads):
            return f"unreadable: {vars(self)}"
        if self.peak > PEAK:
            return f"{self.peak} bytes at most"
        if self.most > LIMIT:
            return f"{self.own} bytes of its own and {self.files} of its files"
        # A stack lies on the boundary of a huge page only by chance, so a run without huge pages
        # proves nothing. The check therefore also demands that the kernel may give the program
        # none.
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
