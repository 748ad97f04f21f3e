// The last ten seconds on a canvas: levels over the threshold, presence and gain below them.

const LOW_DB = -90;
const TICKS = [0, -20, -40, -60, -80];
const GAP = 6; // above every strip
const FOOT = 16; // for the times, where there is room

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
    this.wide = clientWidth > 420;
    this.gutter = this.wide ? 62 : 38; // left, for the scale's words and numbers
    this.strip = Math.max(15, Math.min(44, Math.round(clientHeight * 0.1)));
    this.foot = clientHeight > 220 ? FOOT : 0;
    this.box.style.setProperty("--gutter", `${this.gutter}px`);
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
    return this.bounds ? ["presence", "evidence", "gain_db"] : ["presence", "gain_db"];
  }

  get levelsHeight() {
    return this.height - this.foot - this.strips.length * (this.strip + GAP);
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
    this.onDraw?.();
    c.clearRect(0, 0, this.width, this.height);
    c.font = `11px ${this.font}`;
    this.drawScale(c);
    if (!this.length) return;
    const bins = this.bins();
    this.drawLevels(c, bins);
    let top = this.levelsHeight + GAP;
    for (const name of this.strips) {
      this.drawStrip(c, bins, name, top);
      top += this.strip + GAP;
    }
    if (this.foot) this.drawTimes(c);
  }

  drawScale(c) {
    c.textAlign = "right";
    c.textBaseline = "middle";
    const close = this.levelsHeight < 150;
    const taken = this.y(this.threshold); // by the line's own number
    for (const tick of TICKS) {
      const y = Math.round(this.y(tick)) + 0.5;
      c.fillStyle = this.colour.line;
      c.fillRect(this.gutter, y - 0.5, this.width - this.gutter, 1);
      if ((close && tick % 40 !== 0) || Math.abs(y - taken) < 15) continue;
      c.fillStyle = this.colour.soft;
      const words = tick === 0 ? "0 dBFS".slice(0, this.wide ? 6 : 4) : String(tick);
      c.fillText(words.replace("-", "−"), this.gutter - 6, Math.max(y, 6));
    }
  }

  // Columns of whole hops that begin at multiples of their length, so that shapes stay together.
  bins() {
    const size = this.width - this.gutter;
    const step = Math.max(1, Math.ceil(this.length / size));
    const starts = [];
    for (let row = Math.ceil(this.first / step) * step; row < this.end; row += step) {
      starts.push(row);
    }
    const x = starts.map((row) => this.gutter + size - ((this.end - row) * size) / this.length);
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
    c.lineWidth = 1.5;
    // Runs of open and of shut, each an area of its own colour.
    for (let from = 0; from < x.length; ) {
      let to = from;
      while (to < x.length && open[to] === open[from] && !Number.isNaN(key[to])) to++;
      if (to === from) {
        from++;
        continue;
      }
      const isOpen = open[from] > 0;
      const last = Math.min(to, x.length - 1); // up to where the next run begins
      c.fillStyle = c.strokeStyle = isOpen ? this.colour.open : this.colour.shut;
      c.beginPath();
      for (let i = from; i <= last; i++) c.lineTo(x[i], Number.isNaN(key[i]) ? key[i - 1] : key[i]);
      c.stroke();
      c.lineTo(x[last], floor);
      c.lineTo(x[from], floor);
      c.globalAlpha = isOpen ? 0.38 : 0.3;
      c.fill();
      c.globalAlpha = 1;
      // Not by colour alone: a rail along the foot says the same.
      if (isOpen) c.fillRect(x[from], floor - 4, Math.max(x[last] - x[from], 1), 4);
      from = to;
    }
    c.globalAlpha = 0.75;
    c.strokeStyle = this.colour.soft;
    c.lineWidth = 1;
    this.trace(c, x, bins.input_dbfs.map((v) => this.y(v)));
    c.globalAlpha = 1;
  }

  drawStrip(c, bins, name, top) {
    const height = this.strip;
    const [low, high] = this.limits(name);
    const place = (value) => {
      const part = (value - low) / (high - low);
      return top + (1 - Math.min(Math.max(part, 0), 1)) * height;
    };
    const words = this.wide
      ? { presence: "presence", evidence: "evidence", gain_db: "gain" }
      : { presence: "pres.", evidence: "evid.", gain_db: "gain" };
    c.fillStyle = this.colour.soft;
    c.textAlign = "right";
    c.fillText(words[name], this.gutter - 6, top + height / 2);
    c.fillStyle = this.colour.raised;
    c.fillRect(this.gutter, top, this.width - this.gutter, height);
    c.fillStyle = name === "gain_db" ? this.colour.open : this.colour.blue;
    c.globalAlpha = 0.8;
    const base = place(name === "evidence" ? 0 : low);
    const { x } = bins;
    c.beginPath();
    c.moveTo(x[0], base);
    for (let i = 0; i < x.length; i++) {
      const y = Number.isNaN(bins[name][i]) ? base : place(bins[name][i]);
      c.lineTo(x[i], y);
      c.lineTo(Math.min(x[i] + bins.width, this.width), y);
    }
    c.lineTo(this.width, base);
    c.fill();
    c.globalAlpha = 1;
  }

  drawTimes(c) {
    c.fillStyle = this.colour.soft;
    const y = this.height - 7;
    c.textAlign = "left";
    c.fillText("10 s ago", this.gutter, y);
    c.textAlign = "center";
    c.fillText("5", this.gutter + (this.width - this.gutter) / 2, y);
    c.textAlign = "right";
    c.fillText("now", this.width, y);
  }

  // What a meter begins and ends with.
  limits(name) {
    if (name === "gain_db") return [Math.min(this.range, -1), 0];
    if (name === "presence") return [0, 1];
    if (name === "evidence") return this.bounds ?? [-1, 1];
    return [LOW_DB, 0];
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
