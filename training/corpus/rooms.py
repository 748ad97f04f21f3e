"""Room impulse responses: measured ones, simulated shoeboxes, and tails of noise."""

import numpy as np

from gate.errors import ConfigError
from training.corpus.decode import read_mono, resample

RATE = 16000
_LONGEST_S = 1.0  # kept of a response
_BEFORE_S = 0.0005  # kept before the direct sound's peak
_EARLY_S = 0.02


def trim_response(response, sample_rate=RATE, fade_s=0.025):
    """A response that begins with its direct sound and has unit energy up to 20 ms.

    Labels are drawn from the dry signal, so the time of flight is cut off; the early energy is
    normalised so that a room does not change the level of the direct sound.
    """
    peak = int(np.argmax(np.abs(response)))
    begin = max(0, peak - round(_BEFORE_S * sample_rate))
    cut = np.array(response[begin:][: round(_LONGEST_S * sample_rate)])
    fade = min(len(cut), round(fade_s * sample_rate))
    cut[len(cut) - fade :] *= np.linspace(1.0, 0.0, fade, dtype=cut.dtype)
    return cut / np.sqrt(np.sum(np.square(cut[: round(_EARLY_S * sample_rate)])) + 1e-12)


def measured_room(path, sample_rate):
    """A measured response from its file, trimmed, float64."""
    response = resample(*read_mono(path), sample_rate)
    return trim_response(response.astype(np.float64), sample_rate, fade_s=0.05)


def noise_room(rng, sample_rate):
    """Response of a plain room: direct sound, then noise that dies away."""
    reverberation_s, direct_db = rng.uniform(0.15, 0.8), rng.uniform(0.0, 12.0)
    t = np.arange(round(min(1.0, reverberation_s) * sample_rate)) / sample_rate
    tail = rng.normal(size=len(t)) * 10.0 ** (-3.0 * t / reverberation_s)
    tail[: round(rng.uniform(0.002, 0.01) * sample_rate)] = 0.0
    tail *= 10.0 ** (-direct_db / 20.0) / np.sqrt(np.sum(np.square(tail)))
    tail[0] = 1.0
    return tail


def from_afar(response, distance):
    """A trimmed response with its direct sound weakened, as of somebody further away.

    Parameters
    ----------
    response : ndarray
    distance : float
        0 leaves it, 1 takes 12 dB off the first 3 ms.
    """
    far = np.array(response, dtype=np.float32)
    far[: 3 * RATE // 1000] *= np.float32(10.0 ** (-12.0 * distance / 20.0))
    return far / np.sqrt(np.sum(np.square(far[:320])) + 1e-12)


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
        responses.append(trim_response(np.asarray(room.rir[0][0], dtype=np.float32)))
    return responses
