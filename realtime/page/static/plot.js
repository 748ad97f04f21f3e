// The last ten seconds on a canvas: levels over the threshold, presence and gain below them.

const LOW_DB = -90;
const GUTTER = 34; // left, for the scale's numbers
const TICKS = [0, -20, -40, -60, -80];

export class Plot {
  constructor(box, canvas) {
    this.box = box;
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.threshold = -60;
    this.range = -60;
    this.bounds = null;
    this.columns = {};
    this.length = 0;
    this.end = 0;
    this.first = 0;
    this.asked = false;
    new ResizeObserver(() => this.resize()).observe(box);
    this.readColours();
    this.resize();
  }

  // Begin anew: the names of the columns, what to divide them by, and how many hops are kept.
  begin(names, factors, length) {
    this.names = names;
    this.factors = factors;
    this.length = length;
    this.columns = {};
    for (const name of names) this.columns[name] = new Float32Array(length).fill(NaN);
    this.end = this.first = 0;
  }

  // Hops from number `row` on; what was missed since the last ones stays empty.
  add(row, hops) {
    if (row < this.end || row > this.end + this.length || this.end === 0) {
      this.first = this.end = row;
    }
    for (; this.end < row; this.end++) {
      for (const name of this.names) this.columns[name][this.end % this.length] = NaN;
    }
    for (const hop of hops) {
      const at = this.end % this.length;
      for (let i = 0; i < hop.length; i++) {
        this.columns[this.names[i]][at] = hop[i] === null ? NaN : hop[i] / this.factors[i];
      }
      this.end++;
    }
    this.first = Math.max(this.first, this.end - this.length);
  }

  last(name) {
    if (this.end === this.first || !this.columns[name]) return null;
    const value = this.columns[name][(this.end - 1) % this.length];
    return Number.isNaN(value) ? null : value;
  }

