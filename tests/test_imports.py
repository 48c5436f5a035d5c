"""Who imports whom, and what a new process imports, compiles and waits for: nothing before it is needed."""

import ast
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = ["envs", "experiment", "perception", "agents", "commands"]  # each imports only what stands before it
MAINS = [
    "envs/new.py",
    "envs/doctor/__main__.py",
]  # commands, too: they read flags and report errors
PROGRAM = """
import json, sys
import commands.player, envs, play, train
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
    assert {"commands.build", "envs", "play", "train", "torch"} <= set(found["names"])
    assert found["compiled"] == 0  # games that are imported are only marked for compiling
    assert [name for name in found["names"] if "stable_base" in name] == []
    assert "torch._dynamo" not in found["names"]  # the compiler takes as long as the rest of torch


def _imported(file: Path) -> set[str]:
    """Find which packages a file imports, wherever in it that happens."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return {name.split(".")[0] for name in names}


def test_imports_point_one_way() -> None:
    """Nothing knows what is made of it: not an environment its agents, not an algorithm the commands."""
    upwards = [
        f"{file.relative_to(ROOT)} imports {other}"
        for i, layer in enumerate(LAYERS)
        for file in sorted((ROOT / layer).rglob("*.py"))
        if str(file.relative_to(ROOT)) not in MAINS
        for other in sorted(_imported(file) & {*LAYERS[i + 1 :], "train", "play", "tests", "benchmarks"})
    ]
    assert upwards == []
    assert "experiment" in _imported(ROOT / MAINS[0])  # which is found, then
