// Health in words, figures for those who want them, and what happened.

import { number } from "./controls.js";

const byId = (id) => document.getElementById(id);
const MOST_EVENTS = 30;

export class HealthView {
  constructor() {
    this.now = {};
    this.lastEvent = -1;
    const details = byId("more").parentElement;
    details.open = matchMedia("(min-width: 820px) and (min-height: 940px)").matches;
    details.addEventListener("toggle", () => this.more());
  }

  show(now) {
    this.now = { ...this.now, ...now };
    if (now.health) rows(byId("health"), now.health.map((h) => [h.name, h.text, h.level, h.figure]));
    if (byId("more").parentElement.open) this.more();
  }

  more() {
    const n = this.now;
    const ms = (value) => (value == null ? "?" : `${number(value)} ms`);
    const stream = n.stream ?? {};
    const list = [
      ["Attack", ms(n.attack_ms)],
      ["Hold", ms(n.hold_ms)],
      ["Release", ms(n.release_ms)],
      ["Key", n.key_low_hz == null ? "?" : `${Math.round(n.key_low_hz)} to ${Math.round(n.key_high_hz)} Hz`],
      ["Latency", `${ms(n.input_latency_ms)} in, ${ms(n.output_latency_ms)} out, engine ${ms(n.engine_latency_ms)}`],
      ["Sound", `${n.sample_rate} Hz, blocks of ${n.block_frames}, ${stream.host_api ?? "?"}`],
      ["Detector", stream.detector ?? "?"],
    ];
    rows(byId("more"), list);
  }

  events(events, anew) {
    const list = byId("events");
    if (anew) {
      list.replaceChildren();
      this.lastEvent = -1;
    }
    for (const event of events) {
      if (event.number <= this.lastEvent) continue;
      this.lastEvent = event.number;
      const item = document.createElement("li");
      const time = document.createElement("time");
      time.textContent = clock(event.time);
      item.append(time, event.text);
      list.prepend(item);
    }
    while (list.children.length > MOST_EVENTS) list.lastChild.remove();
  }
}

function clock(time) {
  return typeof time === "number" ? new Date(1000 * time).toTimeString().slice(0, 8) : time;
}

// Rows of a description list, touched only where they differ: a screen reader stays where it is.
function rows(list, wanted) {
  while (list.children.length > 2 * wanted.length) list.lastChild.remove();
  wanted.forEach(([name, text, level, figure], i) => {
    let term = list.children[2 * i];
    let value = list.children[2 * i + 1];
    if (!term) {
      term = list.appendChild(document.createElement("dt"));
      value = list.appendChild(document.createElement("dd"));
      value.append(document.createElement("span"), document.createElement("small"));
    }
    if (term.textContent !== name) term.textContent = name;
    if (value.firstChild.textContent !== text) value.firstChild.textContent = text;
    const shown = figure ? ` ${figure}` : "";
    if (value.lastChild.textContent !== shown) value.lastChild.textContent = shown;
    if (level && value.dataset.level !== level) value.dataset.level = level;
  });
}
