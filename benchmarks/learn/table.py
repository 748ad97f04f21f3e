"""`gate-bench learn`: the tables of `benchmarks.learn.measure`."""

import numpy as np

from benchmarks import charts, tables
from benchmarks.learn.measure import METHODS, SECONDS, STANDARD_S, Score, block_cost, run_task
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
        results.append((task, run_task(task, model, (STANDARD_S,) if args.quick else SECONDS)))
    costs = None if args.quick else block_cost(model)
    data = {
        "meta": describe(command, args.seed),
        "split": args.split,
        "tasks": [
            {"name": t.name, "group": t.group, "seen": t.seen,
             **{str(k): vars(v) if isinstance(v, Score) else v for k, v in r.items()}}
            for t, r in results
        ],
        "block_us": costs,
    }  # fmt: skip

    def make_charts():
        values = {m: [r[m].balanced_accuracy for _, r in results] for m in METHODS}
        return [charts.as_html(charts.task_chart([t.name for t, _ in results], values))]

    title = f"Gates taught by example, {args.split} split"
    return Part(f"learn:{args.split}", title, markdown(results, costs), data, make_charts)


def markdown(results, costs=None):
    """The body of the section."""
    rows = []
    for task, result in results:
        taught = result["taught"]
        rows.append(
            [task.name + (" *" if task.seen else ""),
             *(tables.number(result[m].balanced_accuracy, 3) for m in METHODS),
             f"{taught.onset_p50_ms:.0f} / {taught.onset_p95_ms:.0f}",
             tables.number(result["cross_validated"], 3)]
        )  # fmt: skip
    for label, chosen in (
        ("mean of all", results),
        ("mean without *", [r for r in results if not r[0].seen]),
        ("mean of speakers", [r for r in results if r[0].group == "speaker"]),
    ):
        if not chosen:
            continue
        rows.append(
            [f"**{label}**", *(tables.number(_mean(chosen, m), 3) for m in METHODS),
             f"{np.nanmean([r['taught'].onset_p50_ms for _, r in chosen]):.0f}",
             tables.number(np.mean([r["cross_validated"] for _, r in chosen]), 3)]
        )  # fmt: skip
    amounts = [a for a in SECONDS if a in results[0][1]]
    by_amount = ["taught, mean of all", *(tables.number(_mean(results, a), 3) for a in amounts)]
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
    header = ["task", *METHODS, "onset p50 / p95 ms", "estimate"]
    return "\n\n".join(
        [
            f"Balanced accuracy with {STANDARD_S:g} s of examples a side, tested on other "
            "recordings of the same sounds.",
            tables.table(header, rows),
            "* the detector's training had these recordings, without the task's labels.",
            tables.table(["seconds a side", *(f"{a:g}" for a in amounts)], [by_amount]),
            cost,
        ]
    )


def _mean(results, key):
    """Mean balanced accuracy; what could not be taught counts as a coin."""
    return float(np.mean([r[key].balanced_accuracy if r[key] else 0.5 for _, r in results]))
