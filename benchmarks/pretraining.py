"""When do eyes trained beforehand pay? Frames and seconds to 20 and 50 pipes, beside an agent that begins from scratch.

    python -m benchmarks.pretraining --ways supervised random --modes frozen --agents ppo --seeds 5
    python -m benchmarks.pretraining --env-arg theme=night --out runs/night          # eyes that have seen only the day
    python -m benchmarks.pretraining --env wingbeat/Pong-v0 --bars 3 --out runs/pong     # or only Flappy Bird

One dataset of Flappy Bird is played, each encoder is trained on it once, and each agent plays with each encoder, frozen
or trained further, over seeds. Agents with frozen eyes learn with settings of their own, all others with the usual
ones; "scratch likewise" begins from scratch with the former. All is left in `--out`: what is there already is not made
again, so a run that was stopped goes on.

What an encoder cost beforehand, the pictures that were played for it and the seconds of recording and training, is left
out of one pair of columns and added in the other.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from agents.device import set_threads
from benchmarks import time_to_solve
from benchmarks.common import machine, print_json
from benchmarks.time_to_solve import median
from commands.game import GameConfig
from commands.player import load_player
from experiment import checkpoint, files
from experiment.command import main_line, parse
from experiment.errors import UserError
from perception.saving import FOLDER

Way = Literal["random", "supervised", "lstm", "gan", "vae", "dbn", "contrastive", "inverse"]
Mode = Literal["frozen", "finetune"]
Agent = Literal["ppo", "dqn"]
RESAMPLES = 10_000
UNDEFINED = 0.05  # share of the resamples above which there is no interval
NEVER, SCRATCH_NEVER = "never", "scratch never"
# What agents with frozen eyes learn soonest with, found by hand: more is made of each frame, which costs them little,
# and less is left to chance.
FROZEN = {
    "ppo": "--epochs=4 --rollout-steps=16 --minibatch=128 --exploration=1 --exploration-steps=30000 "
    "--entropy-coef=0.01",
    "dqn": "--replay-ratio=16 --learning-starts=2000 --exploration=1 --exploration-steps=5000 --epsilon=0.001 "
    "--averaging=0.95 --learning-rate=2e-3 --muon-rate=4e-3 --total-steps=150000",
}
LIKEWISE = "likewise"


@dataclass
class Settings:
    """What to measure."""

    ways: tuple[Way, ...] = get_args(Way)
    """encoders, each trained once"""
    modes: tuple[Mode, ...] = get_args(Mode)
    """what becomes of them"""
    agents: tuple[Agent, ...] = get_args(Agent)
    """who gets them; each begins from scratch, too"""
    likewise: bool = True
    """also begin from scratch with the settings of agents with frozen eyes"""
    seeds: int = 5
    """runs of each, with seeds first_seed, first_seed + 1, ..."""
    first_seed: int = 0
    """the first run's seed"""
    env: str = GameConfig.env
    """what the agents play; the encoders have seen Flappy Bird"""
    env_arg: tuple[str, ...] = ()
    """the look in which they play, as theme=night or pipe_color=red; the encoders have seen the usual one"""
    bars: tuple[float, ...] = (20.0, 50.0)
    """mean scores that are to be reached; episodes that judge end at twice the highest"""
    limit: float = 150.0
    """seconds after which an agent's run is stopped, whatever it has reached; soon after the highest bar it ends by
    itself"""
    every: float = 5.0
    """seconds from one checkpoint to the next: the resolution of the answer"""
    pictures: int = 200_000
    """observations played for the encoders"""
    policy: str = "leaning"
    """who plays these, as train.py dataset --policy"""
    noise: float = 0.3
    """share of random actions beside a trained agent's, as train.py dataset --noise"""
    encoder_steps: int = 0
    """pictures that each encoder learns from; 0 for each one's own default"""
    out: Path = Path("runs/pretraining")
    """where everything goes"""
    train_args: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """more flags for each agent's train.py, each as --train-args=--flag=value"""
    json: bool = False
    """print one JSON object"""


