"""DQN: its targets and loss by hand, and what a resumed run keeps."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn import DQN, DQNConfig, QNetwork, q_loss, q_targets, quantile_loss, quantile_targets
from agents.replay import Batch, Drawn
from envs import FLAPPY_BIRD
from experiment import checkpoint
from perception import EncoderSpec, make_encoder
from tests.agents.games import CATCH
from tests.agents.making import copy, make, make_tiny, same

CONFIG = replace(DQNConfig(), num_envs=4, capacity=2000, batch_size=32)
ALL_ON = {"noisy": True, "distributional": True, "prioritized": 0.6, "muon_rate": 2e-3}


def flappy(seed: int = 0, **changes: Any) -> DQN:
    settings = {"learning_starts": 64, "exploration_steps": 300, **changes}
    agent: DQN = make(DQN, replace(CONFIG, **settings), FLAPPY_BIRD, seed, 10_000, {"frame_skip": 2})
    return agent


def batch_of(returns: list[float], discounts: list[float]) -> Batch:
    empty, n = torch.zeros(0), len(returns)
    actions, weights = torch.zeros(n, dtype=torch.int64), torch.ones(n)
    return Batch(empty, actions, torch.tensor(returns), empty, torch.tensor(discounts), weights)


def test_targets_by_hand() -> None:
    batch = batch_of([1.0, 2.0, -1.0], [0.9, 0.0, 0.5])  # the second has died
    target = torch.tensor([[1.0, 3.0], [5.0, 2.0], [-4.0, -6.0]])
    online = torch.tensor([[9.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    assert q_targets(batch, target, None).tolist() == pytest.approx([1 + 0.9 * 3, 2.0, -1 - 0.5 * 4])
    # Double: the online network prefers the first action, the second, the second.
    assert q_targets(batch, target, online).tolist() == pytest.approx([1 + 0.9 * 1, 2.0, -1 - 0.5 * 6])
    assert q_targets(batch, target, online).shape == (3,)


def test_loss_by_hand() -> None:
    q = torch.tensor([[1.0, 7.0], [2.0, 8.0], [3.0, 9.0]])
    actions, targets, weights = torch.tensor([0, 1, 1]), torch.tensor([1.5, 5.0, 9.0]), torch.tensor([1.0, 0.5, 1.0])
    loss, errors = q_loss(q, actions, targets, weights)
    assert errors.tolist() == [-0.5, 3.0, 0.0]
    # Huber: e^2 / 2 up to 1, then |e| - 1/2.
    by_hand = [0.125, 0.5 * 2.5, 0.0]
    assert loss.item() == pytest.approx(sum(by_hand) / 3)
    singles = [q_loss(q[[i]], actions[[i]], targets[[i]], weights[[i]])[0].item() for i in range(3)]
    assert singles == pytest.approx(by_hand)
    assert errors.shape == (3,)


def test_only_the_chosen_actions_are_corrected() -> None:
    q = torch.tensor([[1.0, 7.0, 4.0], [2.0, 8.0, 4.0]]).requires_grad_()
    loss, errors = q_loss(q, torch.tensor([2, 0]), torch.tensor([0.0, 2.5]), torch.ones(2))
    (gradient,) = torch.autograd.grad(loss, q)
    assert gradient.tolist() == [[0, 0, 0.5], [-0.25, 0, 0]]
    assert not errors.requires_grad


def test_quantile_targets_by_hand() -> None:
    batch = batch_of([1.0, 2.0, -1.0], [0.9, 0.0, 0.5])  # the second has died
    target = torch.tensor([[[1.0, 3.0], [0.0, 9.0]], [[5.0, 6.0], [2.0, 3.0]], [[-4.0, -2.0], [-7.0, 0.0]]])
    online = torch.tensor([[9.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    # By the means 2 and 4.5, 5.5 and 2.5, -3 and -3.5.
    alone = [[1.0, 1 + 0.9 * 9], [2.0, 2.0], [-1 - 0.5 * 4, -1 - 0.5 * 2]]
    assert quantile_targets(batch, target, None).numpy() == pytest.approx(np.array(alone))
    # Double: the online network prefers the first action, the second, the second.
    double = [[1 + 0.9 * 1, 1 + 0.9 * 3], [2.0, 2.0], [-1 - 0.5 * 7, -1.0]]
    assert quantile_targets(batch, target, online).numpy() == pytest.approx(np.array(double))


def test_the_quantile_loss_against_its_definition() -> None:
    """Equations 9 and 10 of Dabney et al. 2018 with kappa 1 and their algorithm 1, in loops and float64."""
    rng, quantiles = np.random.default_rng(0), 5
    theta, y = rng.normal(0, 2, (3, 4, quantiles)), rng.normal(0, 2, (3, quantiles))
    actions, weights = np.array([2, 0, 3]), np.array([1.0, 0.5, 0.25])
    losses = np.zeros(3)
    for b in range(3):
        for i in range(quantiles):
            tau = (i / quantiles + (i + 1) / quantiles) / 2
            for j in range(quantiles):
                u = y[b, j] - theta[b, actions[b], i]
                huber = u * u / 2 if abs(u) <= 1 else abs(u) - 0.5
                losses[b] += abs(tau - (1 if u < 0 else 0)) * huber / quantiles
    tensors = [torch.tensor(x, dtype=torch.float32) for x in (theta, y, weights)]
    loss, errors = quantile_loss(tensors[0].requires_grad_(), torch.tensor(actions), *tensors[1:])
    assert loss.item() == pytest.approx((weights * losses).mean(), rel=1e-5)
    assert errors.tolist() == pytest.approx([theta[b, actions[b]].mean() - y[b].mean() for b in range(3)], abs=1e-5)
    assert not errors.requires_grad
    (gradient,) = torch.autograd.grad(loss, tensors[0])
    touched = {(b, a) for b, a, _ in gradient.nonzero().tolist()}
    assert touched == set(enumerate(actions.tolist()))


def test_quantiles_are_learned_where_they_are() -> None:
    """Of returns spread evenly over 0 to 100 the four are 12.5, 37.5, 62.5 and 87.5, in this order."""
    theta = torch.zeros(1, 1, 4, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        loss, _ = quantile_loss(theta, torch.tensor([0]), torch.linspace(0, 100, 401)[None], torch.ones(1))
        torch.autograd.backward(loss)
        optimizer.step()
    assert theta.flatten().tolist() == pytest.approx([12.5, 37.5, 62.5, 87.5], abs=0.5)


def test_dueling_holds_for_every_quantile() -> None:
    """theta_i = V_i + A_i - mean A_i: the mean over actions is V_i; and Q is the mean over the quantiles."""
    torch.manual_seed(0)
    network = QNetwork(make_encoder(EncoderSpec("small", 2, 40, 48, 32)), 5, dueling=True, quantiles=3)
    observations = torch.randint(256, (7, 2, 40, 48), dtype=torch.uint8)
    with torch.no_grad():
        q, theta = network(observations)
        assert theta.shape == (7, 5, 3)
        assert network.value is not None
        features = network.encoder(observations)
        torch.testing.assert_close(theta.mean(1), network.value(features))
        advantages = network.advantage(features).view(7, 5, 3)
        torch.testing.assert_close(theta[:, 4] - theta[:, 1], advantages[:, 4] - advantages[:, 1])
        torch.testing.assert_close(q, theta.mean(2))
        assert (theta - q[..., None]).std(-1).min() > 0


@pytest.mark.parametrize("switches", list(product([False, True], repeat=6)))
def test_all_switches_go_together(switches: tuple[bool, ...]) -> None:
    double, dueling, steps, prioritized, noisy, distributional = switches
    agent = make_tiny(
        DQN, CONFIG, CATCH, learning_starts=64, double=double, dueling=dueling, n_step=3 if steps else 1,
        prioritized=0.6 if prioritized else 0.0, noisy=noisy, distributional=distributional, quantiles=7,
    )  # fmt: skip
    while agent.steps < 256:
        metrics = agent.iterate()
    assert metrics["train/loss"] >= 0
    q, theta = agent.learner.network(agent.replay.newest())
    assert q.shape == (4, 3)
    assert theta.shape == (4, 3, 7 if distributional else 1)
    before = copy(dict(agent.learner.network.named_parameters()))
    agent.iterate()
    stuck = [key for key, value in agent.learner.network.named_parameters() if torch.equal(value, before[key])]
    assert stuck == []


def test_networks_have_independent_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The online network at s, the target at s', the online at s' where it chooses: three noises, new at each step."""
    agent = make_tiny(DQN, CONFIG, CATCH, learning_starts=256, noisy=True)
    seen: list[Any] = []
    for _ in range(2):
        agent.iterate()
    for network in (agent.learner.network, agent.learner.average):
        network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    agent.iterate()
    assert len(seen) == 3 * 8  # batches of 32 from 128 steps, each drawn twice on average
    assert all(noise.shape == (32, 2 * 64 + 3 + 1) for noise in seen)
    numbers = torch.stack(seen[-6:]).view(6, -1)
    assert numbers.corrcoef().fill_diagonal_(0).abs().max() < 4 / numbers.shape[1] ** 0.5


