"""Several profiles' examples as one profile's."""

from dataclasses import replace

import numpy as np

from realtime.learn.recording import OPEN, SHUT, UNKNOWN


def merge_examples(profiles):
    """Recordings that open on what any of the profiles opens on.

    An example that is to open for one profile and to stay shut for another opens; recordings
    that several profiles share are taken once.

    Parameters
    ----------
    profiles : list of Profile
        With their examples.

    Returns
    -------
    list of Recording
    """
    merged = {}
    for profile in profiles:
        for recording in profile.memory:
            known = merged.get(recording.fingerprint)
            if known is None:
                merged[recording.fingerprint] = recording
                continue
            label = np.where(known.label == UNKNOWN, recording.label, known.label)
            label = np.where((known.label == OPEN) | (recording.label == OPEN), OPEN, label)
            merged[recording.fingerprint] = replace(known, label=label.astype(np.int8))
    recordings = list(merged.values())
    opens = {row.tobytes() for r in recordings for row in r.log_mel[(r.label == OPEN) & r.sounding]}
    result = []
    for recording in recordings:
        shut = recording.label == SHUT
        opened = [s and row.tobytes() in opens
                  for s, row in zip(shut.tolist(), recording.log_mel, strict=True)]  # fmt: skip
        label = np.where(opened, UNKNOWN, recording.label).astype(np.int8)
        result.append(replace(recording, label=label))
    return result