@dataclass(frozen=True)
class Cell:
    """A row of the table: an agent, and with what eyes.

    Attributes:
        agent: who learns.
        way: how its encoder was trained; "scratch" for not at all.
        mode: what becomes of the encoder; from scratch "", or "likewise" with the settings of those with frozen eyes.
    """

    agent: str
    way: str
    mode: str

    @property
    def name(self) -> str:
        """Of its runs' folders."""
        return "-".join(part for part in (self.agent, self.way, self.mode) if part)


def cells(settings: Settings) -> list[Cell]:
    """List the rows; nothing is trained further from random features, which is scratch."""
    found = []
    for agent in settings.agents:
        found.append(Cell(agent, "scratch", ""))
        found += [Cell(agent, "scratch", LIKEWISE)] if settings.likewise and "frozen" in settings.modes else []
        pairs = [(way, mode) for way in settings.ways for mode in settings.modes]
        found += [Cell(agent, way, mode) for way, mode in pairs if (way, mode) != ("random", "finetune")]
    return found


def command(words: Sequence[str], out: Path) -> float:
    """Run train.py with these words into a folder, afresh; returns its wall-clock seconds."""
    shutil.rmtree(out, ignore_errors=True)  # what a run that was stopped had left
    words = [*words, f"--out={out}"]
    start = time.time()
    done = subprocess.run([sys.executable, "train.py", *words, "--quiet"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"train.py {' '.join(words)} failed: {done.stderr.strip()}")
    return time.time() - start


def once(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what this file holds, or make it and keep it there."""
    if not path.exists():
        files.write_json(path, make())
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def pretrain(way: str, settings: Settings) -> dict[str, float]:
    """Play the pictures and train an encoder; returns the frames and seconds that it cost, recording included."""
    data = settings.out / "data"

    def play() -> dict[str, Any]:
        words = ["dataset", f"--pictures={settings.pictures}", f"--policy={settings.policy}"]
        seconds = command([*words, f"--noise={settings.noise}"], data)
        return {"seconds": seconds, "frames": 2 * settings.pictures}  # two frames a decision

    def train() -> dict[str, Any]:
        words = [f"encoder-{way}", f"--data={data}"]
        words += [f"--total-steps={settings.encoder_steps}"] if settings.encoder_steps and way != "random" else []
        return {"seconds": command(words, settings.out / way)}

    played = once(settings.out / "data.json", play)
    trained = once(settings.out / f"{way}.json", train)
    return {"frames": played["frames"], "seconds": played["seconds"] + trained["seconds"]}


def measure(cell: Cell, seed: int, settings: Settings) -> dict[str, Any]:
    """Train an agent and find when it passed each bar; see `benchmarks.time_to_solve`."""
    folder = settings.out / "agents" / f"{cell.name}-{seed}"
    flags = ["--env-arg", *settings.env_arg] if settings.env_arg else []
    if cell.mode in ("frozen", LIKEWISE):
        flags += FROZEN[cell.agent].split()
    if cell.way != "scratch":
        flags += [f"--encoder={settings.out / cell.way / FOLDER}", f"--encoder-mode={cell.mode}"]
    highest = max(settings.bars)
    how = time_to_solve.Settings(
        algo=cast("time_to_solve.Algorithm", cell.agent),
        env=settings.env,
        limit=settings.limit,
        every=settings.every,
        mean=highest,
        score_cap=round(2 * highest),
        share=0.0,
        stop_early=True,
        train_args=(*flags, *settings.train_args),
    )
    shutil.rmtree(folder, ignore_errors=True)  # what a run that was stopped had left
    time_to_solve.train(how, seed, folder)
    answer: dict[str, Any] = {"seed": seed}
    for path in time_to_solve.trained_checkpoints(folder):
        player = load_player(path, "cpu")
        result = time_to_solve.judge(player, how.score_cap)
        assert result is not None
        _, meta = checkpoint.load(path)
        frames = player.settings.game.skip * meta["steps"]
        for bar in settings.bars:
            if result["score_mean"] >= bar and f"frames_{bar:g}" not in answer:
                answer |= {f"frames_{bar:g}": frames, f"seconds_{bar:g}": meta["seconds"]}
        answer["at_end"] = {"frames": frames, "seconds": meta["seconds"], "score_mean": result["score_mean"]}
        if f"frames_{highest:g}" in answer:
            break
    return answer


def ratio(mine: Sequence[float | None], scratch: Sequence[float | None]) -> dict[str, float | str | None]:
    """Divide medians, where None (never) is the longest of all, with a 95% percentile bootstrap interval over seeds.

    Returns:
        ratio, low and high: "never" for one that is endless, "scratch never" where there is nothing to divide by. Low
        and high are None if more than UNDEFINED of the resamples have two medians that are never.
    """
    one, other = (np.array([np.inf if value is None else value for value in values]) for values in (mine, scratch))
    rng = np.random.default_rng(0)
    drawn = [np.median(x[rng.integers(len(x), size=(RESAMPLES, len(x)))], axis=1) for x in (one, other)]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(np.isinf(np.median(other)), -np.inf, np.median(one) / np.median(other))
        ratios = np.where(np.isinf(drawn[1]), -np.inf, drawn[0] / drawn[1])
    ratios[np.isinf(drawn[0]) & np.isinf(drawn[1])] = np.nan
    known = ratios[~np.isnan(ratios)]
    low, high = (np.nan, np.nan)
    if len(known) >= (1 - UNDEFINED) * RESAMPLES:
        low, high = np.quantile(known, [0.025, 0.975], method="nearest")
    words = {np.inf: NEVER, -np.inf: SCRATCH_NEVER}
    values = [None if np.isnan(value) else words.get(value, value) for value in map(float, (found, low, high))]
    return dict(zip(("ratio", "low", "high"), values, strict=True))


def compare(
    runs: dict[Cell, list[dict[str, Any]]], costs: dict[str, dict[str, float]], bars: Sequence[float]
) -> list[dict[str, Any]]:
    """Make the table's rows: medians, and ratios to scratch with and without what the encoder cost."""
    rows = []
    for cell, mine in runs.items():
        scratch = runs[Cell(cell.agent, "scratch", "")]
        row: dict[str, Any] = {**asdict(cell), "seeds": len(mine), "runs": mine}
        cost = costs.get(cell.way, {"frames": 0.0, "seconds": 0.0})
        for bar in (f"{bar:g}" for bar in bars):
            row[f"reached_{bar}"] = sum(f"frames_{bar}" in run for run in mine)
            for what in ("frames", "seconds"):
                key = f"{what}_{bar}"
                values, others = [run.get(key) for run in mine], [run.get(key) for run in scratch]
                row[key] = median(values)
                if cell.mode:
                    row[f"{key}_ratio"] = ratio(values, others)
                    whole = [None if value is None else value + cost[what] for value in values]
                    row[f"{key}_ratio_with_cost"] = ratio(whole, others)
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]], bar: float) -> Table:
    """Make the table of one bar for people."""
    title = f"A mean score of {bar:g}; ratios to scratch, 95% intervals"
    columns = (
        "agent",
        "encoder",
        "seeds there",
        "frames",
        "ratio",
        "with its pictures",
        "seconds",
        "ratio",
        "with its own",
    )
    result = Table(*columns, title=title)
    for row in rows:
        found = [row["agent"], f"{row['way']} {row['mode']}".strip(), f"{row[f'reached_{bar:g}']} of {row['seeds']}"]
        for what in ("frames", "seconds"):
            key = f"{what}_{bar:g}"
            found.append("never" if row[key] is None else f"{row[key]:,.0f}")
            found += [_interval(row.get(f"{key}_{kind}")) for kind in ("ratio", "ratio_with_cost")]
        result.add_row(*found)
    return result


