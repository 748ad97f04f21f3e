"""Who gets in. Pure functions over a request's path and headers.

The page changes what a microphone lets through, so other web sites that are open in the same
browser must not reach it. Three locks: the address holds a token that no site knows; the Host must
be a loopback name, which a rebound DNS name is not; an Origin must be this very page.
"""

import hmac
import re

_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.ASCII)

FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    **{name: (name, "text/css; charset=utf-8") for name in ("theme.css", "light.css", "page.css")},
    "icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        name: (name, "text/javascript; charset=utf-8")
        for name in ("main.js", "link.js", "plot.js", "controls.js", "teach.js", "health.js")
    },
}
"""What may be asked for after the token: file and content type."""
SOCKET = "socket"


class Refused(Exception):
    """A request that gets an answer and nothing else.

    Attributes
    ----------
    code : int
        HTTP status.
    """

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def admit(path, headers, token, upgrade):
    """What a request is for.

    Parameters
    ----------
    path : str
        Of the request line.
    headers : websockets.datastructures.Headers or like
        Has ``get_all(name)``.
    token : str
    upgrade : bool
        Whether a WebSocket is asked for.

    Returns
    -------
    str or None
        A key of `FILES`, or `SOCKET`; None where only the last slash is missing.

    Raises
    ------
    Refused
    """
    hosts = headers.get_all("Host")
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise Refused(403, "only 127.0.0.1 and localhost are served, not other host names")
    origins = headers.get_all("Origin")
    own = [f"http://{hosts[0]}"]
    if origins != own and (origins or upgrade):
        raise Refused(403, "other sites may not use this page")
    sites = headers.get_all("Sec-Fetch-Site")
    if sites and sites not in (["same-origin"], ["none"]):
        raise Refused(403, "other sites may not use this page")
    given, slash, name = path.partition("?")[0].lstrip("/").partition("/")
    if not hmac.compare_digest(given.encode(errors="replace"), token.encode()):
        raise Refused(
            403, "this address is not right, or no longer: gate-live prints the right one"
        )
    if not slash and not upgrade:
        return None
    if (name not in FILES and name != SOCKET) or upgrade != (name == SOCKET):
        raise Refused(404, "there is nothing here")
    return name


def response_headers(host, content_type):
    """Headers that keep the page to itself.

    Parameters
    ----------
    host : str
        Of an admitted request.
    content_type : str

    Returns
    -------
    dict
    """
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' ws://{host}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Type": content_type,
        "Cache-Control": "no-store",
        "Content-Security-Policy": "; ".join(f"{k} {v}" for k, v in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Connection": "close",
    }
