// Teaching by two buttons. What was heard, and what to do next, is gate-live's to say.

const NEXT = {
  open: "Make the sound that should open it, then press “This is it”.",
  shut: "Now what should stay shut, then press “This is not it”.",
  "more open": "Some more of what should open it, then “This is it”.",
  "more shut": "Some more of what should stay shut, then “This is not it”.",
  fitting: "Learning: a few seconds. Go on making sounds.",
  try: "Try it. Say what was wrong, mark more, or keep it.",
};

const byId = (id) => document.getElementById(id);

export class Teach {
  constructor(send) {
    this.now = {};
    for (const [id, message] of [
      ["mark-open", { do: "open" }],
      ["mark-shut", { do: "shut" }],
      ["wrong", { do: "wrong" }],
      ["undo", { do: "undo" }],
    ]) {
      byId(id).addEventListener("click", () => send(message));
    }
    byId("keep-form").addEventListener("submit", (event) => {
      event.preventDefault();
      send({ do: "keep", name: byId("keep-name").value });
    });
  }

  show(now) {
    if (!Object.keys(now).some((name) => name.startsWith("teach_") || name === "profile")) return;
    this.now = { ...this.now, ...now };
    const n = this.now;
    byId("teach").hidden = n.teach_step === undefined;
    if (n.teach_step === undefined) return;
    byId("teach").classList.toggle("off", n.teach_step === "off");
    say(byId("teach-next"), NEXT[n.teach_step] ?? sentence(n.teach_next ?? ""));
    this.mark("open", n.teach_open_s);
    this.mark("shut", n.teach_shut_s);
    const level = { "too quiet": "That was very quiet", "too loud": "That was too loud" };
    const figure = n.teach_level_dbfs == null ? "" : ` (${Math.round(n.teach_level_dbfs)} dBFS)`;
    const words = level[n.teach_level];
    say(byId("teach-level"), words ? `${words}${figure}.`.replace("-", "−") : "");
    byId("undo").disabled = !n.teach_marks;
    byId("keep-form").hidden = !n.teach_fitted || n.teach_kept != null;
    say(byId("teach-state"), this.state(n));
  }

  mark(side, seconds = 0) {
    const button = byId(`mark-${side}`);
    const need = this.now.teach_need_s ?? 5;
    const good = this.now.teach_good_s ?? 10;
    const whole = seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds);
    say(byId(`${side}-s`), seconds < need ? `${whole} of ${need} s` : `${whole} s`);
    button.style.setProperty("--part", Math.min(seconds / good, 1).toFixed(3));
    button.classList.toggle("enough", seconds >= need);
    button.classList.toggle("wanted", (this.now.teach_step ?? "").endsWith(side));
  }

  state(n) {
    if (n.teach_fitting) return "Learning…";
    if (n.teach_kept != null) {
      return `Kept as ${n.teach_kept.replace(/^.*[\\/]/, "").replace(/\.gate\.yaml$/, "")}`;
    }
    if (!n.teach_fitted) return "";
    const right = n.teach_quality;
    return right == null ? "Taught" : `Taught, right ${Math.round(100 * right)} % of the time`;
  }
}

function sentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
