"""Takes the pictures of docs/page.md: a real gate-live on JACK, a real browser, real sound.

Run from the repository: ``python tools/page_pictures.py``. Needs jackd, chromium, playwright and
Pillow, and a machine with time to spare: what the page says of dropouts is in the picture.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from benchmarks.live.browser import chromium
from benchmarks.live.rig import JackServer, Live, Peer, end_servers_on_sigterm
from benchmarks.signals import talk
from training.corpus.decode import resample

ROOT = Path(__file__).parents[1]
RATE, PERIOD = 48000, 1024
SIZES = {"dock": (300, 600), "window": (1200, 800)}
PORT = 4283


def sample(name):
    """A sample recording at the server's rate."""
    sound, rate = soundfile.read(ROOT / "models" / "sample" / f"{name}.ogg", always_2d=True)
    return resample(sound.mean(axis=1), rate, RATE).astype(np.float32)


def take(page, path):
    """A picture of an open gate without trouble, with a palette: a quarter of the bytes."""
    calm = "document.querySelector('#trouble').hidden"
    while not page.evaluate(calm) or page.text_content("#state-word") != "Open":
        time.sleep(0.02)
    time.sleep(0.5)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, path.stat().st_size)


def looked_at(browser, address, size, scheme):
    """A page that is connected."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector("#offline", state="hidden")
    return page


def mark(page, peer, sound, side):
    """Play a sound and press the button until there is enough of it."""
    peer.sound = sound
    while "enough" not in page.get_attribute(f"#mark-{side}", "class"):
        time.sleep(6.0)
        page.click(f"#mark-{side}")
        page.wait_for_timeout(500)


def main():
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "docs")
    parser.add_argument("--realtime", action="store_true",
                        help="with real-time scheduling, for a busy machine")  # fmt: skip
    args = parser.parse_args()
    end_servers_on_sigterm()
    folder = args.folder
    options = ["--threshold-db", "-50", "--page", str(PORT), "--host-api", "jack"]
    options += ["--input", "usb-mic", "--output", "system"]
    with chromium() as browser, JackServer(RATE, PERIOD, args.realtime) as server, \
            tempfile.TemporaryDirectory() as home:  # fmt: skip
        peer = Peer(server, talk(RATE, 20.0)[:, 0], RATE, "usb-mic")
        env = {**server.env, "XDG_STATE_HOME": home, "XDG_DATA_HOME": home}
        with Live(*options, env=env) as live:
            live.wait_for(lambda s: any("page: http" in e for e in s["events"]))
            (address,) = [e.split()[1] for e in live.events if e.startswith("page: http")]
            time.sleep(16.0)
            for scheme in ("dark", "light"):
                for name, size in SIZES.items():
                    page = looked_at(browser, address, size, scheme)
                    take(page, folder / f"page-{name}-{scheme}.png")
                    page.context.close()
            page = looked_at(browser, address, (640, 760), "dark")
            mark(page, peer, sample("snare"), "open")
            mark(page, peer, sample("hihat"), "shut")
            while "Taught" not in page.text_content("#teach-state"):
                time.sleep(0.2)
            peer.sound = sample("beat")
            time.sleep(12.0)
            take(page, folder / "page-teaching.png")
        peer.close()


if __name__ == "__main__":
    main()
