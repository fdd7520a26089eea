// The vendor's own JavaScript client for REST, unmodified, against a hub: right answers for what the
// hub claims, and a clear error for the rest.
//
// Usage: TOKEN=… node rest_client.mjs PACKAGE HOST:PORT
// PACKAGE is @massive.com/client-js, or @polygon.io/client-js, whose functions take their parameters
// one by one. It stands beside the `node_modules` that the client is installed in.
import assert from "node:assert/strict";

const [name, address] = process.argv.slice(2);
const { restClient } = await import(name);
const isOld = name.startsWith("@polygon.io");
const rest = restClient(process.env.TOKEN, `http://${address}`, { pagination: true });

const snapshots = (tickerAnyOf, more = {}) => isOld
  ? rest.getSnapshots(undefined, more.type, undefined, undefined, undefined, undefined, tickerAnyOf)
  : rest.getSnapshots({ tickerAnyOf, ...more });
const aggregates = (multiplier, from, to, sort, limit) => isOld
  ? rest.getStocksAggregates("SPY", multiplier, "minute", from, to, true, sort, limit)
  : rest.getStocksAggregates({ stocksTicker: "SPY", multiplier, timespan: "minute", from, to, adjusted: true, sort, limit });
const previous = (ticker) => isOld
  ? rest.getPreviousIndicesAggregates(ticker)
  : rest.getPreviousIndicesAggregates({ indicesTicker: ticker });
const indices = (tickerAnyOf) => isOld
  ? rest.getIndicesSnapshot(tickerAnyOf)
  : rest.getIndicesSnapshot({ tickerAnyOf });

async function refused(words, asked) {
  const error = await asked.then(() => assert.fail(`no error that says ${words}`), (error) => error);
  assert.ok(error.response, String(error));
  assert.match(JSON.stringify(error.response.data), new RegExp(words));
}

const names = ["SPY", "QQQ", "AAPL", "MSFT", "NVDA", "BRK.B", "I:SPX", "I:VIX", "I:NDX", "I:DJI", "I:RUT", "I:NOSUCH"];
const rows = new Map((await snapshots(names.join(","))).results.map((row) => [row.ticker, row]));
assert.deepEqual([...rows.keys()].sort(), [...names].sort());
assert.equal(rows.get("I:NOSUCH").error, "NOT_FOUND");
assert.ok(rows.get("I:SPX").value > 1000 && rows.get("SPY").last_trade.price > 100);
for (const row of rows.values()) {
  assert.ok(row.age >= 0 && row.simulated === true && row.stale === false && row.delayed === false);
}
assert.ok((await indices("I:SPX,I:VIX")).results[1].value > 5);

const now = Date.now();
const bars = await aggregates(1, String(now - 120 * 60_000), String(now), "asc", 5000);
assert.ok(bars.results.length >= 119 && bars.status === "OK" && bars.adjusted === true);
assert.ok(bars.results.every((bar, at) => at === 0 || bar.t > bars.results[at - 1].t));
const paged = await aggregates(1, String(now - 120 * 60_000), String(now), "desc", 50);
assert.ok(paged.results.length >= 119, String(paged.results.length));
assert.ok((await previous("I:SPX")).results[0].c > 1000);
assert.equal((await rest.getMarketStatus()).market, "open");
assert.equal((await rest.getMarketHolidays())[0].status, "closed");

await refused("only bars of one minute", aggregates(5, String(now - 60_000), String(now)));
await refused("31 days", aggregates(1, "2010-01-04", "2010-01-04"));
await refused("type", snapshots("SPY", { type: "stocks" }));
await refused("nothing is served here", isOld ? rest.getLastStocksTrade("SPY") : rest.getLastStocksTrade({ stocksTicker: "SPY" }));
console.log("as it should be");
