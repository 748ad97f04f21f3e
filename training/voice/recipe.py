"""How the live voice detector is made, from first to last.

    train       decode the recordings, let the teachers correct their labels, mix, and train
    average     the mean of several runs that began alike
    calibrate   make presence a probability, choose the rule that decides, fit attack and release
    export      write the ONNX file, checked against the network
    check       what the exported detector does on the dev or the test split

`build` does train, calibrate and export in a row. A run's folder holds what each step hands to the
next: ``checkpoint.pt`` (weights, to go on from), ``calibrated.pt`` (the finished network with the
report on how it was calibrated), and beside them curves, the pool of items and the decode cache.
"""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from gate.decision import EvidenceRule
from gate.errors import ConfigError
from training.corpus.cache import build_cache
from training.corpus.mixtures import evaluation_set
from training.voice import checkpoints
from training.voice import evaluate as figures
from training.voice.ballistics import BallisticsSettings, collect, fit_ballistics, pool_batches
from training.voice.calibrate import (
    CLASSIC_HYSTERESIS,
    FILE,
    STREAM,
    calibrate_presence,
    choose_rule,
    describe,
    limits_of_files,
    only,
)
from training.voice.devset import hear_dev, look
from training.voice.export import DetectorCard, export_voice
from training.voice.gate_loss import GateLossSettings
from training.voice.mixing import DESCRIPTION, Mixing
from training.voice.network import VoiceSettings
from training.voice.plots import plot_reliability
from training.voice.pool import ItemPool, PoolFiller
from training.voice.smoke import write_corpus
from training.voice.teachers import ask_teachers
from training.voice.train import Trainer, TrainSettings

TARGETS = {"speech": ["speech"], "voice": ["speech", "sung"]}
"""What the gate may be told to open for -> the classes of which any counts."""

_SET_TO_CHOOSE_RULE = (0.001, None, 0.005)  # attack and release while there are none yet


@dataclass(frozen=True)
class Recipe:
    """All that the steps need to know.

    Attributes
    ----------
    data, run : path-like
        Corpus folder; where the run keeps its files.
    mixing : Mixing
    teacher : path-like or None
        YAMNet's folder; None: labels from energy alone.
    training : TrainSettings
    network : VoiceSettings
    start : path-like or None
        Checkpoint or detector (``NAME.onnx``) whose weights to start from.
    pool : int
        Items kept on disk.
    look_mixtures, dev_mixtures : int
        Mixtures a ratio, to look at while training and to choose on.
    speechless : int or None
        At most so many dev recordings without speech a group; None: all.
    rule, file_rule : EvidenceRule or None
        Decide as sound comes in, and in files; None searches.
    fit : BallisticsSettings
        Its rule is the one that was chosen.
    fit_items : int
        Items of the pool to fit on; a fifth of them judges.
    """

    data: str
    run: Path
    mixing: Mixing
    teacher: str | None = None
    training: TrainSettings = field(default_factory=TrainSettings)
    network: VoiceSettings = field(default_factory=VoiceSettings)
    start: str | None = None
    pool: int = 12000
    look_mixtures: int = 8
    dev_mixtures: int = 40
    speechless: int | None = None
    rule: EvidenceRule | None = None
    file_rule: EvidenceRule | None = None
    fit: BallisticsSettings = field(default_factory=BallisticsSettings)
    fit_items: int = 1200

    @property
    def checkpoint(self):
        """Where the trained network is."""
        return Path(self.run) / "checkpoint.pt"

    @property
    def calibrated(self):
        """Where the finished network and its report are."""
        return Path(self.run) / "calibrated.pt"

    def open_pool(self):
        """The ring of items."""
        mixing = self.mixing
        shape = (mixing.n_hops, self.pool, mixing.n_ears, mixing.taught)
        return ItemPool(Path(self.run) / "pool", *shape)


