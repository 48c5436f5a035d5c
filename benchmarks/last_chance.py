"""When was the game lost? For every death of an agent in Flappy Bird, the last decision that could have saved it.

    python -m benchmarks.last_chance                  # the agent that ships with Wingbeat
    python -m benchmarks.last_chance runs/my-run --json
    python -m benchmarks.last_chance --reach 14       # no agent: how far a planner that looks 14 decisions ahead gets

A planner that knows the rules tries all sequences of decisions. Where it finds one that survives for
`horizon` decisions and, after the agent's choice, none, the agent threw the game away. How far that lies
before the death says how far an agent has to see.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, print_json
from commands.player import Player, load_player
from envs import FLAPPY_BIRD, GameVectorEnv
from envs.games.flappy_bird import CEILING, FALL_MAX, FLAP, HEIGHT
from envs.scene import compiled
from envs.stack import FrameStack
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.evaluate import fresh_seeds
from play import SHIPPED

FRAME_SKIP = 2
SPEEDS, HEIGHTS = int(FALL_MAX - FLAP) + 1, HEIGHT - CEILING
_step = FLAPPY_BIRD.step


@dataclass
class Settings:
    """What to look at."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """a run's folder; the agent that ships with Wingbeat if none"""
    episodes: int = 100
    """games of the agent, or of the planner"""
    score_cap: int = 200
    """pipes after which a game is over"""
    horizon: int = 30
    """decisions that a rescue must survive"""
    reach: int = 0
    """let the planner play, looking this many decisions ahead; 0 looks at an agent"""
    seed: int = 0
    """of the games; training sees none of them, and `play.py --headless --seed` plays the same"""
    json: bool = False
    """print one JSON object"""


@compiled
def survives(states: Any, rules: Any, horizon: int, first: int) -> bool:
    """Whether any sequence of `horizon` decisions keeps the bird of states[0] alive.

    Depth first; a bird of the same height and speed after as many decisions is not tried twice.

    Args:
        states: records [horizon + 1]; all but the first are overwritten.
        rules: of the preset.
        horizon: decisions, at least 1.
        first: the first decision; -1 leaves it open.
    """
    seen = np.zeros((horizon + 1, HEIGHTS, SPEEDS), np.bool_)
    tried = np.zeros(horizon + 1, np.int64)
    tried[0] = max(first, 0)
    depth = 0
    while depth >= 0:
        if depth == horizon:
            return True
        if tried[depth] == (first + 1 if depth == 0 and first >= 0 else 2):
            depth -= 1
            continue
        states[depth + 1] = states[depth]
        state, action = states[depth + 1], tried[depth]
        tried[depth] += 1
        dead = False
        for frame in range(FRAME_SKIP):
            _, dead = _step(state, rules, 0 if frame else action)
            if dead:
                break
        if dead or seen[depth + 1, int(state.y) - CEILING, int(state.velocity - FLAP)]:
            continue
        depth += 1
        seen[depth, int(state.y) - CEILING, int(state.velocity - FLAP)] = True
        tried[depth] = 0
    return False


def can_survive(state: Any, rules: Any, horizon: int, first: int = -1) -> bool:
    """Whether a game, one record of the state, can be survived for so many decisions."""
    states = np.zeros(horizon + 1, FLAPPY_BIRD.state_dtype)
    states[0] = state
    return bool(survives(states, rules, horizon, first))


def play_with_planner(settings: Settings) -> list[int]:
    """Let the planner play, gliding wherever that can be survived; returns the scores."""
    n, rules = settings.episodes, FLAPPY_BIRD.rules("classic")
    envs = GameVectorEnv(FLAPPY_BIRD, n, "classic", FRAME_SKIP, score_cap=settings.score_cap)
    _, info = envs.reset(seed=fresh_seeds(settings.seed, n))
    over, scores, actions = np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(n, np.int64)
    while not over.all():
        for i in np.flatnonzero(~over):
            actions[i] = not can_survive(info["state"][i], rules, settings.reach, 0)
        _, _, terminated, truncated, info = envs.step(actions)
        ended = ~over & (terminated | truncated)
        scores[ended] = info["score"][ended]
        over |= ended
    return [int(score) for score in scores]


def deaths(player: Player, settings: Settings) -> list[list[NDArray[Any]]]:
    """Play greedily; returns, for every game that ended in a death, its states at each decision."""
    n = settings.episodes
    envs = player.settings.game.make(n, score_cap=settings.score_cap)
    observations, info = envs.reset(seed=fresh_seeds(settings.seed, n))
    stack, over = FrameStack(player.settings.frames, observations), np.zeros(n, np.bool_)
    pasts: list[list[NDArray[Any]]] = [[] for _ in range(n)]
    died = []
    while not over.all():
        for i in np.flatnonzero(~over):
            pasts[i].append(info["state"][i].copy())
        actions = player.policy(torch.from_numpy(stack.stacks)).cpu().numpy()
        observations, _, terminated, truncated, info = envs.step(actions)
        stack.push(observations, np.zeros(n, np.bool_))
        died += [int(i) for i in np.flatnonzero(terminated & ~over)]
        over |= terminated | truncated
    return [pasts[i] for i in died]


def last_chance(past: list[NDArray[Any]], rules: Any, horizon: int) -> int:
    """How many decisions before its last one a game that was lost could still be survived."""
    return next((back for back, state in enumerate(reversed(past)) if can_survive(state, rules, horizon)), len(past))


def main(argv: list[str]) -> int:
    """Look and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.last_chance", __doc__ or "")
    if min(settings.episodes, settings.score_cap, settings.horizon) < 1 or settings.reach < 0:
        raise UserError("--episodes, --score-cap and --horizon must be at least 1, and --reach at least 0")
    if settings.reach:
        scores = play_with_planner(settings)
        answer: dict[str, Any] = {"reach": settings.reach, "scores": scores, "score_mean": statistics.mean(scores)}
        text = f"a planner that looks {settings.reach} decisions ahead passes {answer['score_mean']:.1f} pipes"
    else:
        player = load_player(settings.run or SHIPPED, "cpu")
        game = player.settings.game
        if not game.ours or game.game is not FLAPPY_BIRD or game.decision_frames != FRAME_SKIP:
            raise UserError(f"the planner knows Flappy Bird with --frame-skip {FRAME_SKIP} only")
        rules = FLAPPY_BIRD.rules(game.about["preset"] or "")
        lost = [last_chance(past, rules, settings.horizon) for past in deaths(player, settings)]
        answer = {"episodes": settings.episodes, "deaths": len(lost), "decisions_back": lost}
        text = f"{len(lost)} of {settings.episodes} games ended in a death"
    if settings.json:
        print_json({"benchmark": "last_chance", "machine": machine("torch", "numba"), **answer})
        return 0
    print(text)
    if answer.get("deaths"):
        table = Table("the last chance was", "deaths")
        for first in range(0, max(lost) + 1, 5):
            table.add_row(f"{first} to {first + 4} decisions back", str(sum(first <= k < first + 5 for k in lost)))
        Console().print(table)
    return 0


if __name__ == "__main__":
    main_line(main)
