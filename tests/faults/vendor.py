"""A vendor for the test, with the vendor's protocol and REST (`massive-protocol`). Clients treat
its prices as real. It stores the creation time of each value for the judge.

SPX rises by a cent a second and VIX by a cent every 15 s, so that each value identifies its
creation time.
"""

import asyncio
import base64
import hashlib
import json
import struct
import time
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

KEY = "the-vendors-key"
SPX, VIX = "I:SPX", "I:VIX"
# For each ticker: the first value in cents, the close of the previous day in cents, and the seconds
# between two values.
MARKET = {SPX: (600_000, 598_000, 1.0), VIX: (1_700, 1_765, 15.0)}
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode, payload, final=True):
    """Returns a WebSocket frame of a server."""
    head = bytes([opcode | (0x80 if final else 0)])
    if len(payload) < 126:
        head += bytes([len(payload)])
    elif len(payload) < 65_536:
        head += b"\x7e" + struct.pack(">H", len(payload))
    else:
        head += b"\x7f" + struct.pack(">Q", len(payload))
    return head + payload


async def read_frame(reader):
    """Returns opcode and payload of the next frame of a client."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 0x80 else bytes(4)
    payload = await reader.readexactly(length)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


async def read_head(reader):
    """Returns method, target and headers of a request, or `None` at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, target, _ = head[0].split(" ", 2)
    headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    return method, target, {name.lower(): value for name, value in headers.items()}


class Vendor:
    """The vendor; its market runs from `start` on. `wall` is the right time in seconds since 1970.
    """

    def __init__(self, wall):
        self.wall = wall
        self.values = {ticker: row[0] for ticker, row in MARKET.items()}
        # The creation time of each value in cents, on the monotonic clock.
        self.made = {ticker: {} for ticker in MARKET}
        self.stamps = dict.fromkeys(MARKET, 0)
        # `frozen` holds the tickers without new values, `unstreamed` the tickers that have new
        # values but are not streamed.
        self.frozen, self.unstreamed = set(), set()
        self.connections = {}
        self.authenticated = asyncio.Event()

    async def start(self):
        self.tasks = [asyncio.create_task(self.trade(ticker)) for ticker in MARKET]
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = server.sockets[0].getsockname()
        return self

    async def trade(self, ticker):
        interval, due = MARKET[ticker][2], time.monotonic()
        self.step(ticker)
        while True:
            due += interval
            await asyncio.sleep(due - time.monotonic())
            if ticker not in self.frozen:
                self.step(ticker)

    def step(self, ticker):
        self.values[ticker] += 1
        value, now = self.values[ticker], time.monotonic()
        self.made[ticker][value] = now
        self.stamps[ticker] = int(self.wall() * 1000)
        if ticker in self.unstreamed:
            return
        event = {"ev": "V", "val": value / 100, "T": ticker, "t": self.stamps[ticker]}
        text = frame(1, json.dumps([event]).encode())
        for writer, channels in self.connections.items():
            if f"V.{ticker}" in channels and not writer.is_closing():
                writer.write(text)

    async def serve(self, reader, writer):
        try:
            while request := await read_head(reader):
                _, target, headers = request
                if "sec-websocket-key" in headers:
                    await self.stream(reader, writer, headers)
                    break
                self.answer(writer, target, headers)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections.pop(writer, None)
            writer.close()

    def answer(self, writer, target, headers):
        parts = urlsplit(target)
        status, body = 200, {}
        if headers.get("authorization") != f"Bearer {KEY}":
            status = 401
        elif parts.path == "/v3/snapshot":
            asked = parse_qs(parts.query)["ticker.any_of"][0].split(",")
            body = {"status": "OK", "results": [self.row(ticker) for ticker in asked]}
        elif parts.path == "/v1/marketstatus/now":
            groups = ["s_and_p", "cgi", "nasdaq", "dow_jones"]
            body = {"market": "open", "serverTime": time.strftime("%FT%TZ", time.gmtime(self.wall())),
                    "exchanges": {"nyse": "open"}, "indicesGroups": dict.fromkeys(groups, "open")}
        elif parts.path.startswith("/v2/aggs/"):
            body = {"status": "OK", "adjusted": True, "queryCount": 0, "resultsCount": 0, "results": []}
        else:
            status = 404
        text = json.dumps(body).encode()
        date = formatdate(self.wall(), usegmt=True)
        writer.write(f"HTTP/1.1 {status} X\r\nDate: {date}\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(text)}\r\n\r\n".encode() + text)

    def row(self, ticker):
        if ticker not in MARKET:
            return {"ticker": ticker, "error": "NOT_FOUND", "message": "Ticker not found."}
        first, close, _ = MARKET[ticker]
        value, close = self.values[ticker] / 100, close / 100
        return {
            "ticker": ticker, "type": "indices", "value": value, "market_status": "regular_trading",
            "timeframe": "REAL-TIME", "last_updated": self.stamps[ticker] * 1_000_000,
            "session": {"change": value - close, "change_percent": (value / close - 1) * 100,
                        "open": first / 100, "close": value, "high": value, "low": first / 100,
                        "previous_close": close},
        }

    async def stream(self, reader, writer, headers):
        key = headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        date = formatdate(self.wall(), usegmt=True)
        writer.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Date: {date}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())

        def tell(*events):
            rows = [{"ev": "status", "status": status, "message": text} for status, text in events]
            writer.write(frame(1, json.dumps(rows).encode()))

        tell(("connected", "Connected Successfully"))
        while True:
            opcode, payload = await read_frame(reader)
            if opcode == 8:
                writer.write(frame(8, payload))
                return
            if opcode == 9:
                writer.write(frame(10, payload))
            if opcode != 1:
                continue
            request = json.loads(payload)
            names = [name.strip() for name in request.get("params", "").split(",")]
            if request["action"] == "auth":
                if names != [KEY]:
                    return tell(("auth_failed", "authentication failed"))
                tell(("auth_success", "authenticated"))
                self.connections[writer] = set()
                self.authenticated.set()
            elif request["action"] == "subscribe":
                self.connections[writer].update(names)
                tell(*(("success", f"subscribed to: {name}") for name in names))
            elif request["action"] == "unsubscribe":
                self.connections[writer].difference_update(names)
                tell(*(("success", f"unsubscribed to: {name}") for name in names))
