"""Detectors around another one: a budget, a memory, a taught head, VGGish."""


class Around:
    """A detector that has another one inside it as `detector`, and that one's second ears."""

    @property
    def ears(self):
        """Second ears that the detector inside brings along."""
        return getattr(self.detector, "ears", ())

    @property
    def ears_silent(self):
        """Why an ear is not heard: name to reason."""
        return getattr(self.detector, "ears_silent", {})
