"""Environments in other processes: the same to the bit, and what goes wrong there is noticed, named and ended."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from agents.replay import Replay
from agents.rollout import Rollout
from envs.adapter import AdaptedVectorEnv, Hosting, useful_workers
from envs.guest import EnvFailure, Guest
from envs.hosts import Here, Workers
from envs.screen import Screen
from tests.envs.faulty import FAULTS, HERE

FAULTY = "tests.envs.faulty:Faulty"
N, BAD = 8, 5  # environments, and which of them goes wrong
SECONDS = 1.0  # for a step, where one hangs
LONG = 30.0  # elsewhere: a busy machine may stop anyone for a second


def make(workers: int, fault: str = "", on_error: Any = "stop", step: int = 3, **more: Any) -> AdaptedVectorEnv:
    hosting = Hosting(workers, SECONDS if fault in ("hanging", "stopping") else LONG, on_error)
    return AdaptedVectorEnv(FAULTY, N, hosting=hosting, fault=fault, seed=100 + BAD, step=step, **more)


@pytest.fixture(scope="module", autouse=True)
def none_of_others() -> None:
    """End what earlier tests have left to be collected: their workers would be counted here."""
    gc.collect()


def children() -> list[psutil.Process]:
    """Processes that this one started and that go on, but for the one that multiprocessing keeps for itself."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "resource_tracker" not in " ".join(child.cmdline())]


@pytest.mark.parametrize(
    ("env_id", "screen", "settings"),
    [
        ("CartPole-v1", Screen(), {"max_episode_steps": 30}),
        ("Acrobot-v1", Screen(frame_skip=3, sticky=0.25, no_ops=5), {"max_episode_steps": 60}),
        ("CartPole-v1", Screen(pixels=True, frame_skip=2, pool=True), {"max_episode_steps": 12}),
    ],
)
def test_processes_change_nothing(env_id: str, screen: Screen, settings: dict[str, Any]) -> None:
    both = [AdaptedVectorEnv(env_id, 5, screen=screen, hosting=Hosting(w), **settings) for w in (0, 2)]
    rng, ends = np.random.default_rng(0), 0
    shown = [envs.reset(seed=7)[0] for envs in both]
    assert np.array_equal(*shown)
    steps = 30 if screen.pixels else 120
    for t in range(steps):
        if t == steps // 2:
            for envs in both:
                envs.set_state(both[0].get_state())
        actions = rng.integers(0, both[0].single_action_space.n, 5)  # type: ignore[attr-defined]
        here, there = (envs.step(actions) for envs in both)
        for mine, other in zip(here[:4], there[:4], strict=True):
            assert mine.dtype == other.dtype
            assert np.array_equal(mine, other)
        assert np.array_equal(here[4]["score"], there[4]["score"])
        ends += int((here[2] | here[3]).sum())
    assert ends > 1
    for envs in both:
        envs.close()


def run_into_it(envs: AdaptedVectorEnv) -> None:
    envs.reset(seed=100)
    for _ in range(3):
        envs.step(np.zeros(N, np.int64))


CASES = [(fault, 3, 2) for fault in FAULTS] + [("killed", 3, 8), ("killed", 0, 2), ("raising", 0, 2), ("hanging", 0, 2)]


def named_and_ended(fault: str, step: int, workers: int) -> None:
    before = len(children())
    envs = make(workers, fault, step=step)
    assert len(children()) == before + workers
    begun = time.monotonic()
    with pytest.raises(EnvFailure) as caught:
        run_into_it(envs)
    assert time.monotonic() - begun < SECONDS + 5
    message = str(caught.value)
    assert message.startswith(f"environment {BAD} (of 0 to {N - 1})")
    assert ("step 3 of its episode" if step else "an episode's first step") in message
    assert FAULTS[fault] in message
    assert "\n" not in message
    if fault not in ("killed", "exiting", "stopping"):  # these can't say any more where they were
        assert ("faulty.py" if fault not in ("nan", "nan_reward", "shape") else "guest.py") in caught.value.traceback
    assert len(children()) == before


