"""`gate-bench cost`: the table of `benchmarks.speed.cost`."""

from dataclasses import asdict

from benchmarks import tables
from benchmarks.machine import describe
from benchmarks.part import Part
from benchmarks.peers import PEERS, load_peers
from benchmarks.peers.ours import our_systems
from benchmarks.quality.table import choose_peers
from benchmarks.speed.cost import measure_costs


def cost(args, config, command, say):
    """Cost, delay and size against peers."""
    names = list(PEERS) if args.peers == "all" else choose_peers(args.peers)
    ours = our_systems(config.gate, config.engine.model, config.engine.profile)[:1]
    systems, missing = load_peers(names)
    systems = [s for s in [*ours, *systems] if s.name != "always open"]
    costs = []
    for system in systems:
        say(f"cost: {system.name}")
        costs += measure_costs([system], 10.0 if args.quick else 30.0)
    body = tables.table(
        ["gate", "timed", "µs a second of sound", "× real time", "a decision every, ms",
         "model or library, kB"],
        [
            [c.name, c.what, f"{c.us_per_second:,.0f}", f"{c.speed:,.0f}",
             tables.number(c.decision_ms, 0),
             f"{c.size_bytes / 1000:,.0f}" if c.size_bytes else "–"]
            for c in costs
        ],
    )  # fmt: skip
    body += "\n\nProcessor time, one thread, best of three; resampling for a peer is not counted.\n"
    body += "".join(f"\nNot run: {name} ({why})." for name, why in missing.items())
    data = {"meta": describe(command), "costs": [asdict(c) for c in costs], "missing": missing}
    return Part("cost", "Cost beside others", body, data)
