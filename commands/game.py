"""What is played: from the command line to games that are ready, our own or anyone's."""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import gymnasium as gym

from envs import GAMES, AdaptedVectorEnv, Game, GameVectorEnv, registry
from envs.adapter import Hosting
from envs.guest import names_code, register, setting
from envs.screen import Screen
from envs.vector import check_look
from experiment.command import pairs
from experiment.errors import UserError
from experiment.ranges import Endless, Natural, NonNegative

Games = GameVectorEnv | AdaptedVectorEnv
SCREEN = ("pixels", "screen", "sticky", "no_ops", "life_loss", "bins")  # flags of others' environments: what is seen,
HOSTING = ("workers", "env_seconds", "on_env_error")  # and where they run


class Spaces(NamedTuple):
    """What an environment shows and takes, in the form that agents know.

    Attributes:
        observations: of one environment, [1, height, width], uint8 or float32.
        actions: number of actions.
        fps: frames a second, as the environment says, at which it is to be watched.
    """

    observations: gym.spaces.Box
    actions: int
    fps: float


@dataclass(frozen=True)
class GameConfig:
    """What is played."""

    env: str = "wingbeat/FlappyBird-v0"
    """the environment's id (--list-envs names our games); also of others: CartPole-v1, ALE/Pong-v5, package:Name-v0; or
    code of your own, a game or an environment: package.module:MY_GAME"""
    preset: str = ""
    """the rules by name, of our own games; the first if not given. Scores of different presets can't be compared"""
    frame_skip: int | None = None
    """frames from one decision to the next; if not given what a game of ours says, mostly 2, 4 with --screen atari,
    else 1"""
    env_arg: tuple[str, ...] = ()
    """of our own games the look, as theme=night pipe_color=red; of others a setting, as gravity=-12.0"""
    pixels: bool = False
    """of others: see what the environment renders instead of what it observes"""
    screen: Literal["plain", "atari"] = "plain"
    """of others: atari skips 4 frames, pools the last two and learns from the signs of rewards"""
    sticky: NonNegative = 0.0
    """of others: probability that a frame repeats the action of the one before; ALE's have their own, 0.25"""
    no_ops: Natural = 0
    """of others: an episode begins with 0 to so many frames of action 0"""
    life_loss: bool = False
    """of others: in training a lost life ends an episode, but not the game"""
    bins: Natural = 0
    """of others with Box actions: positions that each number can have; 0 for 3 to 11, by how many numbers there are"""
    workers: Natural | None = None
    """of others: processes that play them, 0 for this one alone; if not given a short measurement chooses, but
    while training ALE's games run in threads of their own"""
    env_seconds: Endless = 60.0
    """of others: longest that a step of an environment in a process of its own may last"""
    on_env_error: Literal["stop", "restart"] = "stop"
    """of others: what happens when one fails: stop and save, or make it anew and drop the step"""

    def make(self, num_envs: int, training: bool = False, **settings: Any) -> Games:
        """Make the games.

        Args:
            num_envs: how many.
            training: with what only a learner needs: lives that end episodes, rewards cut to their signs.
            **settings: for `GameVectorEnv` or `AdaptedVectorEnv`.

        Raises:
            UserError: for an unknown id, preset or setting.
        """
        look: dict[str, Any] = self.look
        if not self.ours:
            return self._make_others(num_envs, training, {**settings}, look)
        self._refuse_for_ours()
        settings = {"frame_skip": self.skip, **settings}
        try:
            check_look(look)
            return GameVectorEnv(self.game, num_envs, preset=self.preset or None, **settings, **look)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _make_others(self, num_envs: int, training: bool, settings: dict[str, Any], look: dict[str, Any]) -> Games:
        if self.preset:
            raise UserError(f"{self.env} has no presets")
        for name in look.keys() & inspect.signature(AdaptedVectorEnv).parameters.keys():
            raise UserError(f"--env-arg {name} can't be set: Wingbeat sets it itself")
        if self.bins == 1:
            raise UserError("--bins 1 leaves nothing to choose from; it must be at least 2")
        if not 0 <= self.sticky < 1:
            raise UserError(f"--sticky must be a probability below 1, not {self.sticky}")
        settings.pop("frame_skip", None)  # whoever shows every frame of our games shows one a decision of others
        atari = self.screen == "atari"
        screen = Screen(
            pixels=self.pixels,
            frame_skip=self.skip,
            pool=atari,
            sticky=self.sticky,
            no_ops=self.no_ops,
            life_loss=training and self.life_loss,
            clip_rewards=training and atari,
            bins=self.bins,
        )
        # One alone is made to be looked at: for its spaces, or in a window.
        workers = 0 if num_envs == 1 and not training else self.workers
        hosting = Hosting(workers, self.env_seconds, self.on_env_error, vector=training)
        own: dict[str, Any] = {key: setting(value) for key, value in look.items()}
        try:
            return AdaptedVectorEnv(self.env, num_envs, screen=screen, hosting=hosting, **settings, **own)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _refuse_for_ours(self) -> None:
        plain = GameConfig()
        for name in (*SCREEN, *HOSTING):
            if getattr(self, name) != getattr(plain, name):
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} is for environments of others; {self.env} is one of Wingbeat's own games")

    @cached_property
    def spaces(self) -> Spaces:
        """What it shows and takes. One is made to be looked at, which may take long: once.

        Raises:
            UserError: as `make`.
        """
        envs: Any = self.make(1)
        return Spaces(
            envs.single_observation_space, int(envs.single_action_space.n), float(envs.metadata["render_fps"])
        )

    @property
    def look(self) -> dict[str, str]:
        """What --env-arg sets, by name.

        Raises:
            UserError: for what is not name=value.
        """
        return pairs(self.env_arg)

    @property
    def ours(self) -> bool:
        """Whether it is one of our games. The module is imported that registers it, or that the id names.

        Raises:
            UserError: if there is no such environment at all.
        """
        try:
            if registry.find(self.env):
                return True
            if not names_code(self.env) and self.env not in gym.registry:
                register(self.env)
        except ValueError as error:
            raise UserError(str(error)) from error
        if not names_code(self.env) and self.env not in gym.registry:
            close = difflib.get_close_matches(self.env, [*GAMES, *registry.announced(), *gym.registry], 1, 0.4)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(GAMES)}"
            raise UserError(f"there is no environment {self.env!r}; {hint}")
        return False

    @property
    def game(self) -> Game:
        """The game of ours that the id names."""
        return GAMES[self.env]

    @property
    def skip(self) -> int:
        """Frames from one decision to the next.

        Raises:
            UserError: for an unknown preset.
        """
        if self.frame_skip is not None or not self.ours:
            return self.frame_skip or (4 if self.screen == "atari" else 1)
        try:
            return self.game.decision(self.game.rules(str(self.about["preset"])))
        except ValueError as error:
            raise UserError(str(error)) from error

    @property
    def decision_frames(self) -> int:
        """Frames that a person sees from one decision to the next."""
        return self.skip if self.ours else 1

    @property
    def fps(self) -> int:
        """Frames a second at which a person watches."""
        return self.game.fps if self.ours else max(1, round(self.spaces.fps / self.skip))

    def confirm(self, named: str | None, where: str) -> None:
        """Refuse to import a module because a run's settings say so: the user has to name it as well.

        Args:
            named: the environment that the user has named, if any.
            where: the settings' file.

        Raises:
            UserError: if the user named none and the run needs it, or named another one.
        """
        if named is not None and named != self.env:
            raise UserError(f"{where} is of a run that plays {self.env}, not {named}")
        if named is None and names_code(self.env):
            raise UserError(
                f"this run plays {self.env}, and a run's settings import no code; if you trust it, say so again: "
                f"--env {self.env}"
            )

    @property
    def actions(self) -> tuple[str, ...]:
        """What a person calls each action."""
        if self.ours:
            return self.game.actions
        return tuple(f"action {action}" for action in range(self.spaces.actions))

    @property
    def keys(self) -> Mapping[str, int]:
        """The action of each key; digits for games that are not ours."""
        return self.game.keys if self.ours else {str(action): action for action in range(min(10, len(self.actions)))}

    @property
    def name(self) -> str:
        """The id without namespace and version, or the name in its module."""
        return self.env.split(":")[-1].split("/")[-1].rsplit("-v", 1)[0]

    @property
    def bare(self) -> "GameConfig":
        """The same game, to compare two: preset and skip named, the look in order, where it runs left out."""
        usual = {name: getattr(GameConfig, name) for name in ("life_loss", *HOSTING)}  # a life counts in training only
        look = tuple(f"{name}={value}" for name, value in sorted(self.look.items()))
        return replace(self, preset=self.about["preset"] or "", frame_skip=self.skip, env_arg=look, **usual)

    @property
    def about(self) -> dict[str, str | None]:
        """What a score means nothing without: the id and the preset."""
        preset = (self.preset or next(iter(self.game.presets))) if self.ours else None
        return {"env": self.env, "preset": preset}