@pytest.mark.parametrize(("fault", "step", "workers"), CASES)
def test_a_worker_that_goes_wrong_is_named_and_nothing_is_left_of_it(fault: str, step: int, workers: int) -> None:
    named_and_ended(fault, step, workers)


@pytest.mark.parametrize("fault", HERE)
def test_in_this_process_it_is_named_too(fault: str) -> None:
    envs = make(0, fault)
    with pytest.raises(EnvFailure, match=rf"environment {BAD} .* step 3 of its episode") as caught:
        run_into_it(envs)
    assert FAULTS[fault] in str(caught.value)
    assert "Traceback" in caught.value.traceback


def test_workers_close_their_environments_and_those_they_lost(tmp_path: Path) -> None:
    envs = make(2, closed=str(tmp_path / "closed"))
    envs.reset(seed=0)
    assert (tmp_path / "closed").read_text() == "x"  # the one that was made to look at its spaces
    envs.close()
    assert (tmp_path / "closed").read_text() == "x" * (1 + N)


def restarted(fault: str, workers: int) -> None:
    envs, sound = make(workers, fault, "restart"), make(0)
    envs.reset(seed=100)
    sound.reset(seed=100)
    lost = np.zeros(N, np.bool_)
    lost[{0: slice(5, 6), 8: slice(5, 6), 2: slice(4, 8), 3: slice(5, 8)}[workers]] = True
    for t in range(1, 26):
        observations, rewards, terminated, truncated, info = envs.step(np.zeros(N, np.int64))
        wanted = sound.step(np.zeros(N, np.int64))
        assert ("interrupted" in info) == (t == 3)
        if t == 3:
            assert np.array_equal(info["interrupted"], lost)
            numbers = observations[lost].reshape(-1, 3)
            assert (numbers[:, 1] == 0).all()  # new episodes, of seeds that nobody had
            assert len({*numbers[:, 0], *range(100, 108)}) == 8 + lost.sum()
            for ended in (rewards, terminated, truncated, info["score"]):
                assert not ended[lost].any()
        if t > 3:  # from there on a whole episode
            assert (rewards[lost] == [(t - 3) % 11]).all()
        for mine, other in zip((observations, rewards, terminated, truncated), wanted, strict=False):
            assert np.array_equal(mine[~lost], other[~lost])
    envs.close()


@pytest.mark.parametrize(
    ("workers", "fault"), [(0, "raising"), (0, "nan"), (2, "killed"), (2, "hanging"), (3, "nan"), (8, "exiting")]
)
def test_a_restart_interrupts_what_was_lost_and_nothing_else(workers: int, fault: str) -> None:
    restarted(fault, workers)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", ["killed", "exiting", "raising", "hanging", "nan"])
def test_one_in_eight_twenty_times(fault: str) -> None:
    before = len(children())
    for _ in range(20):
        named_and_ended(fault, 3, 8)
        restarted(fault, 8)
    assert len(children()) == before


def test_who_fails_again_and_again_ends_it() -> None:
    for workers in (0, 2):
        hosting = Hosting(workers, LONG, "restart")
        envs = AdaptedVectorEnv("tests.envs.faulty:Stubborn", 2, hosting=hosting, good=50)
        envs.reset(seed=50)
        with pytest.raises(EnvFailure, match=r"no more.* failed 4 times in a row"):
            envs.step(np.zeros(2, np.int64))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_who_fails_at_every_step_ends_it_too(workers: int) -> None:
    """Although it can always be made anew, and begins well."""
    envs = AdaptedVectorEnv("tests.envs.faulty:Stuck", 2, hosting=Hosting(workers, LONG, "restart"))
    envs.reset(seed=0)
    for _ in range(3):
        *_, info = envs.step(np.zeros(2, np.int64))
        assert info["interrupted"].all()
    with pytest.raises(EnvFailure, match=r"no further.* failed 4 times in a row"):
        envs.step(np.zeros(2, np.int64))


