"""`gate-bench learn`: the tables of `benchmarks.learn.measure`."""

import numpy as np

from benchmarks import charts, tables
from benchmarks.learn.measure import (
    METHODS,
    PARTS,
    SECONDS,
    STANDARD_S,
    Score,
    block_cost,
    run_task,
)
from benchmarks.learn.tasks import make_tasks
from benchmarks.machine import describe
from benchmarks.part import Part
from gate.errors import ConfigError


def learn(args, config, command, say):
    """Gates taught by example, on other recordings."""
    model = config.engine.model
    tasks = make_tasks(args.data, args.split, args.seed)
    if args.only:
        tasks = [t for t in tasks if args.only in t.name or args.only == t.group]
    if not tasks:
        raise ConfigError(f"only={args.only!r} matches no task")
    results = []
    for number, task in enumerate(tasks):
        say(f"learn: task {number + 1} of {len(tasks)}, {task.name}")
        seconds = (STANDARD_S,) if args.quick else SECONDS
        results.append((task, run_task(task, model, seconds, args.parts)))
    costs = None if args.quick else block_cost(model)
    data = {
        "meta": describe(command, args.seed),
        "split": args.split,
        "tasks": [
            {"name": t.name, "group": t.group, "seen": t.seen,
             **{str(k): _plain(v) for k, v in r.items()}}
            for t, r in results
        ],
        "block_us": costs,
    }  # fmt: skip

    def make_charts():
        values = {m: [r[m].balanced_accuracy for _, r in results] for m in METHODS}
        return [charts.as_html(charts.task_chart([t.name for t, _ in results], values))]

    title = f"Gates taught by example, {args.split} split"
    return Part(f"learn:{args.split}", title, markdown(results, costs), data, make_charts)


def _plain(value):
    """Scores as mappings, at any depth, for JSON."""
    if isinstance(value, Score):
        return vars(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def markdown(results, costs=None):
    """The body of the section."""
    rows = [_row(task.name + (" *" if task.seen else ""), [(task, r)]) for task, r in results]
    for label, chosen in (
        ("mean of all", results),
        ("mean without *", [r for r in results if not r[0].seen]),
        ("mean of speakers", [r for r in results if r[0].group == "speaker"]),
    ):
        if chosen:
            rows.append(_row(f"**{label}**", chosen))
    amounts = [a for a in SECONDS if a in results[0][1]]
    by_amount = [
        ["taught kinds", *(tables.number(_mean(results, a), 3) for a in amounts)],
        ["untaught kinds", *(tables.number(_mean(results, a, True), 3) for a in amounts)],
    ]
    header = ["task", "taught", "among untaught", "open on untaught %",
              *METHODS[1:], "onset p50 / p95 ms", "estimate"]  # fmt: skip
    parts = [
        f"Balanced accuracy with {STANDARD_S:g} s of examples a side, on other recordings of "
        "the same sounds. *Among untaught*: the same wanted recordings among sounds of kinds that "
        "nobody showed the gate, and the share of their time that opens it.",
        tables.table(header, rows),
        "* the detector's training had these recordings, without the task's labels.",
        tables.table(["seconds a side", *(f"{a:g}" for a in amounts)], by_amount),
    ]
    if "parts" in results[0][1]:
        parts += ["What each part of teaching brings:", _parts_table(results)]
    return "\n\n".join([*parts, _cost(results, costs)])


def _row(label, chosen):
    """A task's row, or the mean of several."""
    scores = [r["taught"] for _, r in chosen]
    p50 = np.nanmean([s.onset_p50_ms for s in scores])
    p95 = f" / {scores[0].onset_p95_ms:.0f}" if len(chosen) == 1 else ""
    passes = np.mean([r["untaught"][STANDARD_S].passes for _, r in chosen])
    return [
        label,
        tables.number(_mean(chosen, "taught"), 3),
        tables.number(_mean(chosen, STANDARD_S, True), 3),
        f"{100 * passes:.1f}",
        *(tables.number(_mean(chosen, m), 3) for m in METHODS[1:]),
        f"{p50:.0f}{p95}",
        tables.number(np.mean([r["cross_validated"] for _, r in chosen]), 3),
    ]


def _parts_table(results):
    rows = []
    for name in PARTS:
        pairs = [r["parts"][name] for _, r in results]
        closed, strange = zip(*pairs, strict=True)
        speakers = [c for (t, _), c in zip(results, closed, strict=True) if t.group == "speaker"]
        rows.append(
            [name, tables.number(np.mean([s.balanced_accuracy for s in closed]), 3),
             tables.number(np.mean([s.balanced_accuracy for s in strange]), 3),
             f"{100 * np.mean([s.passes for s in strange]):.1f}",
             tables.number(np.mean([s.balanced_accuracy for s in speakers] or [np.nan]), 3),
             f"{np.nanmean([s.onset_p50_ms for s in closed]):.0f}"]
        )  # fmt: skip
    header = ["taught with", "taught kinds", "untaught kinds", "open on untaught %",
              "speakers, taught kinds", "onset p50 ms"]  # fmt: skip
    return tables.table(header, rows)


def _cost(results, costs):
    spent = [r["teach_cpu_s"] for _, r in results]
    cost = (
        f"Teaching, {2 * STANDARD_S:g} s of examples: {np.mean(spent):.2f} s of processor time, "
        f"at most {max(spent):.2f} s."
    )
    if costs:
        plain, taught = costs
        cost += (
            f" A block of 100 at 48 kHz: {plain:.1f} µs without, {taught:.1f} µs with a profile "
            f"({100 * (taught / plain - 1):+.1f} %)."
        )
    return cost


def _mean(results, key, untaught=False):
    """Mean balanced accuracy; what could not be taught counts as a coin."""
    scores = [(r["untaught"] if untaught else r)[key] for _, r in results]
    return float(np.mean([s.balanced_accuracy if s else 0.5 for s in scores]))
