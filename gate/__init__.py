"""The gate's whole signal path, in numpy alone."""

__version__ = "0.1.0"