def test_failures_with_steps_between_them_do_not_add_up() -> None:
    """One fails in every episode, in its second step."""
    envs = AdaptedVectorEnv("tests.envs.faulty:Faulty", 2, hosting=Hosting(0, LONG, "restart"), fault="raising", step=2)
    assert isinstance(envs.host, Here)
    envs.reset(seed=0)
    interruptions = 0
    for _ in range(20):
        for each in envs.host.guests:
            each.env.unwrapped._seed = each.env.unwrapped._episode
        *_, info = envs.step(np.zeros(2, np.int64))
        interruptions += int(info.get("interrupted", np.zeros(2)).sum())
    assert interruptions == 20


def test_one_that_fails_in_every_evaluation_ends_none() -> None:
    """Each begins with the same seeds, so one episode fails in each, at its first step; the others are played on."""
    hosting = Hosting(0, LONG, "restart")
    envs = AdaptedVectorEnv("tests.envs.faulty:Faulty", 2, hosting=hosting, fault="raising", seed=7, step=1)
    for _ in range(6):
        envs.reset(seed=7)
        *_, info = envs.step(np.zeros(2, np.int64))
        assert info["interrupted"].tolist() == [True, False]
        envs.rest(info["interrupted"])
        for _ in range(5):
            envs.step(np.zeros(2, np.int64))


def test_what_can_not_be_made_elsewhere_is_refused() -> None:
    before = len(children())
    with pytest.raises(ValueError, match=r"process of its own: .*RuntimeError: not here"):
        AdaptedVectorEnv("tests.envs.faulty:Shy", 2, hosting=Hosting(2), owner=os.getpid())
    assert len(children()) == before


def test_forgotten_environments_end_their_processes() -> None:
    before = children()
    envs = make(2)
    envs.reset(seed=1)
    assert len(children()) == len(before) + 2
    del envs
    gc.collect()
    assert children() == before


def test_workers_ignore_what_is_meant_for_the_first_process() -> None:
    before = children()
    envs = make(2)
    envs.reset(seed=1)
    assert isinstance(envs.host, Workers)
    for number in (signal.SIGINT, signal.SIGTERM):
        for process in envs.host.processes:
            os.kill(process, number)
    for _ in range(5):
        envs.step(np.zeros(N, np.int64))
    envs.close()
    assert children() == before


PARENT = """
import sys, time
import numpy as np
from envs.adapter import AdaptedVectorEnv, Hosting
envs = AdaptedVectorEnv("tests.envs.faulty:Faulty", 4, hosting=Hosting(4, 60), fault="hanging", seed=102, step=1)
envs.reset(seed=100)
print(*envs.host.processes, flush=True)
sys.stdin.readline()  # the test holds its handles on the workers now
if sys.argv[1] == "busy":
    envs.step(np.zeros(4, np.int64))
time.sleep(60 if sys.argv[1] == "idle" else 0)
"""


@pytest.mark.parametrize("doing", ["idle", "busy", "ending"])
def test_no_worker_outlives_its_parent(doing: str) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", PARENT, doing]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        workers = [psutil.Process(int(word)) for word in parent.stdout.readline().split()]
        assert len(workers) == 4
        parent.stdin.write("go on\n")
        if doing != "ending":
            time.sleep(0.5)
            parent.kill()
        parent.wait(20)
    _, alive = psutil.wait_procs(workers, 5)
    assert not alive


def played(memory: Any) -> list[tuple[float, float, float]]:
    """Every transition of a rollout as (episode, step before, step after)."""
    first, last = (
        memory.observations(torch.arange(memory.steps * N)),
        memory.observations(torch.arange(N, (memory.steps + 1) * N)),
    )
    episodes = torch.stack([first[:, -1, 0, 0], last[:, -1, 0, 0]])
    valid = memory.valid.flatten()
    assert torch.equal(*episodes[:, valid])
    return [
        (float(e), float(a), float(b))
        for e, a, b in zip(episodes[0][valid], first[valid, -1, 0, 1], last[valid, -1, 0, 1], strict=True)
    ]