  resize() {
    const { clientWidth, clientHeight } = this.box;
    const ratio = window.devicePixelRatio || 1;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const strip = Math.max(16, Math.min(44, Math.round(clientHeight * 0.1)));
    this.strip = strip;
    this.onResize?.();
    this.ask();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colour = {};
    for (const name of ["open", "shut", "line", "soft", "text", "blue", "raised", "panel"]) {
      this.colour[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.font = getComputedStyle(document.body).fontFamily;
    this.ask();
  }

  get strips() {
    return this.columns.evidence ? ["presence", "evidence", "gain_db"] : ["presence", "gain_db"];
  }

  get levelsHeight() {
    return this.height - this.strips.length * (this.strip + 6) - 2;
  }

  // Place of a level in pixels from the top, and back.
  y(db) {
    const top = 6;
    const part = Math.min(Math.max(db / LOW_DB, 0), 1);
    return top + part * (this.levelsHeight - top - 4);
  }

  db(y) {
    return Math.min(Math.max(((y - 6) / (this.levelsHeight - 10)) * LOW_DB, LOW_DB), 0);
  }

  ask() {
    if (this.asked || document.hidden) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    const c = this.context;
    c.clearRect(0, 0, this.width, this.height);
    c.font = `11px ${this.font}`;
    this.drawScale(c);
    if (!this.length) return;
    const bins = this.bins();
    this.drawLevels(c, bins);
    let top = this.levelsHeight + 6;
    for (const name of this.strips) {
      this.drawStrip(c, bins, name, top);
      top += this.strip + 6;
    }
  }

  drawScale(c) {
    c.textAlign = "right";
    c.textBaseline = "middle";
    const close = this.levelsHeight < 150;
    for (const tick of TICKS) {
      const y = Math.round(this.y(tick)) + 0.5;
      c.fillStyle = this.colour.line;
      c.fillRect(GUTTER, y - 0.5, this.width - GUTTER, 1);
      if (close && tick % 40 !== 0) continue;
      c.fillStyle = this.colour.soft;
      c.fillText(tick === 0 ? "0 dB" : String(tick).replace("-", "−"), GUTTER - 5, Math.max(y, 6));
    }
  }

  // Columns of whole hops that begin at multiples of their length, so that shapes stay together.
  bins() {
    const size = this.width - GUTTER;
    const step = Math.max(1, Math.ceil(this.length / size));
    const starts = [];
    for (let row = Math.ceil(this.first / step) * step; row < this.end; row += step) {
      starts.push(row);
    }
    const x = starts.map((row) => GUTTER + size - ((this.end - row) * size) / this.length);
    const most = (name) => starts.map((row) => this.most(name, row, Math.min(row + step, this.end)));
    const bins = { x, width: (step * size) / this.length, open: most("open") };
    for (const name of ["input_dbfs", "key_level_dbfs", ...this.strips]) bins[name] = most(name);
    return bins;
  }

  most(name, from, to) {
    const column = this.columns[name];
    let found = NaN;
    for (let row = from; column && row < to; row++) {
      const value = column[row % this.length];
      if (!(value <= found)) found = value;
    }
    return found;
  }

  drawLevels(c, bins) {
    const floor = this.levelsHeight;
    const { x, open } = bins;
    const key = bins.key_level_dbfs.map((v) => this.y(v));
    // Runs of open and of shut, each an area of its own colour.
    for (let from = 0; from < x.length; ) {
      let to = from;
      while (to < x.length && open[to] === open[from] && !Number.isNaN(key[to])) to++;
      if (to === from) {
        from++;
        continue;
      }
      const isOpen = open[from] > 0;
      c.fillStyle = isOpen ? this.colour.open : this.colour.shut;
      c.globalAlpha = isOpen ? 0.85 : 0.6;
      c.beginPath();
      c.moveTo(x[from], floor);
      for (let i = from; i < to; i++) c.lineTo(x[i], key[i]);
      const right = Math.min(x[to - 1] + bins.width, this.width);
      c.lineTo(right, key[to - 1]);
      c.lineTo(right, floor);
      c.fill();
      // Not by colour alone: a rail along the foot says the same.
      c.globalAlpha = 1;
      if (isOpen) c.fillRect(x[from], floor - 3, right - x[from], 3);
      from = to;
    }
    c.globalAlpha = 0.9;
    c.strokeStyle = this.colour.soft;
    c.lineWidth = 1;
    this.trace(c, x, bins.input_dbfs.map((v) => this.y(v)));
    c.globalAlpha = 1;
  }

  drawStrip(c, bins, name, top) {
    const height = this.strip;
    const low = name === "gain_db" ? Math.min(this.range, -1) : name === "evidence" ? this.low : 0;
    const high = name === "gain_db" ? 0 : name === "evidence" ? this.high : 1;
    const colour = name === "gain_db" ? this.colour.open : this.colour.blue;
    c.fillStyle = this.colour.soft;
    c.textAlign = "right";
    c.fillText({ presence: "pres.", evidence: "evid.", gain_db: "gain" }[name], GUTTER - 5,
      top + height / 2);
    c.fillStyle = this.colour.raised;
    c.fillRect(GUTTER, top, this.width - GUTTER, height);
    c.fillStyle = colour;
    const values = bins[name];
    const base = name === "evidence" ? top + (height * this.high) / (this.high - this.low) : top + height;
    for (let i = 0; i < values.length; i++) {
      const part = Math.min(Math.max((values[i] - low) / (high - low), 0), 1);
      if (Number.isNaN(part)) continue;
      const y = top + (1 - part) * height;
      c.fillRect(bins.x[i], Math.min(y, base), bins.width + 0.3, Math.abs(base - y));
    }
  }

  get low() {
    return this.bounds ? this.bounds[0] : -6;
  }

  get high() {
    return this.bounds ? this.bounds[1] : 6;
  }

  trace(c, x, y) {
    c.beginPath();
    let begun = false;
    for (let i = 0; i < x.length; i++) {
      if (Number.isNaN(y[i])) begun = false;
      else if (begun) c.lineTo(x[i], y[i]);
      else {
        c.moveTo(x[i], y[i]);
        begun = true;
      }
    }
    c.stroke();
  }
}
