"""`gate-train`: the trainer's command line.

Each subcommand lives in a module with two functions: ``add_parser(subparsers)`` adds its options
and returns the parser, ``run(args)`` does the work and returns the exit code (or None for 0).
Its ``DATA`` says which options are folders of recordings, and what they are called under
``data:`` in the configuration. Only the chosen module is imported.
"""

import argparse
import importlib
import sys

from realtime.config import load_config
from realtime.options import run

COMMANDS = {
    "adapt": ("training.adapt", "fine-tune the live detector on the examples of a profile"),
    "audioset": (
        "training.audioset.cli",
        "train, sweep, report and export on AudioSet's released embeddings",
    ),
    "import-vggish": (
        "training.audioset.vggish_cli",
        "convert the public VGGish weights to one ONNX file for live use",
    ),
    "voice": ("training.voice.cli", "train, evaluate and export the live voice detector"),
}
"""Subcommand -> (module, one-line help)."""

_EXTRA_PACKAGES = {
    "torch", "onnx", "scipy", "librosa", "sklearn", "matplotlib", "tqdm", "google", "google_crc32c",
}  # fmt: skip


def build_parser(chosen=None):
    """Make the parser; only the `chosen` subcommand gets its own options.

    Parameters
    ----------
    chosen : str or None
        Name in `COMMANDS` whose module is imported for its options.

    Returns
    -------
    parser : argparse.ArgumentParser
    module : module or None
        The chosen subcommand's module.
    """
    parser = argparse.ArgumentParser(prog="gate-train", description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    module = None
    for name, (path, help_text) in COMMANDS.items():
        if name == chosen:
            module = importlib.import_module(path)
            sub = module.add_parser(subparsers)
            if getattr(module, "DATA", None):
                sub.add_argument(
                    "--config", metavar="FILE", help="its data: says where recordings are"
                )
        else:
            subparsers.add_parser(name, help=help_text)
    return parser, module


def main(argv=None):
    """Run `gate-train`; returns the exit code (2 usage or bad setting, 1 failure)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # The only top-level option is --help, so a subcommand can only come first.
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    return run("gate-train", lambda: _work(chosen, argv))


def _work(chosen, argv):
    try:
        parser, module = build_parser(chosen)
        args = parser.parse_args(argv)
        _find_data(args, getattr(module, "DATA", {}))
        return module.run(args) or 0
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in _EXTRA_PACKAGES:
            message = f'{package} is missing: pip install "exemplar-gate[training]"'
        elif error.name in {path for path, _ in COMMANDS.values()}:
            message = f"{chosen} is not part of this installation"
        else:
            raise
        print(f"gate-train: {message}", file=sys.stderr)
        return 1


def _find_data(args, options):
    """Fill in the folders that no flag named from the configuration or its defaults."""
    folders = load_config(args.config).data if options else None
    for option, name in options.items():
        if getattr(args, option) is None:
            setattr(args, option, getattr(folders, name))


if __name__ == "__main__":
    sys.exit(main())
