"""VGGish beside the stream: a worker thread hears 0.96 s patches and answers with presence.

`VggishDetector` wraps a compact detector and replaces its presence by that of a head on VGGish
embeddings; key and ballistics stay the compact detector's. VGGish costs about 15 ms a patch, so
it never runs in the audio callback: a patch is handed to a thread every `patch_hops` hops, and
its answer counts from `delay_hops` hops later, whether it came early or not, so that the same
sound gives the same gain as long as the thread keeps up.
"""

import dataclasses
import hashlib
import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gate.errors import ConfigError, ModelError
from gate.features import VGGISH_LOG_OFFSET
from realtime.around import Around
from realtime.onnx_session import open_session

HEAD_FORMAT = "exemplar-gate-embedding-head"
VGGISH_FORMAT = "exemplar-gate-vggish"
N_FRAMES = 96
_HEAD_ROWS = 10
_STALE_HOPS = 200

DEFAULT_PATH = Path("~/.exemplar-gate/vggish.onnx")
"""Where ``gate-train import-vggish`` puts the converted weights unless told otherwise."""

WHERE_FROM = (
    "the VGGish weights are not part of this project: get vggish-10086976.pth from the releases of "
    "github.com/harritaylor/torchvggish and storage.googleapis.com/audioset/vggish_pca_params.npz, "
    "then run gate-train import-vggish --weights vggish-10086976.pth --pca vggish_pca_params.npz"
)


def is_embedding_head(metadata):
    """Whether an ONNX file's metadata (a dict) is that of a head on VGGish embeddings."""
    return metadata.get("format") == HEAD_FORMAT


def find_vggish(path=None):
    """Path of the converted VGGish: the one given, or `DEFAULT_PATH`.

    Raises
    ------
    ModelError
        Saying where the weights come from, if there is no such file.
    """
    path = Path(path or DEFAULT_PATH).expanduser()
    if not path.is_file():
        raise ModelError(f"{path}: no such file; {WHERE_FROM}")
    return path


def _metadata(session, path, wanted):
    meta = dict(session.get_modelmeta().custom_metadata_map)
    if meta.get("format") != wanted or meta.get("format_version") != "1":
        raise ModelError(
            f"{path}: metadata format={meta.get('format')!r}, "
            f"format_version={meta.get('format_version')!r} must be {wanted!r}, '1'"
        )
    return meta


