"""Settings of the page."""

from dataclasses import dataclass

from gate import checks

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
        if self.port is not None:
            checks.whole("page: port", self.port, 1, 65535)
