"""How fast frames come, on one core: ours, plain memory copies, and flappy-bird-gymnasium through its pixels.

    python -m benchmarks.env_throughput [--env wingbeat/FlappyBird-v0] [--json] [--seconds 1] [--repeats 5]

`--env all` measures all of our games beside each other, and no peers.

All are measured in turns in one run, so that they meet the same machine. Everything here runs on one
thread. A frame is one 84 x 84 gray picture of a game that has been stepped by one frame.

flappy-bird-gymnasium gives no pixel observation. What is measured is its step and render, then gray and
resize to 84 x 84 (OpenCV if it is installed, else Pillow), in three ways:

    default     as `gym.make` gives it, with its LIDAR, `render()` as a user gets it
    public      no LIDAR, no environment checker, the frame in the order of its memory
    private     moreover its sprites converted and its surface reduced by pygame's own smoothscale, both
                through private members: faster than any user will have it
"""

import importlib.util
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.common import alternate, machine, print_json, summary, version
from envs import GAMES, GameVectorEnv
from experiment.command import main_line, parse
from experiment.errors import UserError

FIRST = "wingbeat/FlappyBird-v0"
PEER = "flappy-bird-gymnasium"
SLOTS = 32  # pictures go to the slots of a buffer, as in a rollout: it does not fit a core's cache
FLAPS = 0.08  # share of flaps: games end and begin again, pipes are in sight; in other games all actions are alike


@dataclass
class Settings:
    """Frames a second, stepped and drawn, on one core."""

    env: str = FIRST
    """One of our games by id, or `all`."""
    seconds: float = 1.0
    """Length of one measurement."""
    repeats: int = 5
    """Measurements of each, in turns; the median is reported."""
    games: int = 64
    """Games in the vector env."""
    preset: str = ""
    """Rules of our game; its first if not given. flappy-bird-gymnasium plays its own, which are near `classic`."""
    json: bool = False
    """Answer with one JSON object."""


def rate(step: Callable[[int], None], frames: int, seconds: float) -> float:
    """Call step(0), step(1), ... for a while; returns frames a second, `frames` a call."""
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        step(calls)
        calls += 1
    return calls * frames / elapsed


def vector_env(env_id: str, games: int, preset: str) -> Callable[[int], None]:
    """Return a step of our vector env, drawn straight into a buffer."""
    env = GameVectorEnv(GAMES[env_id], games, preset=preset or None)
    buffer = np.zeros((SLOTS, *env.observation_space.shape), np.uint8)
    actions = choose(env_id, (1009, games))
    env.reset(seed=0, out=buffer[0])

    def step(t: int) -> None:
        env.step(actions[t % 1009], out=buffer[t % SLOTS])

    return step


