"""From what a user writes to an environment: a Gymnasium id, one of ours, or a class or function in a module."""

import difflib
import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

from envs import registry
from envs.game import Game
from envs.guest import register
from envs.single import GameEnv


class NoSuchEnvironment(ValueError):
    """There is nothing of that name, or it does not take a setting of that name."""


def find(name: str, settings: dict[str, Any]) -> Callable[..., Any]:
    """Return what makes the environment: a function of further settings, such as render_mode.

    The module before a colon is imported: the user named it. An error within that module goes through.

    Raises:
        NoSuchEnvironment: if there is no such module, id, class or function.
    """
    module_name, colon, attribute = name.partition(":")
    if colon:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise NoSuchEnvironment(f"there is no module {error.name!r} (for {name!r})") from error
        except (ValueError, TypeError) as error:
            raise NoSuchEnvironment(f"{module_name!r} is no module's name (for {name!r})") from error
        maker = getattr(module, attribute, None)
        if isinstance(maker, Game):
            return partial(GameEnv, maker, **settings)
        if callable(maker):
            return lambda **more: maker(**settings, **more)
        if attribute not in gym.registry and attribute.isidentifier():
            raise NoSuchEnvironment(f"the module {module_name!r} has no class or function {attribute!r}")
    try:
        registry.find(name)  # what a package announces
        register(name)
    except ValueError as error:
        raise NoSuchEnvironment(str(error)) from error
    try:
        gym.spec(attribute if colon else name)
    except gym.error.Error as error:
        close = difflib.get_close_matches(attribute or name, list(gym.registry), 1, 0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise NoSuchEnvironment(f"there is no environment {name!r}{hint}") from error
    return lambda **more: gym.make(attribute if colon else name, disable_env_checker=True, **settings, **more)


def check_settings(error: TypeError, settings: dict[str, Any], name: str) -> None:
    """Tell a setting that the environment does not know from an error of the environment's own.

    Raises:
        NoSuchEnvironment: if that is what the error says.
    """
    for key in settings:
        if f"unexpected keyword argument '{key}'" in str(error):
            raise NoSuchEnvironment(f"{name} takes no setting {key!r}") from error


def parameters(function: Any) -> tuple[set[str], dict[str, Any]]:
    """Return the names that a function takes ("**" for any) and the defaults of those that have one."""
    found = inspect.signature(function).parameters.values()
    names = {"**" if one.kind is one.VAR_KEYWORD else one.name for one in found}
    return names, {one.name: one.default for one in found if one.default is not one.empty}
