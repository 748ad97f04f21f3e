"""`gate-bench compare`: do two runs agree within the intervals that they print?

Two figures agree when their 95 % intervals overlap. Of hundreds, some do not by chance alone (of
independent ones 1 in 180), so that runs disagree only where intervals are apart that were widened
for so many comparisons (Bonferroni, 5 % in all). Two instruction counts agree when they differ by
no more than the tolerance of that command. Times have no intervals and are not compared.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from benchmarks.speed.instructions import TOLERANCE
from benchmarks.stats import Figure


@dataclass(frozen=True)
class Row:
    """A figure of two runs.

    Attributes
    ----------
    name : str
        Section, group, gate and measure.
    first, second : benchmarks.stats.Figure
    """

    name: str
    first: Figure
    second: Figure

    def agrees(self, widened=1.0):
        """Whether the intervals overlap, each as many times as wide."""
        low, high = sorted((self.first, self.second), key=lambda figure: figure.value)
        reach = (high.value - high.low) + (low.high - low.value)
        return high.value - low.value <= widened * reach

    def __str__(self):
        return f"{self.name}: {_text(self.first)} and {_text(self.second)}"


def _text(figure):
    return f"{figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"


def compare_runs(first, second):
    """Rows that both runs have with intervals, and the sections without any.

    Parameters
    ----------
    first, second : list of dict
        As ``--json`` writes them.

    Returns
    -------
    rows : list of Row
    left_out : list of str
        Sections that are not compared.
    """
    others = {part["section"]: part for part in second}
    rows, left_out = [], []
    for part in first:
        section = part["section"]
        theirs = _figures(others[section]) if section in others else {}
        shared = [
            Row(f"{section}, {name}", figure, theirs[name])
            for name, figure in _figures(part).items()
            if name in theirs
        ]
        rows += shared
        if not shared:
            left_out.append(section)
    return rows, left_out


def _figures(part):
    """Name -> figure with an interval."""
    if "groups" in part:
        found = {
            f"{group}, {system}, {measure}": Figure(**_numbers(figure))
            for group, by_system in part["groups"].items()
            for system, row in by_system.items()
            for measure, figure in row.items()
        }
        return {n: f for n, f in found.items() if math.isfinite(f.low) and math.isfinite(f.value)}
    if "now" in part:
        spread = math.sqrt(1.0 + TOLERANCE)
        counts = part["now"]["counts"].items()
        return {name: Figure(count, count / spread, count * spread) for name, count in counts}
    return {}


def _numbers(figure):
    return {name: math.nan if value is None else value for name, value in figure.items()}


def widening(n_rows):
    """Factor for intervals of which two overlap in all of `n_rows` comparisons, 19 times in 20."""
    normal = NormalDist()
    one_in_twenty_of_all = normal.inv_cdf(1.0 - 0.025 / n_rows)
    return max(1.0, one_in_twenty_of_all / (math.sqrt(2.0) * normal.inv_cdf(0.975)))


def report(rows, left_out, names):
    """The lines to print, and whether the runs agree."""
    factor = widening(len(rows))
    apart = [row for row in rows if not row.agrees()]
    beyond = [row for row in apart if not row.agrees(factor)]
    lines = [f"{'disagree' if row in beyond else 'apart'}: {row}" for row in apart]
    if left_out:
        lines.append(f"not compared, as they print no intervals: {', '.join(left_out)}")
    lines.append(
        f"{len(rows) - len(apart)} of {len(rows)} intervals of {names[0]} and {names[1]} overlap"
        + (
            f", {len(rows) - len(beyond)} when widened {factor:.2f} times for so many"
            if apart
            else ""
        )
    )
    lines.append("the runs disagree" if beyond else "the runs agree")
    return lines, not beyond
