// Sliders, switches, choices, and the threshold's line. What is in force is always gate-live's:
// a control shows its own value only while it is being moved.

const HELD_MS = 400;
const SEND_MS = 40;
const SLIDERS = ["threshold_db", "range_db", "lookahead_ms"];

const byId = (id) => document.getElementById(id);

export function number(value, digits = 1) {
  return Number(value.toFixed(digits)).toString().replace("-", "−");
}

export class Controls {
  constructor(send, plot) {
    this.send = send;
    this.plot = plot;
    this.now = {};
    this.held = {};
    this.sending = {};
    for (const name of SLIDERS) {
      byId(name).addEventListener("input", (event) => this.move(name, Number(event.target.value)));
    }
    for (const name of ["bypass", "key_listen"]) {
      byId(name).addEventListener("click", () => {
        send({ do: "change", settings: { [name]: !this.now[name] } });
      });
    }
    byId("muted").addEventListener("click", () => send({ do: "mute", on: !this.now.muted }));
    byId("target").addEventListener("change", (event) => {
      send({ do: "change", settings: { target: event.target.value } });
    });
    byId("profile").addEventListener("change", (event) => {
      send({ do: "profile", path: event.target.value || null });
    });
    this.dragLine(byId("line"), byId("plot"));
    plot.onDraw = () => this.placeLine();
  }

  ranges(ranges) {
    for (const name of SLIDERS) [byId(name).min, byId(name).max] = ranges[name];
  }

  // What gate-live says is in force.
  show(now) {
    this.now = { ...this.now, ...now };
    for (const name of SLIDERS) {
      if (this.now[name] === this.sending[name]?.last) delete this.held[name]; // it has arrived
      if (!(this.held[name] > performance.now())) this.put(name, this.now[name]);
    }
    for (const name of ["bypass", "muted", "key_listen"]) {
      byId(name).setAttribute("aria-checked", String(this.now[name]));
    }
    const { targets = [], profiles = [], target, profile } = this.now;
    const known = targets.length ? targets : [target];
    fill(byId("target"), known.map((t) => [t, t]), target);
    const listed = profiles.map((p) => [p.path ?? "", p.path ? p.name : "none"]);
    if (!listed.some(([path]) => path === (profile ?? ""))) {
      listed.push([profile ?? "", profile ? profile.replace(/^.*[\\/]/, "") : "none"]);
    }
    fill(byId("profile"), listed, profile ?? "");
    this.plot.range = this.now.range_db;
  }

  // Something was refused: show what is in force, at once.
  refused() {
    this.held = {};
    this.show({});
  }

  move(name, value) {
    this.held[name] = performance.now() + HELD_MS;
    this.put(name, value);
    const sending = (this.sending[name] ??= {});
    sending.value = sending.last = value;
    sending.timer ??= this.sendNow(name);
    clearTimeout(sending.settle);
    sending.settle = setTimeout(() => this.show({}), HELD_MS + 20);
  }

  // At once, and from then on every so often while it is moved; returns the timer, if any.
  sendNow(name) {
    const sending = this.sending[name];
    if (sending.value === undefined) return null;
    this.send({ do: "change", settings: { [name]: sending.value } });
    sending.value = undefined;
    return setTimeout(() => (sending.timer = this.sendNow(name)), SEND_MS);
  }

  put(name, value) {
    if (typeof value !== "number") return;
    const slider = byId(name);
    const text = `${number(value)} ${slider.dataset.unit}`;
    if (slider.shown === text) return;
    slider.shown = text;
    slider.value = value;
    slider.setAttribute("aria-valuetext", text.replace("−", "minus "));
    slider.style.setProperty("--fill", `${((value - slider.min) / (slider.max - slider.min)) * 100}%`);
    const unit = document.createElement("small");
    unit.textContent = slider.dataset.unit;
    slider.nextElementSibling.replaceChildren(`${number(value)} `, unit);
    if (name === "threshold_db") {
      this.plot.threshold = value;
      byId("line-value").textContent = number(value);
      this.placeLine();
    }
  }

  placeLine() {
    const top = `${this.plot.y(this.plot.threshold).toFixed(1)}px`;
    if (byId("line").style.top !== top) byId("line").style.top = top;
  }

  dragLine(line, box) {
    line.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      line.setPointerCapture(event.pointerId);
      line.classList.add("dragged");
      const from = event.clientY - box.getBoundingClientRect().top;
      this.grip = from - this.plot.y(this.plot.threshold);
    });
    line.addEventListener("pointermove", (event) => {
      if (!line.hasPointerCapture(event.pointerId)) return;
      const y = event.clientY - box.getBoundingClientRect().top - this.grip;
      this.move("threshold_db", Math.round(2 * this.plot.db(y)) / 2);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      line.addEventListener(end, () => line.classList.remove("dragged"));
    }
  }
}

function fill(select, options, chosen) {
  const key = JSON.stringify(options);
  if (select.known !== key) {
    select.known = key;
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    select.disabled = options.length < 2;
  }
  if (select.value !== chosen) select.value = chosen;
}