def _interval(value: dict[str, float | str | None] | None) -> str:
    if value is None:
        return ""
    middle, low, high = (f"{part:.2f}" if isinstance(part, float) else part for part in value.values())
    if low is None:
        return f"{middle} (no interval)"
    return middle if middle == low == high == SCRATCH_NEVER else f"{middle} ({low} to {high})"


def plot(rows: Sequence[dict[str, Any]], bars: Sequence[float], path: Path) -> None:
    """Draw every seed's frames to each bar; a run that never got there is a cross at the right edge."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.2 + 0.4 * len(rows)), layout="constrained")
    for axes, bar in zip(figure.subplots(1, len(bars), sharey=True, squeeze=False)[0], bars, strict=True):
        key = f"frames_{bar:g}"
        ends = [run["at_end"]["frames"] for row in rows for run in row["runs"]]
        for y, row in enumerate(rows):
            there = [run[key] for run in row["runs"] if key in run]
            never = len(row["runs"]) - len(there)
            axes.plot(there, [y] * len(there), "o", color="#2a6f97", alpha=0.6)
            axes.plot([1.1 * max(ends)] * never, [y] * never, "x", color="#c1121f")
            if row[key] is not None:
                axes.plot([row[key]], [y], "|", color="black", markersize=18)
        axes.set_xscale("symlog", linthresh=1000)  # a bar may be passed before the first step
        axes.set_xlabel(f"frames played to a mean score of {bar:g}")
        axes.set_yticks(range(len(rows)), [f"{row['agent']}, {row['way']} {row['mode']}".strip() for row in rows])
        axes.invert_yaxis()
    figure.savefig(path, dpi=120)


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.pretraining", __doc__ or "")
    for name in ("seeds", "limit", "every", "pictures"):
        if getattr(settings, name) <= 0:
            raise UserError(f"--{name} must be more than 0")
    if not settings.bars:
        raise UserError("--bars names no score to be reached")
    set_threads(0)
    kept = ("train_args", "pictures", "policy", "noise", "encoder_steps", "env", "env_arg", "bars", "limit", "every")
    chosen = {key: value for key, value in asdict(settings).items() if key in kept} | {"frozen": FROZEN}
    chosen = json.loads(json.dumps(chosen))
    if settings.out.exists() and any(settings.out.iterdir()) and not (settings.out / "settings.json").exists():
        raise UserError(f"{settings.out} holds something else; choose another --out")
    there = once(settings.out / "settings.json", lambda: chosen)
    if there != chosen:
        raise UserError(f"{settings.out} was made with other settings, {there}; choose another --out")
    costs = {way: pretrain(way, settings) for way in settings.ways}
    runs: dict[Cell, list[dict[str, Any]]] = {cell: [] for cell in cells(settings)}
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        for cell, found in runs.items():
            answer = settings.out / "agents" / f"{cell.name}-{seed}.json"
            found.append(once(answer, lambda cell=cell, seed=seed: measure(cell, seed, settings)))  # type: ignore[misc]
            print(f"{cell.name}: {json.dumps(found[-1])}", file=sys.stderr, flush=True)
    rows = compare(runs, costs, settings.bars)
    plot(rows, settings.bars, settings.out / "pretraining.png")
    if settings.json:
        about = {"benchmark": "pretraining", "machine": machine("torch", "numba"), **chosen}
        print_json({**about, "costs": costs, "rows": rows})
        return 0
    for bar in settings.bars:
        Console(width=None if sys.stdout.isatty() else 160).print(table(rows, bar))
    print(f"plot: {settings.out / 'pretraining.png'}")
    return 0


if __name__ == "__main__":
    main_line(main)
