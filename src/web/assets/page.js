"use strict";
// The page of a display. A price counts as live only for the time that the display has promised in
// its answer to a question. The time counts from the question, by two clocks of this machine: one
// that stands still while the machine sleeps, and one that does not.
const $ = (id) => document.getElementById(id);
const now = () => ({ steady: performance.now(), wall: Date.now() });
// Without an answer for this time in milliseconds, nothing on the page counts as live.
const CONTACT = 5000;
// The display draws a new picture just after the old one has ended.
const REDRAW = 250;
const since = (then) => Math.max(performance.now() - then.steady, Date.now() - then.wall);

// ---- The glass
const NEVER = { steady: -1e12, wall: 0 };
let dots = new Uint8Array(1024);
let promise = { at: NEVER, for: 0 };
let asked = new Map();
let number = 0;
let socket = null;
let retry = 500;

function draw() {
  const canvas = $("glass"), height = dots.length / 16;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(128, height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < 128; x++) {
      const lit = dots[(y >> 3) * 128 + x] >> (y & 7) & 1, at = (y * 128 + x) * 4;
      image.data[at] = lit ? 223 : 0;
      image.data[at + 1] = lit ? 243 : 0;
      image.data[at + 2] = lit ? 255 : 0;
      image.data[at + 3] = 255;
    }
  context.putImageData(image, 0, 0);
}

function take(bytes) {
  const kind = bytes[0], state = kind === 0 ? 2 : 1;
  const lit = bytes[state], valid = bytes[state + 1] | bytes[state + 2] << 8;
  let at = state + 3;
  $("screen").classList.toggle("off", lit === 0);
  if (kind === 2) {
    const answered = new DataView(bytes.buffer, at).getUint32(0);
    if (asked.has(answered)) promise = { at: asked.get(answered), for: valid };
    for (const known of asked.keys()) if (known <= answered) asked.delete(known);
    return;
  }
  if (kind === 0) dots = bytes.slice(at, at + bytes[1] * 128);
  // The answer to the last question still limits the time for which this picture counts as live.
  promise.for = since(promise.at) + valid;
  while (kind === 1 && at < bytes.length) {
    const [top, left, bottom, right] = bytes.subarray(at, at + 4), width = right - left + 1;
    at += 4;
    for (let page = top; page <= bottom; page++, at += width)
      dots.set(bytes.subarray(at, at + width), page * 128 + left);
  }
  draw();
}

function ask() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setUint32(0, ++number);
  asked.set(number, now());
  socket.send(bytes);
}

function connect() {
  asked.clear();
  socket = new WebSocket("ws://" + location.host + "/api/glass");
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { retry = 500; ask(); };
  socket.onmessage = (message) => { take(new Uint8Array(message.data)); judge(); };
  socket.onclose = () => {
    setTimeout(connect, retry);
    retry = Math.min(retry * 2, 5000);
  };
}

// ---- The values
let rows = { at: NEVER, list: [], status: null };
let busy = false;

async function update() {
  if (busy) return;
  busy = true;
  const at = now(), limit = new AbortController(), timer = setTimeout(() => limit.abort(), 4000);
  try {
    const answer = await fetch("/api/status", { cache: "no-store", signal: limit.signal });
    if (!answer.ok) throw new Error(await answer.text());
    const status = await answer.json();
    rows = { at, list: status.values, status };
  } catch { /* What is on the page ages, and the page says so. */ }
  clearTimeout(timer);
  busy = false;
  judge();
}

const age = (ms) => ms === null ? "" : ms < 1000 ? "0 s" : ms < 120000 ? Math.floor(ms / 1000) + " s"
  : ms < 7200000 ? Math.floor(ms / 60000) + " min" : Math.floor(ms / 3600000) + " h";
const signed = (n, digits) => (n > 0 ? "▲\u00a0+" : n < 0 ? "▼\u00a0−" : "") + Math.abs(n).toFixed(digits);

function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function cells(parent, tag, texts) {
  while (parent.children.length > texts.length) parent.lastChild.remove();
  while (parent.children.length < texts.length) parent.append(document.createElement(tag));
  texts.forEach((text, i) => {
    if (parent.children[i].textContent !== text) parent.children[i].textContent = text;
  });
}

// The lines about the link; nothing but the lost contact if the status is old.
function link(status, contact) {
  if (contact) return [["State", contact]];
  const text = [], link = status.link;
  const add = (name, value) => value !== null && text.push([name, value]);
  if (link) {
    add("State", link.state + (link.failing ? ", failing: " + link.failing : "") + ", for " + age(link.since_ms));
    add("Last message", link.last_message_ms === null ? null : age(link.last_message_ms) + " ago");
    add("Messages in 10 s", link.messages === null ? null : String(link.messages));
    add("Latency", link.latency_ms === null ? null : link.latency_ms + " ms");
    add("Reconnections", String(link.reconnects));
    add("Panel lit", link.lit_hours + " h");
  }
  if (!status.time) add("Clock", "not set");
  add("Problem", status.problem);
  add("Up for", age(status.uptime_ms));
  add("Version", status.version);
  return text;
}

// Judges everything on the page by its age.
function judge() {
  const gone = since(promise.at), passed = since(rows.at), live = gone < Math.min(promise.for + REDRAW, CONTACT);
  $("screen").classList.toggle("old", !live);
  const contact = gone > 1e10 ? "no contact yet"
    : gone < CONTACT && passed < CONTACT ? "the display stands still" : "no contact for " + age(Math.max(gone, passed));
  if (!live) $("over").textContent = contact;
  const body = $("values");
  const lost = !live || passed >= CONTACT ? contact : "";
  // A screen reader reads the alarm once, so its text has no age.
  say("alarm", lost && "Not live: no contact with the display.");
  // After the end of a value's validity, the words of the last status are no longer true.
  const isOver = (row) => row.freshness !== "none" && row.freshness !== "stale" && passed >= Math.min(row.valid_ms, CONTACT);
  const over = rows.list.some(isOver);
  say("words", lost ? "Not live: " + lost + "." : rows.status && !over ? rows.status.glass.join(". ") : "");
  if (over) update();
  const lines = link(rows.status, rows.status ? lost : contact);
  cells($("link"), "div", lines.map(([name, value]) => name + ": " + value));
  while (body.children.length > rows.list.length) body.lastChild.remove();
  while (body.children.length < rows.list.length) body.append(document.createElement("tr"));
  rows.list.forEach((row, i) => {
    const freshness = isOver(row) ? "stale" : row.freshness;
    const known = freshness !== "none" && row.price !== null;
    const shown = known && freshness !== "stale";
    const line = body.children[i];
    if (line.className !== freshness) line.className = freshness;
    cells(line, "td", [
      row.symbol,
      known ? row.price.toLocaleString("en-US", { minimumFractionDigits: row.decimals, maximumFractionDigits: row.decimals }) : "---",
      shown && row.change_percent !== null ? signed(row.change_percent, 2) + "\u00a0%" : "",
      row.denied || freshness + (row.simulated ? ", demo" : "") + (shown && row.session && row.session !== "regular" ? ", " + row.session : ""),
      row.age_ms === null ? "" : age(row.age_ms + passed),
    ]);
  });
}

connect();
update();
setInterval(() => { ask(); update(); judge(); }, 1000);
setInterval(judge, 250);
document.addEventListener("visibilitychange", () => { judge(); ask(); update(); });