def test_a_game_keeps_its_noise_for_an_episode() -> None:
    """And nobody else's changes with it."""
    agent = flappy(learning_starts=10_000, noisy=True)
    ends = []
    for _ in range(150):
        before = agent.noise.clone()
        agent._play_step()
        new = (agent.noise != before).any(-1)
        ends.append(new.tolist())
        assert ends[-1] == agent.replay._over.tolist()
    assert any(0 < sum(new) < 4 for new in ends)
    assert len(agent.noise.unique(dim=0)) == 4


def test_noise_takes_the_place_of_random_actions() -> None:
    agent = make_tiny(DQN, CONFIG, CATCH, learning_starts=256, noisy=True)
    assert [agent.iterate()["train/epsilon"] for _ in range(4)] == [1.0, 0.0, 0.0, 0.0]  # 128 steps each


def test_dueling_values_are_the_mean_over_actions() -> None:
    """Q = V + A - mean A: the mean of Q is V, and what all advantages share changes nothing."""
    torch.manual_seed(0)
    network = QNetwork(make_encoder(EncoderSpec("small", 2, 40, 48, 32)), 5, dueling=True)
    observations = torch.randint(256, (7, 2, 40, 48), dtype=torch.uint8)
    with torch.no_grad():
        q, _ = network(observations)
        assert q.shape == (7, 5)
        assert network.value is not None
        value = network.value(network.encoder(observations)).squeeze(-1)
        torch.testing.assert_close(q.mean(-1), value)
        assert q.std(-1).min() > 0
        network.advantage.bias += 3.0
        torch.testing.assert_close(network(observations)[0], q)
        network.value.bias += 3.0
        torch.testing.assert_close(network(observations)[0], q + 3)
    plain = QNetwork(make_encoder(EncoderSpec("small", 2, 40, 48, 32)), 5, dueling=False)
    with torch.no_grad():
        before = plain(observations)[0]
        plain.advantage.bias += torch.arange(5.0)
        torch.testing.assert_close(plain(observations)[0], before + torch.arange(5.0))


