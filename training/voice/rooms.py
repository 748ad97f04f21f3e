"""Room impulse responses: measured ones from the corpus and simulated shoeboxes."""

import numpy as np

from gate.errors import ConfigError

RATE = 16000
_LONGEST = RATE  # samples kept of a response


def trim_response(response):
    """A response that begins with its direct sound and has unit energy up to 20 ms.

    Labels are drawn from the dry signal, so the time of flight is cut off; the early energy is
    normalised so that a room does not change the level of the direct sound.
    """
    peak = int(np.argmax(np.abs(response)))
    cut = np.array(response[max(0, peak - 8) :][:_LONGEST], dtype=np.float32)
    fade = min(len(cut), 400)
    cut[len(cut) - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return cut / np.sqrt(np.sum(np.square(cut[:320])) + 1e-12)


def measured_rooms(corpus, split="train"):
    """Responses of the corpus' split, trimmed."""
    return [trim_response(corpus.read(i)) for i in corpus.select(split, "ir")]


def simulated_rooms(seed, count):
    """Shoebox rooms by the image-source method (``pyroomacoustics``), trimmed.

    Rooms of 2 to 12 m a side with a reverberation time of 0.12 to 0.9 s, the source 0.2 to 4 m
    from the microphone.
    """
    if not count:
        return []
    try:
        import pyroomacoustics
    except ImportError:
        raise ConfigError("rooms=simulated must have pyroomacoustics installed") from None
    rng = np.random.default_rng([seed, 11])
    responses = []
    while len(responses) < count:
        size = np.array([rng.uniform(2, 12), rng.uniform(2, 9), rng.uniform(2.2, 4.5)])
        rt60 = rng.uniform(0.12, min(0.9, 0.25 + size.prod() / 150))
        try:
            absorption, order = pyroomacoustics.inverse_sabine(rt60, size)
        except ValueError:  # this room cannot be that dry
            continue
        room = pyroomacoustics.ShoeBox(
            size, fs=RATE, materials=pyroomacoustics.Material(absorption), max_order=min(order, 14)
        )
        microphone = size * rng.uniform(0.15, 0.85, 3)
        direction = rng.standard_normal(3) * [1, 1, 0.4]
        distance = np.exp(rng.uniform(np.log(0.2), np.log(4.0)))
        source = microphone + direction / np.linalg.norm(direction) * distance
        source = np.clip(source, 0.1, size - 0.1)
        room.add_source(source)
        room.add_microphone(microphone)
        room.compute_rir()
        responses.append(trim_response(room.rir[0][0]))
    return responses
