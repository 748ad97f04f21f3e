// Puts the parts of the page together.

import { Controls, number } from "./controls.js";
import { HealthView } from "./health.js";
import { Link } from "./link.js";
import { Plot } from "./plot.js";
import { Teach } from "./teach.js";

const byId = (id) => document.getElementById(id);
const TEXT_EVERY = 4; // frames: figures that change faster cannot be read
const STATES = {
  open: ["open", "Open", ""],
  held: ["open", "Open", "held"],
  "below threshold": ["off", "Shut", "below the threshold"],
  "target absent": ["off", "Shut", "not what is wanted"],
  bypass: ["warn", "Bypass", "everything passes"],
  "detector failed": ["bad", "Open", "the detector failed"],
};

const theme = new URLSearchParams(location.search).get("theme");
if (theme === "dark" || theme === "light") byId("light").media = theme === "light" ? "all" : "not all";

const plot = new Plot(byId("plot"), byId("canvas"));
const send = (message) => link.send(message) || toast("Not connected: nothing was changed.");
const controls = new Controls(send, plot);
const teach = new Teach(send);
const health = new HealthView();
let now = {};
let version = null;
let frames = 0;

byId("hint-take").addEventListener("click", () => send({ do: "hint" }));
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => plot.readColours());
byId("light").addEventListener("load", () => plot.readColours());
document.addEventListener("visibilitychange", () => plot.ask());

const link = new Link(take, connection);

function take(message) {
  if (message.error) {
    toast(message.error);
    controls.refused();
    return;
  }
  if (message.hello) {
    const { hello } = message;
    // gate-live was started anew from other files: so is the page.
    if (version !== null && version !== hello.version) location.reload();
    version = hello.version;
    plot.begin(hello.columns, hello.factors, hello.history);
    controls.ranges(hello.ranges);
    now = {};
  }
  plot.add(message.row, message.hops);
  if (message.now) show(message.now);
  if (message.events) health.events(message.events, Boolean(message.hello));
  readings();
  plot.ask();
}

function show(changed) {
  now = { ...now, ...changed };
  controls.show(changed);
  teach.show(changed);
  health.show(changed);
  let [kind, word, why] = STATES[now.reason] ?? ["off", "Waiting", ""];
  if (now.status !== "running") [kind, word, why] = ["bad", "No sound", "waiting for the device"];
  else if (now.muted) [kind, word, why] = ["warn", "Muted", ""];
  byId("state").dataset.kind = kind;
  text("state-word", word);
  text("state-why", why);
  const input = now.input_device ?? now.stream?.input;
  const output = now.output_device ?? now.stream?.output;
  const { evidence_low: low, evidence_high: high } = now;
  plot.bounds = low < high ? [low, high] : null;
  text("where", input ? `${input} → ${output}` : "");
  byId("where").title = byId("where").textContent;
  text("trouble", now.summary ?? "");
  byId("trouble").hidden = !now.summary;
  byId("hint").hidden = now.hint == null;
  text("hint-text", now.hint ?? "");
  if (now.hint_threshold_db != null) {
    text("hint-take", `Set ${number(now.hint_threshold_db)} dBFS`);
  }
}

function readings() {
  const words = frames++ % TEXT_EVERY === 0;
  for (const box of document.querySelectorAll("[data-reading]")) {
    const name = box.dataset.reading;
    if (name === "evidence") box.hidden = plot.bounds === null;
    const value = plot.last(name);
    const [low, high] = plot.limits(name);
    const part = value === null ? 0 : Math.min(Math.max((value - low) / (high - low), 0), 1);
    box.style.setProperty("--part", part.toFixed(3));
    if (!words) continue;
    const whole = Math.round(name === "presence" ? 100 * value : value);
    const shown = name === "evidence" ? number(value ?? 0) : number(whole, 0);
    box.querySelector("b").textContent = value === null ? "–" : shown;
  }
}

function connection(open, why) {
  byId("offline").hidden = open;
  byId("main").classList.toggle("off", !open);
  byId("side").disabled = !open;
  if (open) return;
  text("offline", why ?? "No connection to gate-live. When it runs, this page comes back by itself.");
  byId("state").dataset.kind = "off";
  text("state-word", "Not connected");
  text("state-why", "");
}

let toastTimer = null;
function toast(words) {
  byId("toast").textContent = words;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (byId("toast").textContent = ""), 6000);
}

function text(id, words) {
  const element = byId(id);
  if (element.textContent !== words) element.textContent = words;
}
