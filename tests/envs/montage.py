"""Make the picture of all games: `python -m tests.envs.montage docs/games.png`, each by day and by night."""

import sys

import numpy as np
from PIL import Image

from envs import GAMES, GameVectorEnv
from tests.envs.pilot import fly

HEIGHT, GAP = 168, 4  # pixels
FRAMES = {"FlappyBird": 130, "Catch": 36, "Pong": 60, "Breakout": 700, "Snake": 900, "Rooftops": 78}


def main(path: str) -> None:
    """Play each game a while and put the pictures side by side: a row by day, a row by night."""
    rows = []
    for theme in ("day", "night"):
        pictures = []
        for game in GAMES.values():
            envs, rng = GameVectorEnv(game, 1, render_mode="rgb_array", theme=theme), np.random.default_rng(0)
            _, info = envs.reset(seed=1)
            for _ in range(FRAMES[game.name]):
                *_, info = envs.step(fly(game, info["state"], game.rules(envs.preset), rng, 0.0))
            frames = envs.render()
            assert frames is not None
            width = round(game.width * HEIGHT / game.height)
            pictures.append(np.asarray(Image.fromarray(frames[0]).resize((width, HEIGHT), Image.Resampling.BOX)))
            pictures.append(np.full((HEIGHT, GAP, 3), 255, np.uint8))
        row = np.concatenate(pictures[:-1], 1)
        rows += [row, np.full((GAP, row.shape[1], 3), 255, np.uint8)]
    Image.fromarray(np.concatenate(rows[:-1])).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