def test_the_target_network_follows_slowly() -> None:
    agent = flappy(averaging=0.75, learning_starts=10_000)
    for _ in range(4):
        agent.iterate()
    before = copy(dict(agent.learner.average.named_parameters()))
    agent._gradient_step(agent.replay.draw(32, agent.rng), [None] * 3)
    now = dict(agent.learner.network.named_parameters())
    for key, value in agent.learner.average.named_parameters():
        torch.testing.assert_close(value, 0.75 * before[key] + 0.25 * now[key])
        assert not value.requires_grad
    assert not all(torch.equal(before[key], now[key]) for key in before)


def test_random_actions_become_few() -> None:
    agent = flappy(learning_starts=256, exploration_steps=512, epsilon=0.1)
    shares = [agent.iterate()["train/epsilon"] for _ in range(8)]  # 128 steps each
    assert shares == pytest.approx([1.0, 1.0, 0.75, 0.5, 0.25, 0.1, 0.1, 0.1])
    agent = flappy(learning_starts=256, exploration_steps=0, epsilon=0.1)
    assert [agent.iterate()["train/epsilon"] for _ in range(3)] == [1.0, 0.1, 0.1]


@pytest.mark.parametrize("ratio", [1.0, 4.0])
def test_transitions_are_drawn_as_often_as_asked(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_tiny(DQN, CONFIG, CATCH, replay_ratio=ratio, learning_starts=64)
    drawn: list[int] = []
    draw = agent.replay.draw

    def counted(batch: int, *rest: Any) -> Drawn:
        drawn.append(batch)
        return draw(batch, *rest)

    for _ in range(2):
        agent.iterate()
    monkeypatch.setattr(agent.replay, "draw", counted)
    for _ in range(5):
        agent.iterate()
    assert sum(drawn) == pytest.approx(ratio * 5 * 32 * 4, rel=0.05)


@pytest.mark.parametrize("ratio", [0.0, -1.0])
def test_no_learning_at_all_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="--replay-ratio must be more than 0"):
        flappy(replay_ratio=ratio)


