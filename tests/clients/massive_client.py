"""The vendor's own Python client, unmodified, writing down what it is told.

Usage: TOKEN=… massive_client.py HOST:PORT[/ws]
"""

import os
import sys

from massive import WebSocketClient
from massive.websocket.models import Market


def told(messages):
    for message in messages:
        print("value", message.ticker, message.value, flush=True)


client = WebSocketClient(
    api_key=os.environ["TOKEN"],
    feed=sys.argv[1],
    market=Market.Indices,
    secure=False,
    # Statuses are not handed on; its log has them, `upstream_down` among them.
    verbose=True,
    subscriptions=["V.I:SPX", "V.I:VIX"],
)
client.run(told)
print("ended", flush=True)