@pytest.mark.parametrize("steps", [3, 20])
def test_a_rollout_stores_no_transition_that_was_not(steps: int) -> None:
    """With 3 steps the failure is the last thing that happens in a rollout, with 20 it is in the middle."""
    envs = make(0, "raising", "restart")
    rollout = Rollout(envs, steps, 2, torch.device("cpu"))
    rollout.start(100)
    stored = []
    for _ in range(60 // steps):
        rollout.begin(rollout)
        for t in range(steps):
            rollout.add(t, torch.zeros(N, dtype=torch.int64))
        stored += played(rollout)
        if steps == 20 and len(stored) < 20 * N:
            assert rollout.truncated.nonzero().tolist() == [[1, BAD]]  # what came before the failure still bootstraps
            assert rollout.valid[:, BAD].nonzero().flatten().tolist() == [0, 1, *range(3, 13), *range(14, 20)]
            assert rollout.first[:, BAD].nonzero().flatten().tolist() == [0, 3, 14]
    assert all(after == before + 1 for _, before, after in stored)
    assert (105.0, 1.0, 2.0) in stored
    assert (105.0, 2.0, 3.0) not in stored
    assert len(stored) == 60 * N - 1 - 5 * (N - 1) - 5


def test_a_replay_stores_no_transition_that_was_not() -> None:
    envs = make(0, "raising", "restart")
    replay = Replay(envs, 40 * N, 2, 3, 0.5)
    replay.start(100)
    for _ in range(35):
        replay.add(np.zeros(N, np.int64))
    batch = replay.gather(replay.draw(20_000, np.random.default_rng(0)))
    before, after = batch.observations[:, -1, 0].numpy(), batch.next_observations[:, -1, 0].numpy()
    assert np.array_equal(before[:, 0], after[:, 0])  # never across episodes
    steps = (after - before)[:, 1]
    assert set(steps) == {1, 2, 3}
    cut = (before[:, 0] == 105) & (before[:, 1] < 3)
    assert {tuple(row) for row in np.stack([before[:, 1], after[:, 1]], 1)[cut]} == {(0, 2), (1, 2)}
    assert set(batch.discounts[torch.from_numpy(cut)].tolist()) == {0.25, 0.5}  # bootstraps from what was seen last
    back = np.arange(3)[:, None] < steps  # rewards are the numbers of the steps
    expected = ((before[:, 1] + np.arange(1, 4)[:, None]) * 0.5 ** np.arange(3)[:, None] * back).sum(0)
    assert np.allclose(batch.returns.numpy(), expected)
    first = batch.observations[:, 0, 0].numpy()
    assert np.array_equal(first[:, 0], before[:, 0])  # no stack reaches into the episode before


def test_a_measurement_chooses_processes_for_slow_environments_only() -> None:
    guest = Guest("CartPole-v1", {}, Screen())
    ticks = iter(np.arange(1000) * 1e-6)
    assert useful_workers(guest, 8, lambda: float(next(ticks))) == 0
    ticks = iter(np.arange(1000) * 1e-3)
    assert useful_workers(guest, 1, lambda: float(next(ticks))) == 0
    ticks = iter(np.arange(1000) * 1e-3)
    cores = len(os.sched_getaffinity(0))
    assert useful_workers(guest, 8, lambda: float(next(ticks))) == (min(8, cores) if cores > 1 else 0)


def test_who_fails_while_it_is_measured_is_worth_a_process() -> None:
    """There it is named if it fails again, as everywhere; here it would end the command with a traceback."""
    guest = Guest("tests.envs.faulty:Faulty", {"fault": "raising", "seed": 0, "step": 2}, Screen())
    assert useful_workers(guest, 8) == min(8, len(os.sched_getaffinity(0)))