@pytest.mark.parametrize("prioritized", [0.0, 0.6])
def test_learning_may_start_at_once(prioritized: float) -> None:
    agent = make_tiny(DQN, CONFIG, CATCH, learning_starts=0, prioritized=prioritized)
    assert agent.iterate()["train/loss"] >= 0


@pytest.mark.parametrize("variant", [{}, ALL_ON])
def test_acting_is_greedy_and_changes_nothing(variant: dict[str, Any]) -> None:
    agent = flappy(**variant)
    for _ in range(2):
        agent.iterate()
    torch.nn.init.normal_(
        agent.learner.average.advantage.weight
    )  # so that some observations ask for this, some for that
    agent.learner.network.train()
    observations = torch.randint(256, (300, 2, 84, 84), dtype=torch.uint8)
    before = copy(agent.state_dict())
    modes = [
        module.training for network in (agent.learner.network, agent.learner.average) for module in network.modules()
    ]
    torch_rng, own_rng = torch.get_rng_state(), repr(agent.rng.bit_generator.state)
    generator, noise = agent.generator.get_state(), agent.noise
    actions = agent.policy(observations)
    assert torch.equal(actions, agent.policy(observations))
    assert actions.shape == (300,)
    assert set(actions.tolist()) == {0, 1}
    assert torch.equal(actions[:7], agent.policy(observations[:7]))
    assert same(before, agent.state_dict())
    assert modes == [
        module.training for network in (agent.learner.network, agent.learner.average) for module in network.modules()
    ]
    assert torch.equal(torch_rng, torch.get_rng_state())
    assert own_rng == repr(agent.rng.bit_generator.state)
    assert torch.equal(generator, agent.generator.get_state())
    assert noise is agent.noise


@pytest.mark.parametrize("variant", [{}, {"prioritized": 0.6}, ALL_ON])
def test_a_seed_repeats_and_another_differs(variant: dict[str, Any]) -> None:
    runs = [flappy(seed, **variant) for seed in (1, 1, 2)]
    logs = [repr([agent.iterate() for _ in range(3)]) for agent in runs]
    assert "loss" in logs[0]
    assert logs[0] == logs[1] != logs[2]
    assert same(runs[0].state_dict(), runs[1].state_dict())
    assert not same(runs[0].state_dict(), runs[2].state_dict())


