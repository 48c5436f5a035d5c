"""Do the saliency maps show what an agent's decisions hang on? Held against Flappy Bird's true boxes, and tried out.

    python -m benchmarks.saliency                     # the agent that ships with Wingbeat
    python -m benchmarks.saliency runs/my-run --json
    python -m benchmarks.saliency --picture saliency.png

Two questions to every map, over moments of play in half of which the agent flaps. Where does it lie: which share of
it is inside the boxes of the bird and of the pipes that come next? And is it right: how many of the agent's decisions
are still the same when the map's most salient pixels are replaced by their means?

The same is asked of maps that can't know the agent: one that is the same everywhere, one that only knows what stands
out from the mean picture, and those that networks make whose weights have been shuffled within each tensor. A map
passes that is better than all of these, both times, in the 95% intervals of the differences (bootstrapped over games).
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from agents.saliency import METHODS, preference
from benchmarks.common import machine, print_json
from commands.player import Player, load_player
from envs import FLAPPY_BIRD, GameVectorEnv
from envs.stack import FrameStack
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.evaluate import bootstrap_interval, fresh_seeds
from play import SHIPPED

SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # of all pixels, replaced one after the other
WARM_UP, DECISIONS = 40, 200  # decisions before the first moment (a pipe is in sight then), and until the last
UNIFORM, CONTRAST = "the same everywhere", "what stands out"


@dataclass
class Settings:
    """What to look at."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """a run's folder; the agent that ships with Wingbeat if none"""
    games: int = 100
    """games to take moments from"""
    moments: int = 2
    """moments of a game in which the agent flaps, and as many in which it does not"""
    shuffles: int = 8
    """networks with shuffled weights"""
    seed: int = 0
    """of the games, of which training sees none, of the moments and of the shuffling"""
    picture: Path | None = None
    """also draw the curves and some maps into this file, .png"""
    json: bool = False
    """print one JSON object"""


class Moments(NamedTuple):
    """Moments of play.

    Attributes:
        observations: uint8 [n, frames, height, width], as the agent saw them.
        inside: bool [n, height, width], the boxes of the bird and the pipes that come next, in any of the frames.
        pictures: of the first few, what a person saw, uint8 [height, width, 3].
        games: int64 [n], which game each is from.
    """

    observations: Tensor
    inside: Tensor
    pictures: list[NDArray[np.uint8]]
    games: NDArray[np.int64]


def take_moments(player: Player, settings: Settings, pictures: int = 0) -> Moments:
    """Play, and keep `moments` decisions of each action a game, drawn from all of them.

    Raises:
        UserError: if the agent has not taken each action often enough, as one that is not trained yet may do.
    """
    n, frames, rng = settings.games, player.settings.frames, np.random.default_rng(settings.seed)
    envs = player.settings.game.make(n, render_mode="rgb_array" if pictures else None)
    assert isinstance(envs, GameVectorEnv)
    observations, info = envs.reset(seed=fresh_seeds(settings.seed, n))
    stack, boxes = FrameStack(frames, observations), [info["boxes"]] * frames
    # A reservoir (Vitter 1985): of all decisions of a kind so far each has the same chance to be in it.
    kept: dict[tuple[int, int], list[Any]] = {(game, action): [] for game in range(n) for action in range(2)}
    counts = np.zeros((n, 2), np.int64)
    age = np.zeros(n, np.int64)
    for _ in range(WARM_UP + DECISIONS):
        actions = player.policy(torch.from_numpy(stack.stacks)).cpu().numpy()
        shown = envs.render() if pictures else None
        for game in np.flatnonzero((age >= WARM_UP) & ~envs.over):
            slots = kept[int(game), int(actions[game])]
            counts[game, actions[game]] += 1
            slot = len(slots) if len(slots) < settings.moments else int(rng.integers(counts[game, actions[game]]))
            if slot < settings.moments:
                picture = shown[game] if shown and game < pictures else None
                seen = (stack.stacks[game].copy(), [box[game] for box in boxes], picture)
                slots[slot : slot + 1] = [seen]
        first = envs.over.copy()
        observations, _, _, _, info = envs.step(actions)
        stack.push(observations, first)
        boxes = [*boxes[1:], info["boxes"]]
        age = np.where(first, 0, age + 1)
    found = [(game, seen) for (game, _), slots in kept.items() if len(slots) == settings.moments for seen in slots]
    of_game = np.array([game for game, _ in found], np.int64)
    whole = np.isin(of_game, [game for game in range(n) if (of_game == game).sum() == 2 * settings.moments])
    found = [one for one, good in zip(found, whole, strict=True) if good]
    if len(set(of_game[whole])) < 2:
        raise UserError("this agent hardly flaps, or dies before the first pipe; train it for longer")
    inside = np.stack([_inside(envs, seen[1]) for _, seen in found])
    return Moments(
        torch.from_numpy(np.stack([seen[0] for _, seen in found])),
        torch.from_numpy(inside),
        [seen[2] for _, seen in found if seen[2] is not None],
        of_game[whole],
    )