class VggishDetector(Around):
    """A detector whose presence comes from VGGish and a head on its embeddings.

    Parameters
    ----------
    compact : Detector
        Gives embedding, key and ballistics, and the presence until the first answer.
    vggish, head : str or Path
        ONNX files: patches (n, 96, 64) to embeddings (n, 128) uint8, and embeddings
        (1, rows, 128) uint8 to ``per_second`` (1, rows).
    patch_hops : int
        A patch is heard every so many hops of 10 ms; a divisor of 96.
    delay_hops : int
        Hops from a patch's end until its answer counts, at most `patch_hops`.

    Notes
    -----
    Latency of presence: `delay_hops` on top of what a 0.96 s window takes to notice a sound.
    State: the last 96 hops, the embeddings of the last 9 s, the answer on its way. In a call
    with many hops the answers are waited for, in a call with one they never are: an answer that
    is late is counted in `late_patches`, a patch that could not be heard because the one before
    was not done in `skipped_patches`, and after 2 s without any the call raises, so that the
    gate fails open.
    """

    def __init__(self, compact, vggish, head, patch_hops=24, delay_hops=12):
        if patch_hops < 1 or N_FRAMES % patch_hops:
            raise ConfigError(f"patch_hops={patch_hops} must divide {N_FRAMES}")
        if not 1 <= delay_hops <= patch_hops:
            raise ConfigError(f"delay_hops={delay_hops} must be in 1..{patch_hops}")
        self.detector = compact
        self.patch_hops, self.delay_hops = patch_hops, delay_hops
        self._vggish, self._head = open_session(vggish), open_session(head)
        _metadata(self._vggish, vggish, VGGISH_FORMAT)
        meta = _metadata(self._head, head, HEAD_FORMAT)
        self.info = self._make_info(meta, vggish, head)
        self._columns = compact.info.target_columns(next(iter(self.info.targets)))
        self._offset = np.float32(VGGISH_LOG_OFFSET - compact.info.mel.log_offset)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="vggish")
        self._make_buffers()
        self.reset()

    def _make_info(self, meta, vggish, head):
        target = meta["target"].lower()
        threshold = float(meta["presence_threshold"])
        digest = hashlib.sha256(self.detector.info.sha256.encode())
        for path in (vggish, head):
            digest.update(Path(path).read_bytes())
        # The voice in a mixture of both is still the compact detector's business.
        targets = {target: (target,)} | ({"voice": (target,)} if target == "speech" else {})
        return dataclasses.replace(
            self.detector.info,
            name=meta.get("name", Path(head).stem),
            classes=(target,),
            targets=targets,
            presence_threshold=dict.fromkeys(targets, threshold),
            presence_hysteresis=dict.fromkeys(targets, float(meta["presence_hysteresis"])),
            decision={},  # its answers come four a second: the classic rule
            sha256=digest.hexdigest(),
            metadata={"head": json.dumps(meta), "compact": self.detector.info.name},
        )

    def _make_buffers(self):
        n_mels = self.detector.info.mel.n_mels
        self._timeline = np.zeros((8 * N_FRAMES, n_mels), dtype=np.float32)
        self._one = np.zeros((1, 1), dtype=np.float32)

    def reset(self):
        """Back to silence; a patch still being heard is forgotten."""
        self.detector.reset()
        self._timeline[:N_FRAMES] = np.log(np.float32(VGGISH_LOG_OFFSET))
        self._filled = N_FRAMES
        self._hop = 0
        self._answered_at = 0
        self._presence = None
        self._pending = None
        self._due = 0
        self._rows = deque(maxlen=(_HEAD_ROWS - 1) * (N_FRAMES // self.patch_hops))
        self.late_patches = 0
        self.skipped_patches = 0

    def fork(self):
        """Another detector on the same sessions and thread, with a copy of the state."""
        other = object.__new__(VggishDetector)
        other.__dict__.update(self.__dict__)
        other.detector = self.detector.fork()
        other._make_buffers()
        other._timeline[: self._filled] = self._timeline[: self._filled]
        other._rows = self._rows.copy()
        return other

    def process(self, features, *ears):
        """Classify the next hops; see `gate.detector.Detector.process`."""
        found = self.detector.process(features, *ears)
        n_hops = len(features)
        presence = self._one if n_hops == 1 else np.empty((n_hops, 1), dtype=np.float32)
        compact_presence = found.presence[:, self._columns].max(axis=1)
        patches = np.exp(features)
        patches += self._offset
        np.log(patches, out=patches)
        for hop in range(n_hops):
            self._push(patches[hop])
            self._hop += 1
            if self._pending is not None and self._hop >= self._due:
                self._collect(wait=n_hops > 1)
            if self._hop >= N_FRAMES and self._hop % self.patch_hops == 0:
                self._submit()
            known = self._presence
            presence[hop, 0] = compact_presence[hop] if known is None else known
        return found._replace(presence=presence)

    def _push(self, row):
        if self._filled == len(self._timeline):
            self._timeline[:N_FRAMES] = self._timeline[-N_FRAMES:]
            self._filled = N_FRAMES
        self._timeline[self._filled] = row
        self._filled += 1

    def _submit(self):
        if self._pending is not None:
            self.skipped_patches += 1
            return
        patch = self._timeline[self._filled - N_FRAMES : self._filled].copy()
        step = N_FRAMES // self.patch_hops
        past = list(self._rows)[-step::-step][::-1]
        self._pending = self._executor.submit(self._hear, patch, past)
        self._due = self._hop + self.delay_hops

    def _collect(self, wait):
        if not (wait or self._pending.done()):
            self.late_patches += self._hop == self._due
            if self._hop - max(self._answered_at, N_FRAMES) > _STALE_HOPS:
                raise ModelError("VGGish gave no answer for 2 s: it does not keep up")
            return
        pending, self._pending = self._pending, None
        row, self._presence = pending.result()
        self._rows.append(row)
        self._answered_at = self._hop

    def _hear(self, patch, past):
        """In the thread: one patch and the rows before it to its row and its presence."""
        row = self._vggish.run(None, {"patches": patch[None]})[0][0]
        rows = np.stack([*past, row])[None]
        return row, float(self._head.run(["per_second"], {"embeddings": rows})[0][0, -1])


def open_vggish_detector(compact, head):
    """The detector for ``model: audioset-speech``.

    Parameters
    ----------
    compact : Detector
    head : str or Path
        ONNX file of the head.

    Raises
    ------
    ModelError
        Saying where the VGGish weights come from, if they are not there.
    """
    return VggishDetector(compact, find_vggish(), head)