def train(recipe, on_step=None):
    """Decode, ask the teachers, mix and train; run again to resume.

    Parameters
    ----------
    recipe : Recipe
    on_step : callable, optional
        See `Trainer.run`.

    Returns
    -------
    Trainer
    """
    mixing, cache = recipe.mixing, Path(recipe.mixing.cache)
    corpus = build_cache(recipe.data, cache, workers=max(1, min(2, os.cpu_count() or 1)))
    if recipe.teacher is not None and not (cache / "teachers.npz").is_file():
        ask_teachers(corpus, cache / "teachers.npz", recipe.teacher)
    pool = recipe.open_pool()
    if not recipe.checkpoint.is_file():
        pool.clear()
    with PoolFiller(mixing, pool) as filler:
        few = 15 if recipe.speechless is None else recipe.speechless
        dev = hear_dev(recipe.data, mixing, recipe.look_mixtures, few, mixing.seed + 99)
        filler.wait(recipe.training.batch_size)
        names = json.loads((pool.folder / "names.json").read_text(encoding="utf-8"))
        network = replace(
            recipe.network, n_ears=mixing.n_ears,
            n_speakers=len(names["speakers"]), n_events=len(names["events"]),
        )  # fmt: skip
        trainer = Trainer(pool, recipe.run, network, recipe.training, lambda net: look(net, dev))
        if not trainer.resume() and recipe.start:
            trainer.start_from(recipe.start)
        trainer.run(on_step, wait_items=min(1000, recipe.pool // 2))
    return trainer


def average(paths, recipe):
    """Put the mean of several runs' checkpoints in place of this run's."""
    checkpoints.average_checkpoints(paths, recipe.checkpoint)


def calibrate(recipe, print_line=print):
    """Make presence a probability, choose the rules, fit the ballistics; all on dev.

    The rule is chosen with fixed ballistics first, the ballistics fitted to it, and the rules of
    all targets chosen with those. Writes `Recipe.calibrated` and ``reliability.png``.
    """
    if not recipe.checkpoint.is_file():
        raise ConfigError(f"run={recipe.run} must hold a checkpoint (gate-train voice train)")
    torch.set_num_threads(recipe.training.threads)
    net = checkpoints.load_average(recipe.checkpoint)
    dev = hear_dev(recipe.data, recipe.mixing, recipe.dev_mixtures, recipe.speechless)

    figures.ask(net, dev)
    presence = calibrate_presence(net, dev)
    print_line(
        f"calibration error {presence['error_before']:.4f} before, "
        f"{presence['error_after']:.4f} after, {presence['error_held_out']:.4f} on held-out halves"
    )
    grid = STREAM if recipe.rule is None else only(recipe.rule)
    file_grid = FILE if recipe.file_rule is None else only(recipe.file_rule)
    _, choice, _ = choose_rule(dev, grid, fixed=_SET_TO_CHOOSE_RULE)[0]
    print_line(describe(choice.rule))

    fitted = fit(net, recipe, choice.rule)
    print_line(f"ballistics: {fitted}")

    figures.ask(net, dev)
    decision, file_decision, table = {}, {}, None
    for target, classes in sorted(TARGETS.items(), reverse=True):
        columns = tuple(net.settings.classes.index(name) for name in classes)
        _, choice, table = choose_rule(dev, grid, columns=columns)[0]
        decision[target] = asdict(choice.rule)
        print_line(f"target {target}: {describe(choice.rule)}")
        figures.print_table(figures.judge(dev, choice), print_line)
        limits = limits_of_files(table)
        files = {"columns": columns, "lookahead_ms": None}
        _, choice, _ = choose_rule(dev, file_grid, limits, **files)[0]
        file_decision[target] = asdict(choice.rule)
        print_line(f"in files: {describe(choice.rule)}")
        figures.print_table(figures.judge(dev, choice), print_line)
    report = {
        "presence": presence,
        "decision": decision,
        "file_decision": file_decision,
        "presence_threshold": {name: rule["threshold"] for name, rule in decision.items()},
        "presence_hysteresis": dict.fromkeys(decision, CLASSIC_HYSTERESIS),
        "ballistics": fitted,
        "table": table,
    }
    checkpoints.save_calibrated(net, report, recipe.calibrated)
    plot_reliability(Path(recipe.run) / "reliability.png", presence["before"], presence["after"])


def fit(net, recipe, rule):
    """Fit attack and release to the network, on items of the pool, with the rule that decides."""
    gate = GateLossSettings(rule=rule)
    batches = pool_batches(recipe.open_pool(), recipe.fit_items)
    answers = collect(net, batches, gate, unwanted=True)
    cut = len(answers) * 4 // 5
    learn, judge = answers.pick(slice(0, cut)), answers.pick(slice(cut, None))
    return fit_ballistics(net, learn, judge, replace(recipe.fit, gate=gate))


def export(recipe, output, print_line=print):
    """Check the calibrated network and write the detector.

    Parameters
    ----------
    recipe : Recipe
    output : path-like
        The ONNX file.
    print_line : callable
    """
    if not recipe.calibrated.is_file():
        raise ConfigError(f"run={recipe.run} must hold calibrated.pt (gate-train voice calibrate)")
    net, report = checkpoints.load_calibrated(recipe.calibrated)
    card = DetectorCard(
        name="voice",
        targets=TARGETS,
        presence_threshold=report["presence_threshold"],
        presence_hysteresis=report["presence_hysteresis"],
        decision=report["decision"],
        file_decision=report["file_decision"],
        ears=[DESCRIPTION] * net.settings.n_ears,
        licence="MIT",
        training_data="public recordings, by source in the model card (voice.md)",
    )
    for what, (name, difference) in export_voice(net, output, card).items():
        print_line(f"{what}: largest difference {difference:.1e} ({name})")
    print_line(f"wrote {output}")


def check(data, model, split="dev", target="speech", n_mixtures=40, print_line=print):
    """Print the figures of an exported detector, with its second ear and without."""
    net = figures.OnnxNet(model)
    info = net.detector.info
    ears = figures.heard_by(info)
    clips = evaluation_set(data, split, n_mixtures=n_mixtures)
    recordings = [figures.hear(clip, ears) for clip in clips]
    if target == "voice":
        recordings += figures.sung_recordings(data, ears)
    columns = tuple(info.target_columns(target))
    choice = figures.GateChoice(info.rule(target), columns=columns)
    print_line(f"{model}, split {split}, target {target}: {describe(choice.rule)}")
    if ears:
        print_line("without the second ear:")
        figures.ask(net, recordings, together=1, listen=False)
        figures.print_table(figures.judge(recordings, choice), print_line)
        print_line("with it:")
    figures.ask(net, recordings, together=1)
    figures.print_table(figures.judge(recordings, choice), print_line)
    errors = ", ".join(f"{g} {e:.2f}" for g, e in figures.key_error_db(recordings).items())
    print_line(f"median error of the key level, dB: {errors}")
    changed = figures.level_changes(net, clips[: 5 * 8], choice.rule, ears)
    print_line(f"decisions that change from -10 to -50 dBFS: {100 * changed:.3f} % of hops")


def build(recipe, output, on_step=None):
    """Train, calibrate and export; returns the trainer."""
    trainer = train(recipe, on_step)
    calibrate(recipe)
    export(recipe, output)
    return trainer


def smoke(folder, seed=0):
    """The whole recipe on synthetic sound, in about a minute; returns the trainer."""
    folder = Path(folder)
    write_corpus(folder / "data", seed)
    recipe = Recipe(
        data=folder / "data",
        run=folder / "run",
        mixing=Mixing(str(folder / "cache"), 200, seed, n_rooms=0, synthetic_rounds=1, n_noises=3),
        training=TrainSettings(minutes=0.08, batch_size=4, evaluate_minutes=1.0, seed=seed),
        network=VoiceSettings(gru_sizes=(16,), embedding_size=128),
        pool=24,
        look_mixtures=1,
        dev_mixtures=2,
        speechless=2,
        rule=EvidenceRule(),
        fit=BallisticsSettings(steps=3, grid_s=((0.002,), (0.02,))),
        fit_items=16,
    )
    trainer = build(recipe, folder / "voice.onnx")
    check(recipe.data, folder / "voice.onnx", n_mixtures=1)
    return trainer
