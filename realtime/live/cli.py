"""`gate-live`: microphone, gate, output."""

import realtime.one_thread  # noqa: F401  # isort: skip  # before numpy

import argparse
import contextlib
import sys
from dataclasses import fields, replace

from gate import checks
from realtime.live_settings import DEFAULT_PAGE_PORT, PageSettings
from realtime.options import Parser, add_gate_options, config_from_args, number_or, run

PROG = "gate-live"
_EPILOG = """\
examples:
  gate-live --list-devices
  gate-live --threshold-db -50                    default microphone to default output
  gate-live --input usb --virtual-mic             a gated microphone for other programs
  gate-live --page                                a page for the browser, to dock in OBS
  gate-live --host-api jack --no-ui --record takes

keys: up/down threshold, left/right range, [ ] lookahead, b bypass, l key listen, m mute,
      t target, p profile, h take the hint, q quit
teaching: o that should open, s that should stay shut, w that was wrong, u undo"""


def build_parser():
    """The command line of `gate-live`."""
    parser = Parser(
        prog=PROG,
        description="Gate a microphone and play it on an output or a virtual microphone.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    device = parser.add_argument_group("device")
    device.add_argument("--list-devices", action="store_true", help="print the devices and exit")
    device.add_argument("--input", type=_device, metavar="DEVICE", help="number, part of the name, "
                        "or a PulseAudio or PipeWire source's name")  # fmt: skip
    device.add_argument("--output", type=_device, metavar="DEVICE",
                        help="number or part of the name")  # fmt: skip
    device.add_argument("--host-api", metavar="NAME", help="look there only: alsa, jack, wasapi...")
    device.add_argument("--sample-rate", type=int, metavar="HZ",
                        help="8000 to 192000 (default: the input device's own)")  # fmt: skip
    device.add_argument("--block-size", type=int, metavar="N",
                        help="samples a block (default 100; JACK brings its own)")  # fmt: skip
    device.add_argument("--input-channels", type=_numbers, metavar="N[,N]",
                        help="channels to gate, counted from 1 (default 1)")  # fmt: skip
    device.add_argument("--output-channels", type=_numbers, metavar="N[,N]",
                        help="where they go (default: one channel to 1,2)")  # fmt: skip
    device.add_argument("--key-channels", type=_numbers, metavar="N[,N]",
                        help="input channels that key the gate (default: its own)")  # fmt: skip
    device.add_argument("--latency", type=_latency, metavar="auto|low|high|MS",
                        help="what to ask of the device, ms up to 2000 (default auto: "
                        "low, and 40 ms of PulseAudio or PipeWire)")  # fmt: skip
    device.add_argument("--wait", action="store_true", help="wait for devices not there yet")
    device.add_argument("--virtual-mic", action="store_true",
                        help="Linux: make a microphone that other programs can choose, and "
                        "remove it on exit")  # fmt: skip
    budget = number_or("auto", "off", what="ms")
    device.add_argument("--detector-budget-ms", type=budget, metavar="auto|off|MS",
                        help="time for a hop before the gate fails open, 0.01 to 1000 ms "
                        "(default auto: a block, 1 to 5 ms)")  # fmt: skip
    beside = parser.add_argument_group("beside the sound")
    views = beside.add_mutually_exclusive_group()
    views.add_argument("--no-ui", action="store_true", help="log a line now and then")
    views.add_argument("--json", action="store_true", help="print a JSON object a second")
    beside.add_argument("--log-every", type=float, metavar="S",
                        help="seconds between lines, 0.1 to 3600 (10; --json 1)")  # fmt: skip
    beside.add_argument("--record", metavar="DIR", help="write dry and gated WAV and the trace")
    beside.add_argument("--save", nargs="?", const=True, metavar="NAME|FILE",
                        help="keep what is taught (keys o, s, w) under a name, in a .gate.yaml "
                        "file, or, with neither, in the profile that runs")  # fmt: skip
    beside.add_argument("--record-minutes", type=float, metavar="MIN",
                        help="begin new files after so long, 0.01 to 60 (default 10)")  # fmt: skip
    beside.add_argument("--page", type=int, nargs="?", const=DEFAULT_PAGE_PORT, metavar="PORT",
                        help="the same view and controls as a page in the browser, to dock in "
                        f"OBS; on this machine only (port {DEFAULT_PAGE_PORT})")  # fmt: skip
    beside.add_argument(
        "--osc-port", dest="port", type=int, metavar="PORT", help="listen for OSC on UDP"
    )
    beside.add_argument(
        "--osc-host", dest="host", metavar="ADDRESS", help="listen there (default 127.0.0.1)"
    )
    beside.add_argument(
        "--osc-send", dest="send_to", metavar="HOST:PORT", help="always send the meters there"
    )
    add_gate_options(parser)
    return parser


def main(argv=None):
    """Entry point; returns the exit code."""
    args = build_parser().parse_args(argv)
    return run(PROG, lambda: _main(args))


def _main(args):
    if args.list_devices:
        return _list_devices(args)
    if args.log_every is not None:
        checks.number("log_every", args.log_every, 0.1, 3600)
    config = read_config(args)
    from realtime.batch.threshold import check_auto
    from realtime.live.server_route import ServerRoute, has_server
    from realtime.live.teaching import own_file

    check_auto(config)
    own_file(config.live.save, config.engine.profile)  # refuses before anything is opened
    from realtime.live.session import LiveSession

    read = config
    microphone, route = None, ServerRoute(config.live) if has_server() else None
    if route is not None:
        config = replace(config, live=route.settings(config.live))
    if args.virtual_mic:
        from realtime.live.virtual_mic import VirtualMic

        microphone = VirtualMic()
        config = replace(config, live=microphone.settings(config.live))

    def reread():
        again = read_config(args)
        return again if again.live != read.live else replace(again, live=config.live)

    with _made(route, microphone):
        LiveSession(
            config,
            reread,
            config_path=args.config,
            view=_view(args),
            patient=args.wait,
            log_period_s=args.log_every,
            microphone=microphone,
            route=route,
        ).run()
    return 0


def read_config(args):
    """`Config` of the file with all flags of `gate-live` laid over it.

    Raises
    ------
    ConfigError
    """
    config = config_from_args(args)

    def laid_over(section):
        """The section with those of its flags that are given."""
        given = {f.name: getattr(args, f.name, None) for f in fields(section)}
        return replace(section, **{n: value for n, value in given.items() if value is not None})

    sections = {name: laid_over(getattr(config, name)) for name in ("engine", "live", "osc")}
    page = config.page if args.page is None else PageSettings(args.page)
    return replace(config, page=page, **sections)


def _list_devices(args):
    from realtime.live.devices import devices_table, query_devices, quiet
    from realtime.live.server_route import server_table

    with quiet():
        devices = query_devices()
    if args.host_api:
        devices = [d for d in devices if args.host_api.lower() in d.host_api.lower()]
    print(devices_table(devices))
    if not args.host_api or args.host_api.lower() in "alsa":
        table = server_table()
        print("\n" + table if table else "", end="\n" if table else "")
    return 0


@contextlib.contextmanager
def _made(route, microphone):
    """With the virtual microphone, if one is wanted, and nothing left in the server afterwards."""
    try:
        if microphone is not None:
            microphone.make()
        yield
    finally:
        if route is not None:
            route.close()
        if microphone is not None:
            microphone.remove()


def _view(args):
    if args.json:
        return "json"
    return "log" if args.no_ui or not (sys.stdout.isatty() and sys.stdin.isatty()) else "screen"


def _device(text):
    return int(text) if text.isdigit() else text


def _numbers(text):
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be channel numbers such as 1,2") from None


def _latency(text):
    found = number_or("auto", "low", "high", what="ms")(text)
    return found if isinstance(found, str) else found * 1e-3


if __name__ == "__main__":
    sys.exit(main())
