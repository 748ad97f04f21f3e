"""The trace: one CSV row a hop, as the gate decided."""

import csv

from realtime.outputs import Replacement

COLUMNS = (
    "time_s", "input_dbfs", "key_level_dbfs", "presence", "evidence", "open", "gain_db",
    "attack_ms", "hold_ms", "release_ms", "key_low_hz", "key_high_hz", "reason",
)  # fmt: skip
_FORMATS = (
    "%.4f", "%.2f", "%.2f", "%.4f", "%.3f", "%d", "%.2f",
    "%.2f", "%.1f", "%.1f", "%.0f", "%.0f",
)  # fmt: skip
_ROW = ",".join(_FORMATS) + ",%s\n"


class TraceWriter:
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

    def __call__(self, lane, meters):
        """One row; has the form of `GateProcessor.on_hop`."""
        row = _ROW % tuple(getattr(meters, name) for name in COLUMNS)
        try:
            self._file.write(f"{lane + 1},{row}" if self._lanes > 1 else row)
        except OSError as error:
            raise self._output.failure(error) from None

    def commit(self):
        """Close and give the file its final name."""
        self._output.commit()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._output.discard()
