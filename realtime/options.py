"""Options that the commands share, and how an error leaves the program.

A flag beats the file, the file beats the default: flags default to None.
"""

import argparse
import contextlib
import os
import sys
from dataclasses import replace

from gate.errors import ConfigError, GateError
from gate.key import KeyBand
from gate.settings import CHOICES, FILE, LEARNED, RANGES
from realtime.config import AUTO, ENGINES, load_config
from realtime.interrupt import Interrupts
from realtime.outputs import discard_partials, printable, why

EXIT_FAILURE, EXIT_USAGE = 1, 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message):
        """Print one line and exit with 2."""
        print_anything()
        text = printable(f"{self.prog}: error: {message} (see {self.prog} --help)")
        self.exit(EXIT_USAGE, text + "\n")


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
    group.add_argument(
        "--engine", dest="kind", choices=ENGINES, help="native: machine code (make native)"
    )
    group.add_argument("--target", metavar="NAME", help="what is wanted: speech, voice, ...")
    numbers = {
        "threshold_db": "dBFS the key level must exceed to open",
        "range_db": "gain of the closed gate in dB",
        "hysteresis_db": "dB below the threshold down to which it stays open",
        "lookahead_ms": "delay of the audio in ms, to open before the sound",
    }
    for name, what in numbers.items():
        low, high = RANGES[name]
        text = f"{what}, {low:g} to {high:g}{_ALSO.get(name, '')}"
        kind = _KINDS.get(name, float)
        unit = name.rsplit("_")[-1].upper()
        group.add_argument(_flag(name), type=kind, metavar=unit, help=text)
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
        group.add_argument(_flag(name), type=number_or(LEARNED), metavar="X", help=text)
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
    automatic = getattr(args, "threshold_db", None) == AUTO
    if automatic:
        args.threshold_db = None
    changes = {n: getattr(args, n) for n in names if getattr(args, n, None) is not None}
    engine = {n: getattr(args, n) for n in ("model", "profile", "kind") if getattr(args, n, None)}
    if automatic or "threshold_db" in changes:
        engine["auto_threshold"] = automatic
    if changes.get("lookahead_ms") == AUTO:
        del changes["lookahead_ms"]
        engine["auto_lookahead"] = True
    elif "lookahead_ms" in changes:
        engine["auto_lookahead"] = False
    return replace(
        config, gate=config.gate.with_changes(changes), engine=replace(config.engine, **engine)
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
    print_anything()
    with Interrupts():
        try:
            code = work() or 0
            sys.stdout.flush()
            return code
        except ConfigError as error:
            return _end(prog, error, EXIT_USAGE)
        except GateError as error:
            return _end(prog, error, EXIT_FAILURE)
        except BrokenPipeError:
            return _end_of_pipe(prog)
        except OSError as error:
            where = f"{_name(error.filename)}: " if error.filename else ""
            return _end(prog, f"{where}{why(error)}", EXIT_FAILURE)
        except MemoryError:
            return _end(prog, "not enough memory", EXIT_FAILURE)
        except KeyboardInterrupt as error:
            print(f"{prog}: interrupted", file=sys.stderr)
            return 128 + getattr(error, "number", 2)
        finally:
            discard_partials()


def _end(prog, error, code):
    print(f"{prog}: error: {printable(str(error))}", file=sys.stderr)
    return code


def _name(name):
    return os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name)


def _end_of_pipe(prog):
    """Whoever read our output has gone; Python would complain once more on the way out."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _end(prog, "standard output was closed", EXIT_FAILURE)


def print_anything():
    """Let names that are not text, or not in the terminal's letters, be printed all the same."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")


def _flag(name):
    return "--" + name.replace("_", "-")


def number_or(*words, what="a number"):
    """What reads a number, which `what` names for people, or one of these words."""

    def read(text):
        if text in words:
            return text
        try:
            return float(text)
        except ValueError:
            names = " or ".join(repr(word) for word in words)
            raise argparse.ArgumentTypeError(f"{text!r} must be {what} or {names}") from None

    return read


_ALSO = {
    "lookahead_ms": "; file: decided with all of it in view; auto: file for files, else 0",
    "threshold_db": ", or auto: taken from the sound",
}
_KINDS = {"lookahead_ms": number_or(FILE, AUTO), "threshold_db": number_or(AUTO)}


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
