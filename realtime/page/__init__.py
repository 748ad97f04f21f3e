"""The page of `gate-live`: what the terminal shows and does, in a browser on this machine.

In the order in which a request meets them:

- `secret`: the random part of the page's address, kept so that a docked address stays valid.
- `guard`: who gets in (loopback names, the right token, no other site), and the headers sent.
- `server`: HTTP for the files of `static/`, a WebSocket for the rest; one thread, bounded queues.
- `feed`: what a page is sent: hops since the last frame, and what has changed.
- `health`: the counters in words.
- `commands`: what a page may ask for, carried out by the same `LiveControl` as keys and OSC.
- `static/`: plain HTML, CSS and JavaScript; nothing is built, nothing comes from elsewhere.
"""
