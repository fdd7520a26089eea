// The web page of a display in Chromium; see the script `run`. The decoder of the picture is the
// browser's own, so the judge of the mirror shares no code with the program.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import http from "node:http";
import { chromium } from "playwright-core";

const [binaries, home] = process.argv.slice(2);
const folder = fs.mkdtempSync(path.join(home, "run-"));
const children = [];
let passed = 0;

function start(program, args, word) {
  const child = spawn(path.join(binaries, program), args, { cwd: folder, env: { PATH: process.env.PATH } });
  children.push(child);
  return new Promise((resolve, reject) => {
    let text = "";
    const take = (data) => {
      text += data;
      const found = text.match(word);
      if (found) resolve({ child, found: found[1], text });
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("exit", (code) => reject(new Error(`${program} ended with ${code}: ${text}`)));
  });
}

async function until(what, limit = 10_000) {
  const end = Date.now() + limit;
  for (;;) {
    if (await what()) return;
    assert(Date.now() < end, `not within ${limit} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

async function check(name, what) {
  await what();
  passed += 1;
  console.log(`ok   ${name}`);
}

const alarm = (page) => page.locator("#alarm").textContent();
const isLive = async (page) => (await alarm(page)) === "" && !(await page.locator("#screen").getAttribute("class")).includes("old");

try {
  const hub = await start("deskticker-hub", ["--simulate", "--listen", "127.0.0.1:0"], /listening on 127\.0\.0\.1:(\d+)[^]*The token: (?:\S+)\n/);
  fs.writeFileSync(path.join(folder, "token"), hub.text.match(/The token: (\S+)/)[1], { mode: 0o600 });
  fs.writeFileSync(path.join(folder, "desk.toml"), `watchlist = ["SPX", "VIX", "SPY"]
[hub]
url = "ws://127.0.0.1:${hub.found}"
token_file = "token"
[pages]
show = ["SPX VIX"]
[panel]
kind = "png"
file = "screen.png"
[page]
listen = "127.0.0.1:0"
hosts = ["ticker.lan"]
`);
  const display = await start("deskticker", ["--config", "desk.toml"], /http:\/\/127\.0\.0\.1:(\d+)\//);
  const port = display.found;
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--host-resolver-rules=MAP ticker.lan 127.0.0.1, MAP evil.lan 127.0.0.1"],
  });
  // The policy of the page forbids the scripts of this test.
  const context = await browser.newContext({ bypassCSP: false });
  const errors = [];
  const open = async (host, options = {}) => {
    const page = await (options.context ?? context).newPage();
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(`http://${host}:${port}/`);
    await until(() => isLive(page));
    return page;
  };
  const page = await open("ticker.lan");

  await check("the page is live at a name of the LAN, with all its prices", async () => {
    await until(async () => (await page.locator("#values tr.live").count()) === 3);
    // The change needs the previous close, which comes by REST.
    const whole = /SPX\s+[\d,]+\.\d\d\s+[▲▼]?\s*[+−]?[\d.]+\s%\s+live, demo/u;
    await until(async () => whole.test(await page.locator("#values").innerText()));
    assert.match(await page.locator("#words").textContent(), /SPX .*connection: live/);
  });

  await check("the mirror has the same dots as /screen.png, through many ticks", async () => {
    for (let round = 0; round < 10; round++) {
      const same = () => page.evaluate(async () => {
        const canvas = document.getElementById("glass");
        const { width, height } = canvas;
        const read = (source) => {
          const copy = document.createElement("canvas");
          copy.width = width;
          copy.height = height;
          const context = copy.getContext("2d");
          context.imageSmoothingEnabled = false;
          context.drawImage(source, 0, 0, width, height);
          const { data } = context.getImageData(0, 0, width, height);
          return Array.from({ length: width * height }, (_, i) => (data[i * 4] > 100 ? "1" : "0")).join("");
        };
        const before = read(canvas);
        const answer = await fetch("/screen.png");
        const picture = await createImageBitmap(await answer.blob());
        const after = read(canvas);
        // A tick in between changes the mirror.
        return before === after && before.includes("1") ? before === read(picture) : null;
      });
      let result = null;
      await until(async () => (result = await same()) !== null);
      assert.equal(result, true);
      await page.waitForTimeout(150);
    }
  });

  await check("a value is on the page within 50 ms of its way through the display", async () => {
    // The page asks over the mirror's own socket and measures the way there and back.
    const times = await page.evaluate(() => new Promise((resolve) => {
      const socket = new WebSocket("ws://" + location.host + "/api/glass"), times = [];
      let sent;
      socket.binaryType = "arraybuffer";
      const ask = () => { sent = performance.now(); socket.send(new Uint8Array([0, 0, 0, 1])); };
      socket.onopen = ask;
      socket.onmessage = ({ data }) => {
        if (new Uint8Array(data)[0] !== 2) return;
        times.push(performance.now() - sent);
        if (times.length < 50) setTimeout(ask, 20);
        else { socket.close(); resolve(times.sort((a, b) => a - b)); }
      };
    }));
    console.log(`     there and back: median ${times[25].toFixed(1)} ms, worst ${times[49].toFixed(1)} ms`);
    assert(times[25] < 10 && times[47] < 50, String(times));
  });

  await check("a display that hangs is named within 5 s, and the page comes back by itself", async () => {
    display.child.kill("SIGSTOP");
    await until(async () => !(await isLive(page)), 5_500);
    await until(async () => (await page.locator("#values tr.live").count()) === 0, 500);
    assert.match(await page.locator("#words").textContent(), /Not live/);
    assert.match(await page.locator("#link").textContent(), /no contact for/);
    await page.screenshot({ path: path.join(home, "no-contact.png") });
    display.child.kill("SIGCONT");
    await until(() => isLive(page));
    await until(async () => (await page.locator("#values tr.live").count()) === 3);
  });

  await check("a tab that slept for an hour shows nothing as live before it has asked again", async () => {
    // A context has one clock for all its pages.
    const other = await browser.newContext();
    await other.clock.install();
    const sleeper = await open("ticker.lan", { context: other });
    display.child.kill("SIGSTOP");
    // The messages that came before the sleep stay unread or are old.
    await other.clock.fastForward(3_600_000);
    assert.equal(await isLive(sleeper), false);
    assert.equal(await sleeper.locator("#values tr.live").count(), 0);
    display.child.kill("SIGCONT");
    await until(async () => { await other.clock.runFor(1_000); return isLive(sleeper); });
    await other.close();
  });

  await check("a hub that is gone makes the prices stale on the page as on the glass", async () => {
    hub.child.removeAllListeners("exit");
    hub.child.kill("SIGSTOP");
    await until(async () => (await page.locator("#values tr.stale").count()) >= 1, 30_000);
    assert.equal(await page.locator("#values tr.stale td:nth-child(3)").first().textContent(), "");
// The row and the words change together.
    const untrue = () => page.evaluate(() => document.querySelector("#values tr.stale") !== null
      && /SPX [\d,.]+( [+-][\d.]+%)?, live/.test(document.getElementById("words").textContent)
      && document.querySelector("#values tr").className === "stale");
    assert.equal(await untrue(), false);
    await until(async () => /struck out/.test(await page.locator("#words").textContent()));
    await page.screenshot({ path: path.join(home, "stale.png") });
    hub.child.kill("SIGCONT");
    await until(async () => (await page.locator("#values tr.live").count()) === 3, 30_000);
  });

  await check("another name of the machine and a page of another site get nothing", async () => {
    const stranger = await context.newPage();
    const answer = await stranger.goto(`http://evil.lan:${port}/`);
    assert.equal(answer.status(), 403);
    assert.match(await stranger.textContent("body"), /\[page\] hosts/);
    // This page has another origin than the display.
    const server = http.createServer((_, response) => response.end("<title>x</title>"));
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    await stranger.goto(`http://localhost:${server.address().port}/`);
    const tried = await stranger.evaluate(async (base) => {
      const tries = [];
      for (const path of ["/api/values", "/screen.png", "/metrics"])
        tries.push(await fetch(base + path).then(() => "read", () => "refused"));
      tries.push(await fetch(base + "/api/values", { method: "POST", mode: "no-cors", body: "a=b" }).then((r) => r.type, () => "refused"));
      tries.push(await new Promise((resolve) => {
        const socket = new WebSocket(base.replace("http", "ws") + "/api/glass");
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
      }));
      tries.push(await new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve("read");
        image.onerror = () => resolve("refused");
        image.src = base + "/screen.png";
      }));
      return tries;
    }, `http://127.0.0.1:${port}`);
    server.close();
    for (const result of tried) assert.notEqual(result, "read", String(tried));
    assert.equal(tried[4], "refused");
    await stranger.close();
  });

  await check("all files of the page together have at most 25 kB, and gzip suffices", async () => {
    let sum = 0;
    for (const file of ["/", "/page.js", "/page.css", "/icon.svg", "/page.webmanifest"]) {
      const body = await new Promise((resolve, reject) => http.get(
        { host: "127.0.0.1", port, path: file, headers: { "Accept-Encoding": "gzip, deflate" } },
        (answer) => { const parts = []; answer.on("data", (part) => parts.push(part)).on("end", () => resolve(Buffer.concat(parts))); },
      ).on("error", reject));
      assert(gunzipSync(body).length > 0);
      sum += body.length;
    }
    console.log(`     ${sum} bytes`);
    assert(sum <= 25_000);
  });

  await check("no rule of axe is broken, in light and in dark", async () => {
    const source = fs.readFileSync(path.join(home, "node_modules/axe-core/axe.min.js"), "utf8");
    for (const colorScheme of ["light", "dark"]) {
      const other = await browser.newContext({ bypassCSP: true, colorScheme });
      const page = await open("ticker.lan", { context: other });
      await until(async () => (await page.locator("#values tr").count()) === 3);
      await page.evaluate(source);
      const result = await page.evaluate(() => axe.run());
      assert.deepEqual(result.violations.map((rule) => `${rule.id}: ${rule.nodes[0].html}`), []);
      await page.screenshot({ path: path.join(home, `${colorScheme}.png`), fullPage: true });
      await other.close();
    }
  });

  await check("nothing is cut off from 320 to 3,840 pixels", async () => {
    for (const width of [320, 390, 768, 1280, 1920, 3840]) {
      await page.setViewportSize({ width, height: 900 });
      const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert(content <= window, `${content} in ${window}`);
      await page.screenshot({ path: path.join(home, `width-${width}.png`) });
    }
  });

  const known = errors.filter((text) => !/ERR_CONNECTION|WebSocket connection|Failed to load resource/.test(text));
  await check("the browser reports no error", async () => assert.deepEqual(known, []));
  await browser.close();
  console.log(`tests/browser: ${passed} checks passed`);
} finally {
  for (const child of children) {
    child.removeAllListeners("exit");
    child.kill("SIGKILL");
  }
  fs.rmSync(folder, { recursive: true, force: true });
}
