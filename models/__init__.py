"""The shipped detectors: NAME.onnx, its card NAME.md and its reference vectors NAME.npz."""
