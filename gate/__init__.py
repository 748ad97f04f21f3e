"""The gate's whole signal path, in numpy alone.

The files, in the order in which sound goes through them:

    processor.py       the way in: `GateProcessor`, blocks of any size in, gated blocks out
    delay.py           the lookahead, the only delay that the sound itself meets
    lane.py            one key signal to one gain curve; a linked gate has one lane
      frontend.py      hops of what the detector hears, of these:
      linked.py        linked channels as one
      decimator.py     the device's rate to 16 kHz, 10 ms at a time
      features.py      log-mel and powers of a hop (banded.py: their matrix products)
      ears.py          what other detectors say of the same sound
      detector.py      what is asked of a detector: presence, key, ballistics
      key.py           the level of what the key lets through
      control.py       open or shut, hop by hop
      decision.py      the rules behind that, and one copy of them for whole recordings
      envelope.py      the gain of every sample
      stretches.py     many hops of a lane at once
    listen.py          hear the key instead
    hindsight.py       the same for recordings, decided from their end

Beside the path:

    settings.py        everything a user can set; checks.py: what a value must be
    units.py           decibels, times, samples
    meters.py          what a gate shows and counts; threshold_hint.py: which threshold would do
    errors.py          what it raises
    metrics.py         the measures of a gate, by its decisions (FEC, MSC, OVER, NDS ...)
    signal_metrics.py  and by what it did to the sound (the gated-signal loss)
"""

__version__ = "0.2.0"
