"""Settings of the page."""

from dataclasses import dataclass

from gate.errors import ConfigError

DEFAULT_PORT = 4283  # G A T E on a telephone's keys


@dataclass(frozen=True)
class PageSettings:
    """A page in the browser.

    Attributes
    ----------
    port : int or None
        TCP port on 127.0.0.1 to serve it on, 1..65535; None: no page.
    """

    port: int | None = None

    def __post_init__(self):
        port = self.port
        if port is None:
            return
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            raise ConfigError(f"page: port={port!r} must be from 1 to 65535")
