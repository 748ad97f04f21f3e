"""`gate-bench instructions`: counts against the committed baseline."""

import json

from benchmarks import tables
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.speed import instructions


def count_instructions(args, config, command, say):
    """Instruction counts, against the committed baseline."""
    baseline = None
    if not args.update_baseline or args.baseline:
        baseline = instructions.read_baseline(args.baseline)
    tool = instructions.pick_tool(args.tool, baseline)
    model = config.engine.model or "none"
    now = instructions.measure_all(tool, model, lambda name: say(f"instructions: {name}"), baseline)
    if args.update_baseline:
        text = json.dumps(now, indent=1) + "\n"
        instructions.baseline_path().write_text(text, encoding="utf-8")
        baseline = now
    notes = instructions.differences(now, baseline)
    failed = instructions.worse(now, baseline)
    rows = []
    for name, value in now["counts"].items():
        before = baseline["counts"].get(name)
        change = f"{100 * (value / before - 1):+.1f}" if before else "–"
        verdict = "more" if name in failed else "ok"
        rows.append([name, f"{value / 1e6:,.1f}",
                     f"{before / 1e6:,.1f}" if before else "–", change, verdict])  # fmt: skip
    body = tables.table(
        ["case", "million instructions a second of sound", "baseline", "change %", ""], rows
    )
    body += (
        f"\n\n{now['tool']} on {now['seconds']} s of seeded noise, start-up taken off, detector "
        f"{now['model']}; more than {100 * instructions.TOLERANCE:g} % over the baseline fails.\n"
    )
    body += "".join(f"\nNot the baseline's: {line}." for line in notes)
    data = {"meta": describe(command), "now": now, "baseline": baseline}
    return Part("instructions", "Instructions", body, data, failures=list(failed.values()))
