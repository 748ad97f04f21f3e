"""Who gets in: loopback names, the token, no other site."""

import os
import stat
import sys

import pytest

from gate.errors import GateError
from realtime.page.guard import SOCKET, Refused, admit, response_headers
from realtime.page.secret import page_token, secret_path

TOKEN = "t" * 24


class Headers(dict):
    """Names to lists of values."""

    def get_all(self, name):
        value = self.get(name, [])
        return [value] if isinstance(value, str) else value


def asked(path=f"/{TOKEN}/", upgrade=False, **headers):
    names = {"Host": "127.0.0.1:4283"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return admit(path, Headers(names), TOKEN, upgrade)


@pytest.mark.parametrize("host", ["127.0.0.1:4283", "localhost:4283", "localhost", "127.0.0.1:9"])
def test_the_page_its_files_and_its_socket(host):
    assert asked(Host=host) == ""
    assert asked(f"/{TOKEN}/page.css", Host=host) == "page.css"
    assert asked(f"/{TOKEN}/?theme=dark", Host=host, Sec_Fetch_Site="none") == ""
    assert asked(f"/{TOKEN}", Host=host) is None, "only a slash is missing"
    assert asked(f"/{TOKEN}/socket", True, Host=host, Origin=f"http://{host}") == SOCKET


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:4283", "192.168.1.5:4283", "localhost:4283.evil", "",
     "[::1]:4283", "127.0.0.1:4283\n", "user@127.0.0.1:4283", [], ["127.0.0.1", "127.0.0.1"]],
)  # fmt: skip
def test_foreign_hosts(host):
    with pytest.raises(Refused, match=r"127\.0\.0\.1 and localhost") as refused:
        asked(Host=host)
    assert refused.value.code == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:4283", "http://127.0.0.1:8000",
     "http://localhost:4283", ["http://127.0.0.1:4283"] * 2],
)  # fmt: skip
@pytest.mark.parametrize(("path", "upgrade"), [("socket", True), ("", False)])
def test_other_origins(origin, path, upgrade):
    with pytest.raises(Refused, match="other sites") as refused:
        asked(f"/{TOKEN}/{path}", upgrade, Origin=origin)
    assert refused.value.code == 403


def test_a_socket_without_an_origin_and_a_file_fetched_by_another_site():
    with pytest.raises(Refused, match="other sites"):
        asked(f"/{TOKEN}/socket", True)
    for site in ("cross-site", "same-site"):
        with pytest.raises(Refused, match="other sites"):
            asked(f"/{TOKEN}/main.js", Sec_Fetch_Site=site)


@pytest.mark.parametrize("token", ["", "x" * 24, TOKEN[:-1], TOKEN + "t", "é", "%74" * 24])
def test_wrong_tokens(token):
    for path, upgrade in ((f"/{token}/", False), (f"/{token}/socket", True)):
        with pytest.raises(Refused, match="gate-live prints") as refused:
            asked(path, upgrade, Origin="http://127.0.0.1:4283")
        assert refused.value.code == 403


@pytest.mark.parametrize(
    ("name", "upgrade"),
    [("server.py", False), ("../server.py", False), ("page.css/", False), ("socket", False),
     ("", True), ("%2e%2e/secret.py", False), ("/etc/passwd", False)],
)  # fmt: skip
def test_nothing_else_is_served(name, upgrade):
    with pytest.raises(Refused) as refused:
        asked(f"/{TOKEN}/{name}", upgrade, Origin="http://127.0.0.1:4283")
    assert refused.value.code == 404


def test_the_policy_lets_nothing_come_from_elsewhere():
    policy = response_headers("127.0.0.1:4283", "text/html")["Content-Security-Policy"]
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts.pop("default-src") == "'none'"
    assert parts.pop("connect-src") == "'self' ws://127.0.0.1:4283"
    assert set(parts.values()) == {"'self'", "'none'"}
    assert parts["frame-ancestors"] == "'none'"


def test_the_token_is_kept_and_for_its_owner_only(tmp_path):
    path = tmp_path / "state" / "page-token"
    token = page_token(path)
    path.chmod(0o644)
    assert len(token) >= 22 and page_token(path) == token, "a docked address must stay valid"
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert page_token(tmp_path / "other") != token
    path.write_text("short\n")  # never a guessable one
    again = page_token(path)
    assert len(again) >= 22 and again not in (token, "short")
    assert os.listdir(path.parent) == ["page-token"], "nothing left beside it"


def test_a_token_that_cannot_be_kept(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GateError, match=r"^page: .*file.page-token cannot be used \("):
        page_token(tmp_path / "file" / "page-token")


def test_it_is_kept_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert secret_path() == tmp_path / "exemplar-gate" / "page-token"