def _inside(envs: GameVectorEnv, stack: list[NDArray[np.int16]]) -> NDArray[np.bool_]:
    """Which pixels the boxes [sprites, 5] of each frame touch, those of the bird and of the next pair of pipes."""
    _, height, width = envs.single_observation_space.shape or (0, 0, 0)
    bird, pipe = envs.labels.index("bird"), envs.labels.index("pipe")
    mask = np.zeros((height, width), np.bool_)
    for boxes in stack:
        boxes = boxes.astype(np.int64)
        of_bird = boxes[boxes[:, 0] == bird]
        ahead = boxes[(boxes[:, 0] == pipe) & (boxes[:, 1] + boxes[:, 3] > of_bird[0, 1])]
        ahead = ahead[ahead[:, 1] == ahead[:, 1].min(initial=envs.game.width)]
        for _, x, y, w, h in (*of_bird, *ahead):
            left, right = x * width // envs.game.width, -(-(x + w) * width // envs.game.width)
            top, bottom = y * height // envs.game.height, -(-(y + h) * height // envs.game.height)
            mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    return mask


def shuffled(network: nn.Module, seed: int) -> nn.Module:
    """Copy a network and put the numbers of each of its weight tensors into a random order."""
    network, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order.to(weight.device)].view_as(weight))
    return network


class Judge:
    """Puts both questions to maps, float32 [n, height, width], of the same moments of one agent."""

    def __init__(self, network: Any, moments: Moments) -> None:
        self.network, self.moments = network, moments
        encoder = network.encoder
        self.mean = encoder.mean.cpu()
        self.contrast = (moments.observations.float() - self.mean).abs().sum(1)
        with torch.no_grad():
            scores = network(moments.observations.to(encoder.mean.device))[0]
        self.actions = scores.argmax(-1)
        self.preferences = self._preferences(scores)

    def _preferences(self, scores: Tensor) -> Tensor:
        each = [preference(row[None], int(action)) for row, action in zip(scores, self.actions, strict=True)]
        return torch.cat(each)

    def ask(self, maps: Tensor) -> dict[str, Any]:
        """Return, by game, the share `inside` and what deletion leaves: decisions `kept`, and `preference`; curves."""
        moments, n = self.moments, len(maps)
        shares = maps.flatten(1) / maps.flatten(1).sum(1, keepdim=True)
        inside = (shares * moments.inside.flatten(1)).sum(1)
        # Most salient first; where the map is the same, as it is 0 in many places, at random.
        mixed = torch.randperm(shares.shape[1], generator=torch.Generator().manual_seed(0))
        order = mixed[shares[:, mixed].argsort(dim=1, descending=True, stable=True)]
        kept, left = [], []
        for share in SHARES:
            gone = torch.zeros(n, shares.shape[1], dtype=torch.bool)
            gone.scatter_(1, order[:, : round(share * shares.shape[1])], True)
            gone = gone.view_as(maps)[:, None]
            # As bytes, like all that the agent sees: the mean, rounded.
            pixels = torch.where(gone, self.mean.round().to(torch.uint8), moments.observations)
            with torch.no_grad():
                scores = self.network(pixels.to(self.network.encoder.mean.device))[0]
            kept.append((scores.argmax(-1) == self.actions).float().cpu())
            left.append((self._preferences(scores) / self.preferences.mean()).cpu())
        curves = {"kept": torch.stack(kept, 1), "preference": torch.stack(left, 1)}  # [n, shares]
        return {
            "inside": self._by_game(inside),
            **{name: self._by_game(curve.mean(1)) for name, curve in curves.items()},
            "curves": {name: curve.mean(0).tolist() for name, curve in curves.items()},
        }

    def _by_game(self, values: Tensor) -> NDArray[np.float64]:
        games = self.moments.games
        return np.array([values.numpy()[games == game].mean() for game in dict.fromkeys(games)], np.float64)


