// The connection to gate-live: comes back by itself, and knows when it is dead.

const SHORTEST_MS = 250;
const LONGEST_MS = 2000;
const SILENT_MS = 4000;

export class Link {
  // onMessage(object); onState(whether there is a connection, why not where that is known)
  constructor(onMessage, onState) {
    this.onMessage = onMessage;
    this.onState = onState;
    this.wait = SHORTEST_MS;
    this.heardAt = 0;
    this.socket = null;
    setInterval(() => this.check(), 1000);
    // A laptop that wakes or a dock that is shown again does not wait for the next try.
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => this.retryNow());
    this.connect();
  }

  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = null;
    const url = new URL("socket", location.href);
    url.protocol = "ws:";
    url.search = "";
    const socket = new WebSocket(url);
    this.socket = socket;
    this.heardAt = performance.now();
    socket.onmessage = (event) => {
      this.heardAt = performance.now();
      this.wait = SHORTEST_MS;
      this.onMessage(JSON.parse(event.data));
    };
    socket.onopen = () => this.onState(true);
    socket.onclose = () => {
      if (socket === this.socket) this.lose();
    };
  }

  lose() {
    this.socket = null;
    this.timer = setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(1.6 * this.wait, LONGEST_MS);
    this.askWhy();
  }

  // A socket that is refused does not say why; the page's own address does.
  async askWhy() {
    let why;
    try {
      const signal = AbortSignal.timeout(LONGEST_MS);
      const answer = await fetch("icon.svg", { cache: "no-store", signal });
      if (!answer.ok) why = (await answer.text()).trim();
    } catch {} // nobody is there
    if (this.socket?.readyState !== WebSocket.OPEN) this.onState(false, why);
  }

  check() {
    if (this.socket && performance.now() - this.heardAt > SILENT_MS) {
      const dead = this.socket;
      this.socket = null;
      dead.close();
      this.lose();
    }
  }

  retryNow() {
    if (this.timer && !document.hidden) this.connect();
  }
}
