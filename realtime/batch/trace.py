"""The trace: one CSV row a hop, as the gate decided."""

import csv
import os
from pathlib import Path

from gate.errors import AudioFileError
from realtime.files import partial_name

COLUMNS = (
    "time_s", "input_dbfs", "key_level_dbfs", "presence", "open", "gain_db",
    "attack_ms", "hold_ms", "release_ms", "key_low_hz", "key_high_hz", "reason",
)  # fmt: skip
_FORMATS = ("%.4f", "%.2f", "%.2f", "%.4f", "%d", "%.2f", "%.2f", "%.1f", "%.1f", "%.0f", "%.0f")
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
        self.path = Path(path)
        self._partial = partial_name(self.path)
        self._lanes = lanes
        try:
            self._file = self._partial.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise AudioFileError(f"{self.path}: {error.strerror}") from None
        head = ["channel", *COLUMNS] if lanes > 1 else COLUMNS
        csv.writer(self._file, lineterminator="\n").writerow(head)

    def __call__(self, lane, meters):
        """One row; has the form of `GateProcessor.on_hop`."""
        row = _ROW % tuple(getattr(meters, name) for name in COLUMNS)
        self._file.write(f"{lane + 1},{row}" if self._lanes > 1 else row)

    def commit(self):
        """Close and give the file its final name."""
        self._file.close()
        os.replace(self._partial, self.path)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._file.close()
        self._partial.unlink(missing_ok=True)
