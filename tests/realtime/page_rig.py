"""What tests of the page in a browser have in common."""

import contextlib
import time

from waiting import until

PATIENCE_MS = 240_000  # a busy machine is slow; nothing here waits for a clock


@contextlib.contextmanager
def looked_at(browser, server, width=300, height=600, scheme="dark", query="", **more):
    """A page that is connected; afterwards it must not have complained or asked elsewhere."""
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme, **more)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.trouble, page.asked = [], []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(server.address + query)
    page.wait_for_selector("#offline", state="hidden")
    wait(page, "document.querySelector('#threshold_db').value !== '' && !document.querySelector"
               "('#main').classList.contains('off')")  # fmt: skip
    try:
        yield page
        assert page.trouble == []
        assert all(url.startswith(server.address) for url in page.asked), page.asked
    finally:
        context.close()


def wait(page, condition):
    """Until JavaScript is true; `wait_for_function` would need what the page's policy forbids."""
    until(lambda: page.evaluate(condition), condition)


def shows(page, selector, words):
    until(lambda: words in page.text_content(selector), f"{selector} never says {words}")


def settled(gate, *pages):
    """The threshold, once every page, the control and the engine agree and stay so."""
    agreed = []
    while len(agreed) < 5 or len(set(agreed[-5:])) > 1:
        until(lambda: {gate.settings["threshold_db"], gate.control.settings.threshold_db}
              == {float(page.input_value("#threshold_db")) for page in pages})  # fmt: skip
        agreed.append(gate.settings["threshold_db"])
        time.sleep(0.05)
    return agreed[-1]


def drag_line(page, by):
    """Take the threshold's line and move it `by` pixels down."""
    box = page.locator("#line").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + by / 2)
    page.mouse.move(x, y + by)
    page.mouse.up()
