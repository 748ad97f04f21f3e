"""What each subcommand of `gate-bench` returns: a section of the results.

A subcommand is a function of the options, the configuration, the command line for the record
and ``say``, a callable for progress.
"""

from dataclasses import dataclass, field

import numpy as np

from benchmarks import tables


@dataclass
class Part:
    """One section of results.

    Attributes
    ----------
    name : str
        Section of `RESULTS.md`.
    title : str
    body : str
        Markdown.
    data : dict
        For JSON; ``meta`` among it.
    make_charts : callable
        Returns a list of HTML images; called only for the HTML report.
    failures : list of str
        A line for each check that did not hold.
    """

    name: str
    title: str
    body: str
    data: dict
    make_charts: object = field(default=list)
    failures: list = field(default_factory=list)

    def section(self):
        """The section's text for `RESULTS.md`."""
        return tables.section(self.name, self.title, self.body, self.data["meta"])


def finite(value):
    """JSON without nan: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