@pytest.mark.parametrize("variant", [{}, ALL_ON])
def test_a_resumed_run_equals_an_uninterrupted_one(variant: dict[str, Any], tmp_path: Path) -> None:
    changes = {**variant, "capacity": 800, "exploration_steps": 2000}
    whole = flappy(seed=3, **changes)
    for _ in range(5):  # 160 steps of each game, and the ring holds 200
        whole.iterate()
    checkpoint.save(tmp_path / "saved", whole.state_dict(), {})
    resumed = flappy(seed=8, **changes)
    tensors, _ = checkpoint.load(tmp_path / "saved")
    checkpoint.fit(resumed.state_dict(), tensors, "the run")
    resumed.load_state_dict(tensors)
    for _ in range(3):  # and round its end
        metrics = whole.iterate()
        assert metrics["train/loss"] > 0
        assert repr(metrics) == repr(resumed.iterate())
    assert same(whole.state_dict(), resumed.state_dict())


def test_a_resumed_run_keeps_all_but_a_replay_of_frames() -> None:
    begun = flappy(seed=3, redraw=False)
    for _ in range(3):
        begun.iterate()
    state = copy(begun.state_dict())
    assert not any(key.startswith("replay") for key in state)
    resumed = flappy(seed=8, redraw=False)
    assert not same(resumed.state_dict(), state)
    resumed.load_state_dict(state)
    assert same(resumed.state_dict(), state)
    assert resumed.steps == begun.steps == 3 * 128
    again = flappy(seed=8, redraw=False)
    again.load_state_dict(state)
    assert repr(again.iterate()) == repr(resumed.iterate())
    assert same(again.state_dict(), resumed.state_dict())


def test_the_pictures_normalisation_is_fitted_whenever_a_run_is_resumed() -> None:
    """Also if it was stopped twice before learning had begun."""
    changes = {"learning_starts": 200, "redraw": False}
    agent = flappy(**changes)
    for _ in range(2):
        state = copy(agent.state_dict())
        agent = flappy(**changes)
        agent.load_state_dict(state)
        agent.iterate()  # 128 steps, too few for a replay that began empty
    assert agent.steps == 256
    state = copy(agent.state_dict())
    agent = flappy(**changes)
    agent.load_state_dict(state)
    for _ in range(3):
        agent.iterate()
    for network in (agent.learner.network, agent.learner.average):
        assert network.encoder.mean.std() > 10  # fresh from the constructor all are 127.5
    state = copy(agent.state_dict())
    mean = agent.learner.network.encoder.mean.clone()
    agent = flappy(**changes)
    agent.load_state_dict(state)
    for _ in range(3):
        agent.iterate()
    assert torch.equal(agent.learner.network.encoder.mean, mean)  # the weights have learned with it


@pytest.mark.parametrize("noisy", [False, True])
def test_who_explores_no_more_does_what_is_worth_most(noisy: bool) -> None:
    """With noise it is what each game's own noise makes of it."""
    agent = make_tiny(
        DQN,
        CONFIG,
        CATCH,
        num_envs=8,
        learning_starts=8,
        exploration_steps=1,
        epsilon=0.0,
        noisy=noisy,
        replay_ratio=1e-3,
    )
    torch.nn.init.normal_(agent.playing.advantage.weight)
    agent._play_step()
    agent._play_step()
    with torch.no_grad():  # so that no action is worth most everywhere
        agent.playing.advantage.bias -= agent.playing(agent.replay.newest(), None)[0].mean(0)
    done, wanted, plain = [], [], []
    for _ in range(12):
        seen = agent.replay.newest()
        with torch.no_grad():
            wanted.append(agent.playing(seen, agent.noise)[0].argmax(-1).tolist())
            plain.append(agent.playing(seen, None)[0].argmax(-1).tolist())
        agent._play_step()
        done.append(agent.replay._steps["action"][agent.replay.now - 1].tolist())
    assert done == wanted
    assert (wanted != plain) == noisy
    assert {action for actions in done for action in actions} == {0, 1, 2}


