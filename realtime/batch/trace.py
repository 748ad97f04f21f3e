"""The trace: one CSV row a hop, as the gate decided."""

import csv
from contextlib import AbstractContextManager
from dataclasses import fields

from gate.meters import Meters
from realtime.outputs import Replacement

_FORMATS = {f.name: f.metadata["format"] for f in fields(Meters) if f.metadata}
COLUMNS = tuple(_FORMATS)
_ROW = ",".join(_FORMATS.values()) + "\n"


def trace_row(values):
    """A line of the trace; `values` maps every name of `COLUMNS`."""
    return _ROW % tuple(values[name] for name in COLUMNS)


class TraceWriter(AbstractContextManager):
    """Writes rows beside the final name and renames at the end.

    Parameters
    ----------
    path : str or Path
    lanes : int
        With more than one a first column ``channel`` tells them apart.
    """

    def __init__(self, path, lanes=1):
        self._output = Replacement(path)
        self._file = self._output.text()
        self._lanes = lanes
        head = ["channel", *COLUMNS] if lanes > 1 else COLUMNS
        csv.writer(self._file, lineterminator="\n").writerow(head)

    def __call__(self, lane, table):
        """A row a hop; has the form of `GateProcessor.on_hops`."""
        rows = [trace_row(vars(meters)) for meters in table.rows()]
        try:
            self._file.writelines(f"{lane + 1},{row}" if self._lanes > 1 else row for row in rows)
        except OSError as error:
            raise self._output.failure(error) from None

    def commit(self):
        """Close and give the file its final name."""
        self._output.commit()

    def __exit__(self, *exc):
        self._output.discard()