def choose(env_id: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Draw actions: a few flaps, or any of another game's."""
    rng = np.random.default_rng(0)
    if env_id == FIRST:
        return (rng.random(shape) < FLAPS).astype(np.int64)
    return rng.integers(0, len(GAMES[env_id].actions), shape)


def single_env(env_id: str, preset: str) -> Callable[[int], None]:
    """Return a step of our single env; its observation is the picture."""
    return played(gym.make(env_id, preset=preset or None, disable_env_checker=True), lambda: None, env_id)


def memcpy(games: int) -> Callable[[int], None]:
    """Return a copy of as many bytes as the vector env draws, into such a buffer."""
    source = np.random.default_rng(0).integers(0, 256, (games, 84 * 84)).astype(np.uint8)
    buffer = np.zeros((SLOTS, games, 84 * 84), np.uint8)
    return lambda t: np.copyto(buffer[t % SLOTS], source)


def played(env: gym.Env[Any, Any], look: Callable[[], Any], env_id: str = FIRST) -> Callable[[int], None]:
    """Step a single env, look at its picture, and reset it when its episode is over."""
    actions = choose(env_id, (1009,)).tolist()
    env.reset(seed=0)

    def step(t: int) -> None:
        _, _, terminated, truncated, _ = env.step(actions[t % 1009])
        look()
        if terminated or truncated:
            env.reset()

    return step


def peer(way: str) -> Callable[[int], None]:
    """Return a step of flappy-bird-gymnasium with its picture, in one of the three ways above."""
    plain = {} if way == "default" else {"use_lidar": False, "disable_env_checker": True}
    env = gym.make("flappy_bird_gymnasium:FlappyBird-v0", render_mode="rgb_array", **plain)
    resize, game = resizer(), env.unwrapped
    if way == "default":
        return played(env, lambda: resize(np.ascontiguousarray(env.render())))
    if way == "public":  # its frames lie on their side in memory, so the small picture is turned instead
        return played(env, lambda: resize(np.ascontiguousarray(env.render().transpose(1, 0, 2))).T)
    import pygame

    game._make_display()  # converts the sprites

    def smooth() -> NDArray[np.uint8]:
        game._draw_surface(show_score=False, show_rays=False)
        small = pygame.surfarray.array3d(pygame.transform.smoothscale(game._surface, (84, 84)))
        return (small @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8).T

    return played(env, smooth)


def resizer() -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return RGB [h, w, 3] -> gray [84, 84] by area, with OpenCV if it is there and with Pillow if not."""
    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        return lambda rgb: cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (84, 84), interpolation=cv2.INTER_AREA)
    from PIL import Image

    return lambda rgb: np.asarray(Image.fromarray(rgb).convert("L").resize((84, 84), Image.Resampling.BOX))


def measure(settings: Settings) -> dict[str, Any]:
    """Run the benchmark; returns the answer as in --json."""
    games, env = settings.games, settings.env
    if env == "all":
        steps = {env_id: (vector_env(env_id, games, ""), games) for env_id in GAMES}
    else:
        steps = {
            "wingbeat": (vector_env(env, games, settings.preset), games),
            "wingbeat_single": (single_env(env, settings.preset), 1),
        }
    steps["memcpy"] = (memcpy(games), games)
    if env == FIRST:
        steps |= {f"peer_{way}": (peer(way), 1) for way in ("default", "public", "private")}
    ours = next(iter(steps))
    wall, cpu = time.perf_counter(), time.process_time()
    rates = alternate({name: partial(rate, *of, settings.seconds) for name, of in steps.items()}, settings.repeats)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "benchmark": "env_throughput",
        "env": env,
        "preset": "first" if env == "all" else settings.preset or next(iter(GAMES[env].presets)),
        "games": games,
        "size": [84, 84],
        "seconds": settings.seconds,
        "repeats": settings.repeats,
        "machine": machine("numba", "numpy", "gymnasium", "pygame", "pillow", "opencv-python", PEER),
        "cores_used": cpu / wall,
        "peer_resize": "opencv" if importlib.util.find_spec("cv2") else "pillow",
        "frames_per_second": {name: summary(values) for name, values in rates.items()},
        "wingbeat_is_times": {
            name: summary([mine / other for mine, other in zip(rates[ours], values, strict=True)])
            for name, values in rates.items()
        },
    }


def table(answer: dict[str, Any]) -> Table:
    """Lay the answer out for people."""
    rows = {
        **{env_id: f"{env_id}, {answer['games']} games at once" for env_id in GAMES},
        "wingbeat": f"{answer['env']}, {answer['games']} games at once",
        "wingbeat_single": f"{answer['env']}, gym.make",
        "memcpy": "memcpy of as many bytes",
        **{f"peer_{way}": f"{PEER} ({way})" for way in ("default", "public", "private")},
    }
    machine = answer["machine"]
    title = f"84 x 84 frames a second on one core of {machine['cpu']}; ratio: the first to it"
    lines = Table("", title=title, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    lines.columns[0].no_wrap = True
    for heading in ("median", "min .. max", "ratio"):
        lines.add_column(heading, justify="right", no_wrap=True)
    for name in answer["frames_per_second"]:
        text = rows[name]
        rates, times = answer["frames_per_second"][name], answer["wingbeat_is_times"][name]["median"]
        between = f"{rates['min']:,.0f} .. {rates['max']:,.0f}"
        lines.add_row(text, f"{rates['median']:,.0f}", between, f"{times:,.2f}" if times < 10 else f"{times:,.0f}")
    return lines


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.env_throughput", __doc__ or "")
    if settings.env not in GAMES and settings.env != "all":
        raise UserError(f"--env must be all or one of {', '.join(GAMES)}, not {settings.env}")
    if settings.env == FIRST and version(PEER) is None:
        raise UserError(f'{PEER} is not installed: pip install -c constraints.txt -e ".[bench]"')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's checker has much to say about the peer
        answer = measure(settings)
    if settings.json:
        print_json(answer)
    else:
        Console().print(table(answer))
    return 0


if __name__ == "__main__":
    os.environ |= {"SDL_VIDEODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    main_line(main)