def better(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a map has more inside and takes more decisions with it than another; both certainly, game by game."""
    more, _ = bootstrap_interval(one["inside"] - other["inside"])
    _, less = bootstrap_interval(one["kept"] - other["kept"])
    return more > 0 and less < 0


def maps_of(method: Callable[..., Tensor], network: nn.Module, observations: Tensor) -> Tensor:
    """Make the map of each observation, float32 [n, height, width]."""
    return torch.stack([method(network, one[None]) for one in observations])


def examine(player: Player, moments: Moments, shuffles: int, seed: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Ask all maps; returns what they answered, with whether each of the agent's passes, and the agent's maps."""
    judge = Judge(player.policy.network, moments)
    uniform, contrast = judge.ask(torch.ones_like(judge.contrast)), judge.ask(judge.contrast)
    networks = [shuffled(player.policy.network, seed * 1_000_003 + i) for i in range(shuffles)]
    maps, methods = {}, {}
    for name, method in METHODS.items():
        maps[name] = maps_of(method, player.policy.network, moments.observations)
        agent = judge.ask(maps[name])
        others = [judge.ask(maps_of(method, network, moments.observations)) for network in networks]
        methods[name] = {
            "agent": _told(agent),
            "passes": all(better(agent, rival) for rival in (uniform, contrast, *others)),
            "shuffled": [_told(other) for other in others],
            "shuffled_pass": sum(_passes(i, others, [uniform, contrast]) for i in range(shuffles)),
        }
    return {"uniform": _told(uniform), "contrast": _told(contrast), "methods": methods}, maps


def _passes(i: int, others: list[dict[str, Any]], blind: list[dict[str, Any]]) -> bool:
    """Whether the maps of shuffled network i pass, against the rivals that the agent's maps have, but for itself."""
    return all(better(others[i], rival) for rival in (*blind, *others[:i], *others[i + 1 :]))


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in ("inside", "kept", "preference"):
        told[name] = float(answer[name].mean())
        told[f"{name}_ci95"] = bootstrap_interval(answer[name])
    return told | {"curves": answer["curves"]}


def _rows(answer: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, found in answer["methods"].items():
        yield f"{name} saliency of the agent", *_figures(found["agent"]), "yes" if found["passes"] else "no"
        many = found["shuffled"]
        ranges = [f"{min(o[key] for o in many):.1%} to {max(o[key] for o in many):.1%}" for key in ("inside", "kept")]
        yield f"{name}, of {len(many)} shuffled networks", *ranges, f"{found['shuffled_pass']} of {len(many)}"
    yield CONTRAST, *_figures(answer["contrast"]), ""
    yield UNIFORM, *_figures(answer["uniform"]), ""


def _figures(told: dict[str, Any]) -> list[str]:
    texts = []
    for name in ("inside", "kept"):
        low, high = told[f"{name}_ci95"]
        texts.append(f"{told[name]:.1%} ({low:.1%} to {high:.1%})")
    return texts


def draw(answer: dict[str, Any], moments: Moments, maps: dict[str, Tensor], path: Path) -> None:
    """Draw the deletion curves, and maps over what a person saw.

    Raises:
        UserError: if the file can't be written.
    """
    from experiment.curves import BLUE, INK, ORANGE, new_figure, save_figure
    from experiment.heat import heat

    shown = [0, len(moments.pictures) // 2] if moments.pictures else []  # of the first game: it glides, it flaps
    figure = new_figure(12, 3.4)
    ratios = [3.0] + [1.0] * len(shown) * (1 + len(maps))
    curves, *places = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    across = [100 * share for share in SHARES]

    def line(told: dict[str, Any], **style: Any) -> None:
        curves.plot([0, *across], [100, *(100 * value for value in told["curves"]["kept"])], **style)

    for (name, found), color in zip(answer["methods"].items(), (ORANGE, BLUE), strict=True):
        line(found["agent"], color=color, linewidth=2, label=name)
        for i, other in enumerate(found["shuffled"]):
            line(other, color=color, linewidth=0.6, alpha=0.5, label=None if i else f"{name}, weights shuffled")
    line(answer["contrast"], color=INK, linestyle=":", label=CONTRAST)
    line(answer["uniform"], color=INK, linestyle="--", label="at random")
    curves.set_xlabel("pixels replaced by their means (%)", color=INK)
    curves.set_ylabel("decisions that stay the same (%)", color=INK)
    curves.set_ylim(0, 102)
    curves.spines[["top", "right"]].set_visible(False)
    curves.legend(frameon=False, labelcolor=INK, fontsize=7, loc="center right", bbox_to_anchor=(1.0, 0.38))
    pictures = []
    for i, title in zip(shown, ("it glides", "it flaps"), strict=False):
        pictures.append((title, moments.pictures[i]))
        pictures += [(name, heat(moments.pictures[i], maps[name][i].numpy())) for name in maps]
    for axes, (title, picture) in zip(places, pictures, strict=True):
        axes.imshow(picture)
        axes.set_title(title, fontsize=9, color=INK)
        axes.axis("off")
    save_figure(figure, path, dpi=130)


def main(argv: list[str]) -> int:
    """Look and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.saliency", __doc__ or "")
    if settings.games < 2 or min(settings.moments, settings.shuffles) < 1 or settings.seed < 0:
        raise UserError("--games must be at least 2, --moments and --shuffles at least 1, and --seed at least 0")
    if settings.picture and settings.picture.suffix.lower() != ".png":
        raise UserError(f"--picture writes .png files, not {settings.picture}")
    player = load_player(settings.run or SHIPPED, "cpu")
    game = player.settings.game
    if not game.ours or game.game is not FLAPPY_BIRD:
        raise UserError(f"the boxes that decide are known of Flappy Bird only, not of {game.env}")
    if player.policy.recurrent:
        raise UserError("what an agent with a memory decides does not hang on the picture alone; this looks at others")
    moments = take_moments(player, settings, pictures=1 if settings.picture else 0)
    answer, maps = examine(player, moments, settings.shuffles, settings.seed)
    if settings.picture:
        draw(answer, moments, maps, settings.picture)
    if settings.json:
        about = {"games": len(set(moments.games)), "moments": len(moments.games), "shares": SHARES}
        print_json({"benchmark": "saliency", **about, **answer, "machine": machine("torch")})
        return 0
    table = Table("map", "inside the boxes", "decisions kept", "passes")
    for row in _rows(answer):
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"{len(moments.games)} moments of {len(set(moments.games))} games; 95% intervals over the games")
    return 0


if __name__ == "__main__":
    main_line(main)
