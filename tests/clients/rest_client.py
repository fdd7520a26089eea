"""The vendor's own Python client for REST, unmodified, against a hub: right answers for what the hub
claims, and a clear error for the rest.

Usage: TOKEN=… rest_client.py PACKAGE HOST:PORT      (PACKAGE: massive or polygon)
"""

import importlib
import os
import sys
import time

package, address = sys.argv[1:]
rest = importlib.import_module(package)
failure = importlib.import_module(f"{package}.exceptions").BadResponse
client = rest.RESTClient(os.environ["TOKEN"], base=f"http://{address}", retries=0)


def refused(words, call, *arguments, **named):
    try:
        answer = call(*arguments, **named)
        answer if isinstance(answer, list) else list(answer)
    except failure as error:
        assert words in str(error), f"{error} does not say {words}"
        return
    raise AssertionError(f"no error that says {words}")


# Twelve tickers are two pages of ten, the default of the vendor.
names = ["SPY", "QQQ", "AAPL", "MSFT", "NVDA", "BRK.B", "I:SPX", "I:VIX", "I:NDX", "I:DJI", "I:RUT"]
rows = {row.ticker: row for row in client.list_universal_snapshots(ticker_any_of=names + ["I:NOSUCH"])}
assert set(rows) == {*names, "I:NOSUCH"}, rows
# The older package has no field for the value of an index here.
assert rows["I:NOSUCH"].error == "NOT_FOUND" and getattr(rows["I:NOSUCH"], "value", None) is None
assert getattr(rows["I:SPX"], "value", 1001) > 1000 and rows["I:SPX"].session.previous_close > 1000
assert rows["SPY"].last_trade.price > 100 and rows["SPY"].type == "stocks"

indices = client.get_snapshot_indices(ticker_any_of=["I:SPX", "I:VIX", "SPY"])
assert [row.ticker for row in indices] == ["I:SPX", "I:VIX", "SPY"]
assert indices[1].value > 5 and indices[2].error == "NOT_FOUND"

now = int(time.time() * 1000)
minute = 60_000
span = ("SPY", 1, "minute", now - 120 * minute, now)
bars = client.get_aggs(*span)
starts = [bar.timestamp for bar in bars]
assert len(bars) >= 119 and starts == sorted(starts), starts
assert all(bar.low <= bar.vwap <= bar.high and bar.volume > 0 for bar in bars[:-1])
assert bars[0].transactions > 0
# The newest first, over several pages.
paged = [bar.timestamp for bar in client.list_aggs(*span, sort="desc", limit=50)]
assert paged == sorted(paged, reverse=True) and set(starts) <= set(paged), (len(paged), len(starts))

previous = client.get_previous_close_agg("SPY")
assert len(previous) == 1 and previous[0].close > 100 and previous[0].ticker == "SPY"
assert client.get_market_status().market == "open"
assert client.get_market_holidays()[0].status == "closed"

refused("only bars of one minute", client.get_aggs, "SPY", 5, "minute", now - minute, now)
refused("adjusted", client.get_aggs, *span, adjusted=False)
refused("future", client.get_aggs, "SPY", 1, "minute", now + 9000 * minute, now + 9001 * minute)
refused("31 days", client.get_aggs, "SPY", 1, "minute", "2010-01-04", "2010-01-04")
refused("type", client.list_universal_snapshots, type="stocks", ticker_any_of=names)
refused("nothing is served here", client.get_last_trade, "SPY")
refused("nothing is served here", client.list_tickers)
wrong = rest.RESTClient("wrong", base=f"http://{address}", retries=0)
refused("token", wrong.get_snapshot_indices, ticker_any_of=["I:SPX"])
print("as it should be", flush=True)
