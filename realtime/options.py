"""Options that the commands share, and how an error leaves the program.

A flag beats the file, the file beats the default: flags default to None.
"""

import argparse
import sys
from dataclasses import replace

from gate.errors import ConfigError, GateError
from gate.key import KeyBand
from gate.settings import CHOICES, LEARNED, RANGES
from realtime.config import load_config

EXIT_FAILURE, EXIT_USAGE = 1, 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message):
        """Print one line and exit with 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def add_gate_options(parser):
    """Add `--config`, the detector and every setting of the gate."""
    group = parser.add_argument_group(
        "gate", "a flag beats the configuration file, which beats the default"
    )
    group.add_argument("--config", metavar="FILE", help="YAML file of settings; see config.yaml")
    group.add_argument(
        "--model", metavar="NAME|FILE", help="detector: shipped name, ONNX file, or none (by level)"
    )
    group.add_argument("--profile", metavar="FILE", help="profile made by gate-learn")
    group.add_argument("--target", metavar="NAME", help="what is wanted: speech, voice, ...")
    numbers = {
        "threshold_db": "dBFS the key level must exceed to open",
        "range_db": "gain of the closed gate in dB",
        "hysteresis_db": "dB below the threshold down to which it stays open",
        "lookahead_ms": "delay of the audio in ms, to open before the sound",
    }
    for name, what in numbers.items():
        low, high = RANGES[name]
        text = f"{what}, {low:g} to {high:g}"
        group.add_argument(_flag(name), type=float, metavar=name.rsplit("_")[-1].upper(), help=text)
    learnable = {
        "attack_ms": "ms to cover 63 %% of the way to open",
        "hold_ms": "ms to stay open after the sound; a number brings hysteresis back",
        "release_ms": "ms to cover 63 %% of the way to closed",
        "presence_threshold": "probability of the target that speaks neither for nor against it",
        "presence_hysteresis": "with a pinned hold: how far below that it stays open",
    }
    for name, what in learnable.items():
        low, high = RANGES[name]
        text = f"{what}, {low:g} to {high:g}, or learned"
        group.add_argument(_flag(name), type=_number_or_learned, metavar="X", help=text)
    group.add_argument(
        "--key", type=_key, metavar="KEY", help="learned, off, or a band in Hz such as 150-5000"
    )
    for name, choices in CHOICES.items():
        group.add_argument(_flag(name), choices=choices)
    group.add_argument(
        "--key-listen", action="store_true", default=None, help="output what the key lets through"
    )
    group.add_argument(
        "--bypass", action="store_true", default=None, help="pass everything, show what it would do"
    )


def config_from_args(args):
    """`Config` of the file named by ``--config`` with the flags laid over it.

    Raises
    ------
    ConfigError
    """
    config = load_config(args.config)
    names = [*RANGES, "key", "target", *CHOICES, "key_listen", "bypass"]
    changes = {n: getattr(args, n) for n in names if getattr(args, n, None) is not None}
    engine = {n: getattr(args, n) for n in ("model", "profile") if getattr(args, n, None)}
    return replace(
        config,
        gate=config.gate.with_changes(changes),
        engine=replace(config.engine, **engine),
    )


def run(prog, work):
    """Call `work` and turn what it raises into one line and an exit code.

    Parameters
    ----------
    prog : str
        Name of the command.
    work : callable
        Returns the exit code, or None for 0.
    """
    try:
        return work() or 0
    except ConfigError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except GateError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{prog}: error: {where}{error.strerror or error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130


def _flag(name):
    return "--" + name.replace("_", "-")


def _number_or_learned(text):
    if text == LEARNED:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number or 'learned'") from None


def _key(text):
    if text in (LEARNED, "off"):
        return text
    low, dash, high = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return KeyBand(float(low), float(high))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be learned, off, or a band in Hz such as 150-5000"
        ) from None
