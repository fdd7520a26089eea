"""A TCP proxy that simulates failures of networks and servers. It owns the connections between two
programs, and interprets nothing but the frames of a WebSocket."""

import asyncio
import random
import socket
import struct
from collections import deque
from dataclasses import dataclass
from typing import Callable, Optional

from vendor import frame

RESET = struct.pack("ii", 1, 0)


@dataclass
class Fault:
    """The faults of the proxy, until the test removes them."""

    # The effect on open connections: keep, reset, finish, freeze, or stop (the server's half ends).
    open: str = "keep"
    # The effect on new connections: pass, refuse, close, reset, silence, the bytes of a response,
    # or a function from a request to the bytes of a response. If the function returns `None`, the
    # request passes.
    new: object = "pass"
    # A function that replaces a frame from the server with other bytes.
    frames: Optional[Callable[[bytes], bytes]] = None
    # Latency and jitter are in seconds, the rate is in bytes a second.
    latency: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    # If true, each TCP segment carries one byte.
    dribble: bool = False


NONE = Fault()


def http(status, headers="", body=b""):
    """Returns an HTTP response that ends its connection."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


def below(path, answer):
    """Sends this response to requests below a path; other requests pass."""
    return lambda head: answer if head.split(b" ", 2)[1].startswith(path) else None


class Frames:
    """Splits the data of a server into its HTTP head and whole frames; other responses stay as they
    are."""

    def __init__(self):
        self.rest, self.upgraded = b"", None

    def feed(self, data):
        """Yields (bytes, true if the bytes are a frame)."""
        self.rest += data
        if self.upgraded is None:
            head, end, tail = self.rest.partition(b"\r\n\r\n")
            if not end:
                return
            self.upgraded = head.startswith(b"HTTP/1.1 101")
            yield head + end, False
            self.rest = tail
        if not self.upgraded:
            if self.rest:
                yield self.rest, False
            self.rest = b""
            return
        while (length := self.length()) and len(self.rest) >= length:
            yield self.rest[:length], True
            self.rest = self.rest[length:]

    def length(self):
        if len(self.rest) < 10:
            short = len(self.rest) >= 2 and self.rest[1] < 126
            return 2 + self.rest[1] if short else 0
        known = self.rest[1]
        if known == 126:
            return 4 + struct.unpack(">H", self.rest[2:4])[0]
        if known == 127:
            return 10 + struct.unpack(">Q", self.rest[2:10])[0]
        return 2 + known


class Proxy:
    """Listens on one port for its whole lifetime; `target` may change."""

    def __init__(self, target):
        self.target, self.fault = target, NONE
        self.pairs, self.held = set(), set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.server, self.address = None, ("127.0.0.1", 0)

    async def listen(self, host=None):
        address = (host or self.address[0], self.address[1])
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        self.address = listener.getsockname()
        self.server = await asyncio.start_server(self.serve, sock=listener)
        return self

    async def set(self, fault):
        self.fault = fault
        if fault.new == "refuse":
            await self.deaf()
        elif self.server is None:
            await self.listen()
        if fault.open == "freeze":
            self.flowing.clear()
        for pair in list(self.pairs):
            if fault.open in ("reset", "finish"):
                end(pair, fault.open)
            if fault.open == "stop":
                pair[0].write_eof()

    async def heal(self):
        await self.set(NONE)
        self.flowing.set()
        # Clients that still wait get a reset, as if their server had restarted.
        for writer in list(self.held):
            end((writer,), "reset")

    async def deaf(self):
        if self.server:
            self.server.close()
            self.server = None

    async def serve(self, reader, writer):
        kind = self.fault.new
        try:
            if kind == "pass":
                return await self.connect(reader, writer)
            if kind in ("close", "reset"):
                return end((writer,), "finish" if kind == "close" else "reset")
            self.held.add(writer)
            if kind != "silence":
                head = await reader.readuntil(b"\r\n\r\n")
                answer = kind(head) if callable(kind) else kind
                if answer is None:
                    self.held.discard(writer)
                    return await self.connect(reader, writer, head)
                writer.write(answer)
                await writer.drain()
                # The client closes after the response; otherwise this proxy closes after 2 s.
                await asyncio.wait_for(reader.read(), 2)
                return end((writer,), "finish")
            await reader.read()
            while await reader.read(1024):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            end((writer,), "finish")
        finally:
            self.held.discard(writer)

    async def connect(self, reader, writer, first=b""):
        try:
            far, there = await asyncio.open_connection(*self.target)
        except OSError:
            return end((writer,), "reset")
        pair = (writer, there)
        for each in pair:
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        there.write(first)
        self.pairs.add(pair)
        up = asyncio.create_task(self.pump(reader, there, None))
        down = asyncio.create_task(self.pump(far, writer, Frames()))
        kinds = await asyncio.gather(up, down, return_exceptions=True)
        self.pairs.discard(pair)
        reset = any(isinstance(kind, ConnectionResetError) for kind in kinds)
        end(pair, "reset" if reset else "finish")

    async def pump(self, reader, writer, frames):
        """Forwards data with the delay and in the pieces that the fault demands."""
        loop, queue, more = asyncio.get_running_loop(), deque(), asyncio.Event()

        async def take():
            due = 0.0
            try:
                while data := await reader.read(65_536):
                    late = self.fault.latency + random.uniform(0, self.fault.jitter)
                    # Data stays in order despite the jitter.
                    due = max(due, loop.time() + late)
                    queue.append((due, data))
                    more.set()
            finally:
                queue.append((due, b""))
                more.set()

        taking = asyncio.create_task(take())
        try:
            while True:
                while not queue:
                    more.clear()
                    await more.wait()
                due, data = queue.popleft()
                if not data:
                    break
                # After the end of the fault the data waits no longer.
                while due > loop.time() and self.fault.latency + self.fault.jitter:
                    await asyncio.sleep(min(0.05, due - loop.time()))
                await self.flowing.wait()
                for piece, whole in frames.feed(data) if frames else [(data, False)]:
                    if whole and self.fault.frames:
                        piece = self.fault.frames(piece)
                    await self.write(writer, piece)
            await taking
            # One direction has ended; the other one may continue.
            if not writer.is_closing():
                writer.write_eof()
        finally:
            taking.cancel()
            if taking.done() and not taking.cancelled() and taking.exception():
                end((writer,), "reset")

    async def write(self, writer, data):
        fault = self.fault
        if fault.dribble:
            size, pause = 1, 0.001
        elif fault.rate:
            size, pause = max(1, int(fault.rate / 20)), 0.05
        else:
            size, pause = len(data) or 1, 0
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)


def end(writers, how):
    """Ends connections: with a reset, or in the normal way."""
    for writer in writers:
        if how == "reset":
            plug = writer.get_extra_info("socket")
            if plug and plug.fileno() >= 0:
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        else:
            writer.close()


def instead(*junk):
    """Returns a function for `frames` that replaces each data frame with the next one of these."""
    turn = [0]

    def replace(piece):
        if piece[0] & 0x0F not in (1, 2):
            return piece
        turn[0] += 1
        return junk[turn[0] % len(junk)]

    return replace


def after(*junk):
    """Returns a function for `frames` that adds the next one of these after each data frame."""
    replaced = instead(*junk)
    return lambda piece: piece + (replaced(piece) if piece[0] & 0x0F in (1, 2) else b"")


def as_binary(piece):
    """Returns a text frame as a binary frame, as some relays forward it."""
    return bytes([piece[0] & 0xF0 | 2]) + piece[1:] if piece[0] & 0x0F == 1 else piece


TRUNCATED = frame(1, b"x" * 500)[:200]
HUGE = frame(1, b'[{"ev":"V","val":1.23,"T":"I:SPX","t":1}' + b" " * 2_000_000 + b"]")
