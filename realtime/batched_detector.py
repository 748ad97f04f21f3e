"""One network call for many microphones: the same ONNX file, its channels side by side."""

import numpy as np

from gate.detector import Detection
from gate.errors import ModelError
from realtime.models import find_model
from realtime.onnx_detector import _OUTPUTS, OnnxDetector, heard_or_silence


class BatchedDetector:
    """Runs one hop of many channels in one call.

    Parameters
    ----------
    model : str or path-like
        A shipped name or an ONNX file whose state has a free axis of channels.
    channels : int
        How many, at least 1.

    Raises
    ------
    ModelError
        If the file cannot run several channels.

    Notes
    -----
    State: the network's, a row a channel. A batched product adds up in another order than a
    single one, so the outputs equal separate detectors' within float32 rounding.
    """

    def __init__(self, model, channels):
        single = OnnxDetector(find_model(model))
        self.info, self._session = single.info, single._session
        shape = next(i.shape for i in self._session.get_inputs() if i.name == "state")
        free = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
        if channels > 1 and len(free) != 1:
            raise ModelError(f"{model}: state of shape {shape} has no axis of channels")
        self.channels = channels
        self._shape = tuple(size if isinstance(size, int) else channels for size in shape)
        self._channel_axis = free[0] if free else None
        self.reset()

    def reset(self, channel=None):
        """All-zero state, of one channel or of all."""
        if channel is None or self._channel_axis is None:
            self._state = np.zeros(self._shape, np.float32)
        else:
            self._state = self._state.copy()
            np.moveaxis(self._state, self._channel_axis, 0)[channel] = 0.0

    def process(self, features, ears=None):
        """Classify one hop of every channel.

        Parameters
        ----------
        features : ndarray, shape (channels, n_mels), float32
        ears : ndarray, shape (channels, k), float32, optional

        Returns
        -------
        gate.detector.Detection
            A row a channel.
        """
        given = {"features": features, "state": self._state}
        if self.info.ears:
            given["ears"] = heard_or_silence(ears, self.channels, len(self.info.ears))
        *found, self._state = self._session.run([*_OUTPUTS, "state_out"], given)
        return Detection(*found)
