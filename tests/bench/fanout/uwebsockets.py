# A fan-out with uWebSockets (C++), through its Python package `socketify`. The benchmark compares the
# hub with this server. uWebSockets selects the clients by topic, and a client that reads too slowly
# misses messages. Only its own event loop runs: the loop of asyncio beside it would add delays.
import json
import socket
import sys
import threading
import time

from socketify import App, AppListenOptions, CompressOptions, OpCode

app = App()
loop = app.loop.uv_loop
plans = []
state = {}


def message(ws, text, opcode):
    names = json.loads(text)["params"].split(",")
    for name in names:
        ws.subscribe(name)
    acks = [{"ev": "status", "status": "success", "message": f"subscribed to: {name}"} for name in names]
    ws.send(json.dumps(acks, separators=(",", ":")), OpCode.TEXT)


def publish(number, channels):
    ticker = f"I:C{number % channels}"
    value = 5000 + (number % 100) / 4
    stamp = time.time_ns() // 1000
    event = f'[{{"ev":"V","val":{value},"T":"{ticker}","n":{number},"t":{stamp}}}]'
    app.publish(f"V.{ticker}", event, OpCode.TEXT)


def tick(_):
    if plans:
        state["plan"] = plans.pop()
        state["start"] = time.monotonic()
        state["number"] = 0
    if "plan" not in state:
        return
    channels, period, total = state["plan"]
    while state["number"] < total and state["start"] + state["number"] * period / 1e6 <= time.monotonic():
        publish(state["number"], channels)
        state["number"] += 1
    if state["number"] == total:
        del state["plan"]
        print("done", flush=True)


def read_plans():
    for line in sys.stdin:
        plans.append([int(word) for word in line.split()[1:]])


app.ws("/*", {
    "compression": CompressOptions.DISABLED,
    "max_backpressure": 1 << 20,
    "idle_timeout": 0,
    "message": message,
})
# The package does not report the port that the kernel chooses, so the port is chosen before.
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
app.listen(AppListenOptions(port=port, host="127.0.0.1"), lambda _: print(f"port {port}", flush=True))
timer = loop.create_timer(0, 1, tick, None)
threading.Thread(target=read_plans, daemon=True).start()
loop.run()
