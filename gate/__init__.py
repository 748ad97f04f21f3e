"""The gate's whole signal path, in numpy alone."""
