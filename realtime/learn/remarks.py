"""What is said about examples while they are taken in: refusals, warnings, remarks."""

from gate.errors import GateError


class TeachingError(GateError):
    """The examples cannot teach a gate."""


class TeachingNotes:
    """Collects warnings and remarks, each once.

    Attributes
    ----------
    warnings, remarks : list of str
    rates : dict
        Label to the set of sample rates seen on that side.
    """

    def __init__(self):
        self.warnings, self.remarks = [], []
        self.rates = {}

    def warn(self, text):
        """Something that will make the gate worse."""
        if text not in self.warnings:
            self.warnings.append(text)

    def tell(self, text):
        """Something worth knowing."""
        if text not in self.remarks:
            self.remarks.append(text)
