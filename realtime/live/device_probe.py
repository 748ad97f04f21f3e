"""Looks at the devices from a fresh process: PortAudio sees new ones only when it starts.

``python -m realtime.live.device_probe`` prints them as JSON.
"""

import json
import subprocess
import sys
from dataclasses import asdict

from realtime.live.devices import Device, query_devices, quiet

_TIMEOUT_S = 10.0


def probe_devices():
    """Devices as a new process sees them; an empty list where that fails.

    Returns
    -------
    list of Device
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "realtime.live.device_probe"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        return [Device(**d) for d in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return []


if __name__ == "__main__":
    with quiet():
        found = query_devices()
    print(json.dumps([asdict(d) for d in found]))
