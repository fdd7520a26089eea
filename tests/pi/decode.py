"""Decodes the picture of an SSD1306 from the bytes on its bus. This module follows the data sheet
and does not know the program.

An unknown command is an error, because the real chip would execute it. Data that the chip would
understand differently is an error, too: a command cut off by the end of its message, data outside a
window, or a mode that does not fit the panel.
"""

import re

WIDTH, PAGES = 128, 8

# Commands that do not change the target of data: the first byte, and the number of bytes after it.
PLAIN = {
    0x2E: 0,  # scrolling off
    0x81: 1,  # contrast
    0x8D: 1,  # charge pump
    0xA4: 0,  # shows the content of the memory
    0xA6: 0,  # a lit dot is 1
    0xD5: 1,  # clock
    0xD9: 1,  # pre-charge
    0xDA: 1,  # COM pins
    0xDB: 1,  # VCOMH
    0xE3: 0,  # no operation
}
# Commands that this decoder executes.
KNOWN = {0x20: 1, 0x21: 2, 0x22: 2, 0xA0: 0, 0xA1: 0, 0xA8: 1, 0xC0: 0, 0xC8: 0, 0xD3: 1}
KNOWN |= {0xAE: 0, 0xAF: 0} | {0x40 + line: 0 for line in range(64)} | PLAIN


class Glass:
    """One panel. Its memory has an arbitrary content until the program writes it."""

    def __init__(self):
        self.memory = [[0xA5] * WIDTH for _ in range(PAGES)]
        self.columns, self.pages = (0, WIDTH - 1), (0, PAGES - 1)
        self.column = self.page = 0
        self.on = False
        self.addressing = self.multiplex = self.offset = self.line = None
        self.segments = self.commons = self.pump = self.pins = self.contrast = None
        self.pending = []
        self.commands, self.bytes = 0, 0

    def message(self, payload):
        """Handles one I2C message without its address (data sheet, 8.1.5.2)."""
        at = 0
        while at < len(payload):
            control = payload[at]
            if control & 0x3F:
                raise ValueError(f"{control:#04x} is no control byte")
            more, data = control & 0x80, control & 0x40
            if at + 1 == len(payload):
                raise ValueError("a control byte at the end of a message")
            body = payload[at + 1 : at + 2] if more else payload[at + 1 :]
            for byte in body:
                self.data(byte) if data else self.command(byte)
            at += 1 + len(body)
        if self.pending:
            raise ValueError(f"command {self.pending} is cut off by the end of its message")

    def command(self, byte):
        self.pending.append(byte)
        first = self.pending[0]
        if first not in KNOWN:
            raise ValueError(f"{first:#04x} is no command")
        if len(self.pending) <= KNOWN[first]:
            return
        arguments, self.pending = self.pending[1:], []
        self.commands += 1
        self.obey(first, arguments)

    def obey(self, first, arguments):
        if first == 0x20:
            self.addressing = arguments[0]
        elif first in (0x21, 0x22):
            start, end = arguments
            if not start <= end < (WIDTH if first == 0x21 else PAGES):
                raise ValueError(f"{first:#04x} {start} {end} is no window")
            if first == 0x21:
                self.columns, self.column = (start, end), start
            else:
                self.pages, self.page = (start, end), start
        elif first in (0xA0, 0xA1):
            self.segments = first & 1
        elif first in (0xC0, 0xC8):
            self.commons = first >> 3 & 1
        elif first == 0xA8:
            self.multiplex = arguments[0]
        elif first == 0xD3:
            self.offset = arguments[0]
        elif 0x40 <= first < 0x80:
            self.line = first - 0x40
        elif first in (0xAE, 0xAF):
            self.on = first == 0xAF
        elif first == 0x8D:
            self.pump = arguments[0]
        elif first == 0xDA:
            self.pins = arguments[0]
        elif first == 0x81:
            self.contrast = arguments[0]

    def data(self, byte):
        if self.pending:
            raise ValueError(f"data within the command {self.pending}")
        if self.addressing != 0:
            raise ValueError("data while not in horizontal addressing")
        self.memory[self.page][self.column] = byte
        self.bytes += 1
        self.column += 1
        if self.column > self.columns[1]:
            self.column = self.columns[0]
            self.page = self.page + 1 if self.page < self.pages[1] else self.pages[0]

    def dots(self):
        """Returns the visible dots as rows of 0 and 1, or None while the panel is off."""
        if not self.on:
            return None
        expected = {"multiplex": 63, "offset": 0, "line": 0, "pump": 0x14, "pins": 0x12}
        for name, value in expected.items():
            if getattr(self, name) != value:
                raise ValueError(f"on with {name} {getattr(self, name)}, not {value}")
        # Makers mount the panel upside down: the picture is upright if both directions are
        # reversed.
        if (self.segments, self.commons) != (1, 1):
            raise ValueError("on, and not upright")
        return tuple(
            tuple(self.memory[y // 8][x] >> (y % 8) & 1 for x in range(WIDTH))
            for y in range(8 * PAGES)
        )

    def is_clear(self):
        return not any(any(page) for page in self.memory)


LINE = re.compile(
    r"\d+@(?P<time>\d+\.\d+):i2c_(?:event (?P<event>\w+)|send send)"
    r"\(addr:(?P<address>0x[0-9a-f]+)\)(?: data:(?P<data>0x[0-9a-f]+))?"
)


class Bus:
    """Collects the messages to one address from QEMU's trace of the bus."""

    def __init__(self, address):
        self.address = address
        self.payload = None

    def messages(self, lines):
        """Yields the time and the bytes of each message that ends in these lines."""
        for text in lines:
            line = LINE.match(text)
            if not line or int(line["address"], 16) != self.address:
                continue
            if line["data"]:
                if self.payload is None:
                    raise ValueError("a byte outside a message")
                self.payload.append(int(line["data"], 16))
            elif line["event"].startswith("start"):
                self.payload = []
            elif line["event"] == "finish":
                payload, self.payload = self.payload, None
                if payload:
                    yield float(line["time"]), bytes(payload)
