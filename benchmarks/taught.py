"""How precisely can an encoder see? A planner that knows the rules teaches it Flappy Bird, and then it plays.

    python -m benchmarks.taught                       # the default encoder
    python -m benchmarks.taught --encoder nature --samples 300000 --learning-rate 1e-3

No reward, no exploration, no credit to assign: for every picture the planner says of each action whether
the game can still be survived after it. What such a student gets wrong it can't tell apart, or has not seen
often enough.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.device import set_threads
from agents.optimizer import HiddenMuon
from agents.rollout import Rollout
from benchmarks.common import machine, print_json
from benchmarks.last_chance import FRAME_SKIP, survives
from commands.game import GameConfig
from envs import FLAPPY_BIRD
from envs.scene import compiled
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.evaluate import evaluate, one_line
from experiment.policy import Plain
from perception import EncoderSpec, make_encoder
from perception.encoder import Encoder

GAMES, STEPS, MINIBATCH = 64, 64, 256
RANDOM = 0.02  # share of random actions: the student sees more than its own habits
AVERAGING = 0.99


@dataclass
class Settings:
    """Who is taught, and for how long."""

    encoder: str = "small"
    """small, nature or impala"""
    feature_dim: int = 256
    """length of the feature vector"""
    samples: int = 250_000
    """pictures that the planner labels"""
    learning_rate: float = 4e-3
    """Adam's step size at the start; it falls to a twentieth over the whole of it"""
    muon_rate: float = 4e-3
    """Muon's step size at the start, for the encoder's weights; 0 leaves them to Adam"""
    horizon: int = 22
    """decisions that an action must let the game survive"""
    seed: int = 0
    """of weights and games"""
    json: bool = False
    """print one JSON object"""


@compiled
def judge(states: Any, rules: Any, horizon: int, spare: Any, answers: NDArray[np.float32]) -> None:
    """Say whether each game survives each first action; answers: float32 [games, 2], 1 if it does."""
    for i in range(len(answers)):
        for action in range(2):
            spare[0] = states[i]
            answers[i, action] = 1.0 if survives(spare, rules, horizon, action) else 0.0


class Student(nn.Module):
    """An encoder and, for each action, the logit of surviving it."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.feature_dim, 2)

    def forward(self, observations: Tensor) -> Tensor:
        """Map uint8 [batch, frames, height, width] to logits [batch, 2]."""
        logits: Tensor = self.head(self.encoder(observations))
        return logits


def teach(settings: Settings) -> tuple[Student, float]:
    """Teach a student on the states that it meets itself; returns (its averaged weights, the last loss)."""
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    spec = EncoderSpec(settings.encoder, feature_dim=settings.feature_dim)
    envs = GameConfig(frame_skip=FRAME_SKIP).make(GAMES)
    rollout = Rollout(envs, STEPS, spec.frames, torch.device("cpu"))
    rollout.start(settings.seed)
    student = Student(make_encoder(spec))
    student.encoder.fit_normalization(rollout.explore(generator))
    average = copy.deepcopy(student).requires_grad_(False)
    optimizer = HiddenMuon(student, student.encoder, settings.learning_rate, settings.muon_rate)
    rules, spare = FLAPPY_BIRD.rules("classic"), np.zeros(settings.horizon + 1, FLAPPY_BIRD.state_dtype)
    labels, losses = torch.zeros(STEPS, GAMES, 2), list[float]()
    rounds = max(1, settings.samples // (GAMES * STEPS))
    for done in range(rounds):
        rollout.begin(rollout)
        for t in range(STEPS):
            states = envs.get_state()["states"].reshape(-1).view(FLAPPY_BIRD.state_dtype)
            judge(states, rules, settings.horizon, spare, labels[t].numpy())
            with torch.no_grad():
                actions = student(rollout.at(t)).argmax(-1)
            chance = torch.rand(GAMES, generator=generator) < RANDOM
            rollout.add(t, torch.where(chance, torch.randint(2, (GAMES,), generator=generator), actions))
        optimizer.decay(0.05 + 0.95 * (1 - done / rounds) ** 2)
        samples = rollout.valid.flatten().nonzero().squeeze(-1)
        order = samples[torch.randperm(len(samples), generator=generator)]
        losses = []
        for index in order.tensor_split(len(order) // MINIBATCH + 1):
            loss = F.binary_cross_entropy_with_logits(student(rollout.observations(index)), labels.view(-1, 2)[index])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step(0.5)
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(student.parameters()), 1 - AVERAGING)
            losses.append(float(loss.detach()))
    return average, float(np.mean(losses))


def main(argv: list[str]) -> int:
    """Teach, let play and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.taught", __doc__ or "")
    if min(settings.samples, settings.horizon, settings.feature_dim) < 1 or settings.learning_rate <= 0:
        raise UserError("--samples, --horizon, --feature-dim and --learning-rate must be more than 0")
    if not settings.muon_rate >= 0:
        raise UserError(f"--muon-rate must be at least 0, not {settings.muon_rate}")
    set_threads(0)
    try:
        student, loss = teach(settings)
    except ValueError as error:
        raise UserError(str(error)) from error

    @torch.no_grad()
    def choose(observations: Tensor) -> Tensor:
        best: Tensor = student(observations).argmax(-1)
        return best

    result = evaluate(GameConfig(frame_skip=FRAME_SKIP).make, Plain(choose), student.encoder.spec.frames)
    if settings.json:
        about = {"benchmark": "taught", **vars(settings), "machine": machine("torch", "numba"), "last_loss": loss}
        print_json(about | {key: value for key, value in result.items() if key != "scores"})
    else:
        print(f"{settings.encoder}, {settings.samples:,} pictures: loss {loss:.3f}; {one_line(result)}")
    return 0


if __name__ == "__main__":
    main_line(main)
