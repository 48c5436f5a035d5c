"""What a new process imports, compiles and waits for: nothing before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, sys
import agents.build, envs, play, train
compiled = sum(len(f.signatures) for g in envs.GAMES.values() for f in (g.reset, g.step, g.scene))

import torch
from torch import nn
from agents.optimizer import HiddenMuon
network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
optimizer = HiddenMuon(network, network[0], 1e-3, 1e-2)
network(torch.ones(1, 2)).sum().backward()
optimizer.step()
print(json.dumps({"compiled": compiled, "names": sorted(sys.modules)}))
"""


def test_a_new_process_waits_for_nothing_that_it_does_not_need() -> None:
    """It imported the commands and all games, and then took a gradient step."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {"agents.build", "envs", "play", "train", "torch"} <= set(found["names"])
    assert found["compiled"] == 0  # games that are imported are only marked for compiling
    assert [name for name in found["names"] if "stable_base" in name] == []
    assert "torch._dynamo" not in found["names"]  # the compiler takes as long as the rest of torch