def test_a_game_that_is_lost_gets_new_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = flappy(learning_starts=10_000, noisy=True)
    ended, lost = np.array([True, False, False, False]), np.array([False, False, True, False])
    add = agent.replay.add

    def interrupted(actions: Any) -> Any:
        return add(actions)[0] | {"interrupted": lost}, ended

    monkeypatch.setattr(agent.replay, "add", interrupted)
    noise, offsets = agent.noise.clone(), agent.leaning.offsets.clone()
    agent._play_step()
    assert (agent.noise != noise).any(-1).tolist() == [True, False, True, False]
    assert (agent.leaning.offsets != offsets).any(-1).tolist() == [True, False, True, False]


@pytest.mark.parametrize("distributional", [False, True])
@pytest.mark.parametrize("double", [False, True])
def test_a_gradient_step_asks_the_right_networks(
    double: bool, distributional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values of what follows are the target network's. Which action they are of, the learning one says, if double."""
    agent = make_tiny(
        DQN, CONFIG, CATCH, learning_starts=10_000, n_step=1, double=double, distributional=distributional, quantiles=5
    )
    for _ in range(2):
        agent.iterate()
    online, target = agent.learner.network, agent.learner.average
    for network in (online, target):
        torch.nn.init.normal_(network.advantage.weight)
    drawn = agent.replay.draw(32, agent.rng)
    drawn = drawn._replace(weights=agent.rng.random(32).astype(np.float32))
    batch = agent.replay.gather(drawn)
    with torch.no_grad():
        (now, now_spread), (later, later_spread) = online(batch.observations), target(batch.next_observations)
        choice = (online(batch.next_observations)[0] if double else later).argmax(-1)
    rows = torch.arange(32)
    if distributional:
        targets = batch.returns[:, None] + batch.discounts[:, None] * later_spread[rows, choice]
        loss, errors = quantile_loss(now_spread, batch.actions, targets, batch.weights)
    else:
        targets = batch.returns + batch.discounts * later[rows, choice]
        loss, errors = q_loss(now, batch.actions, targets, batch.weights)
    stepped: list[float] = []
    monkeypatch.setattr(agent.learner, "step", lambda loss: stepped.append(loss.item()))
    learned = agent._gradient_step(drawn, [None] * 3)
    assert stepped == pytest.approx([loss.item()], rel=1e-5)
    torch.testing.assert_close(learned.errors, errors, atol=1e-5, rtol=1e-5)
    assert batch.weights.std() > 0.1
    assert (batch.discounts > 0).any()
    assert (choice != later.argmax(-1)).any() == double


def test_priorities_follow_from_the_errors_of_each_gradient_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """And importance weights from a beta that rises to 1 over the run."""
    agent = make_tiny(DQN, CONFIG, CATCH, total_steps=1280, learning_starts=64, prioritized=0.6, importance=0.4)
    learned: list[Any] = []
    updated: list[Any] = []
    betas: list[float] = []
    step, update, draw = agent._gradient_step, agent.replay.update_priorities, agent.replay.draw

    def noted_step(*args: Any) -> Any:
        learned.append(step(*args))
        return learned[-1]

    def noted_update(slots: Any, errors: Any) -> None:
        updated.append((slots.tolist(), errors.tolist()))
        update(slots, errors)

    def noted_draw(batch: int, rng: np.random.Generator, beta: float) -> Drawn:
        betas.append(beta)
        return draw(batch, rng, beta)

    agent.iterate()
    monkeypatch.setattr(agent, "_gradient_step", noted_step)
    monkeypatch.setattr(agent.replay, "update_priorities", noted_update)
    monkeypatch.setattr(agent.replay, "draw", noted_draw)
    begun = agent.steps
    for _ in range(4):
        agent.iterate()
    assert len(updated) > 20
    assert updated == [(slots.tolist(), errors.tolist()) for slots, errors, _ in learned]
    assert betas == sorted(betas)
    first, last = (0.4 + 0.6 * steps / 1280 for steps in (begun, agent.steps - 4 * agent._ahead))
    assert (betas[0], betas[-1]) == pytest.approx((first, last))
