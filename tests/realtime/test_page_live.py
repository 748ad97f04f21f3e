"""`gate-live --page` as one uses it: a browser beside a running gate, which is started anew."""

import os
import subprocess
import sys

from browser import chromium
from page_rig import PATIENCE_MS, drag_line, shows
from sound_servers import JackServer, Live, Peer, bursts
from waiting import free_port, until

RATE = 48000


def test_the_page_of_a_running_gate_and_of_one_started_anew(tmp_path):
    port = free_port()
    with (
        chromium() as browser,
        JackServer(RATE, 128) as server,
        Peer(server, bursts(3, RATE), RATE),
    ):
        env = {**server.env, "XDG_STATE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
        options = ["--model", "none", "--threshold-db", "-40", "--page", str(port)]
        options += ["--input", "peer", "--output", "system", "--host-api", "jack"]
        with Live(*options, env=env) as live:
            live.wait_for(lambda s: any("page: http" in e for e in s["events"]))
            (address,) = [e.split()[1] for e in live.events if e.startswith("page: http")]
            assert address.startswith(f"http://127.0.0.1:{port}/") and len(address) > 45

            page = browser.new_page(viewport={"width": 300, "height": 600})
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            shows(page, "#health", "flowing")
            drag_line(page, -20)
            status = live.wait_for(lambda s: s["threshold_db"] > -40.0)
            assert status["restarts"] == 0 and status["callback_errors"] == 0
            page.click("#muted")
            live.wait_for(lambda s: s["muted"])
            shows(page, "#state-word", "Muted")

            # Somebody starts a second one on the same port: a clear line, before any sound.
            command = [sys.executable, "-m", "realtime.live.cli", "--no-ui", *options]
            second = subprocess.run(command, env=env, capture_output=True, text=True)
            assert second.returncode == 2
            assert second.stderr.startswith(f"gate-live: error: page: port {port} on 127.0.0.1")
            assert second.stderr.count("\n") == 1, second.stderr
            code, _ = live.stop()
            assert code == 0
        page.wait_for_selector("#offline", state="visible")

        with Live(*options, env=env) as live:
            live.wait_for(lambda s: any(e == f"page: {address}" for e in s["events"]))
            page.wait_for_selector("#offline", state="hidden")
            until(lambda: page.input_value("#threshold_db") == "-40")
            page.fill("#threshold_db", "-33")
            live.wait_for(lambda s: s["threshold_db"] == -33.0)
            shows(page, "#state-word", "Open")


def test_without_the_extra_it_says_what_to_install_and_the_player_works(tmp_path):
    (tmp_path / "websockets").mkdir()
    (tmp_path / "websockets" / "__init__.py").write_text("raise ImportError('not installed')")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    code = (
        "import sys, realtime.live.session, realtime.live.cli as cli\n"
        "assert 'websockets' not in sys.modules\n"
        "sys.exit(cli.main(['--page', '--no-ui', '--model', 'none']))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "gate-live: error: page: websockets is not installed; pip install 'exemplar-gate[page]'\n"
    )
