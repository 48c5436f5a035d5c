"""PPO with a memory goes through time as it played; that it recalls what is needed, test_learning.py asks."""

import torch

from agents.actor_critic import RecurrentActorCritic
from agents.ppo_lstm import PPOLSTM, PPOLSTMConfig
from perception import EncoderSpec, make_encoder
from tests.agents.games import CATCH
from tests.agents.making import make_tiny


def test_a_sequence_is_recalled_as_step_by_step_and_nothing_across_episodes() -> None:
    torch.manual_seed(0)
    network = RecurrentActorCritic(make_encoder(EncoderSpec("small", 1, 36, 36, 16)), 3, 8)
    torch.nn.init.normal_(network.value.linear.weight)
    times, games = 9, 4
    observations = torch.randint(256, (times * games, 1, 36, 36), dtype=torch.uint8)
    first = torch.rand(times, games) < 0.25
    begun = torch.randn(2, games, 8)
    logits, values, memory = network.recall(observations, first, begun)
    cell = torch.nn.LSTMCell(16, 8)  # torch's other implementation, stepped one game and one time after the other
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in network.lstm.state_dict().items()})
    for game in range(games):
        h, c = begun[:, game]
        for t in range(times):
            if first[t, game]:
                h, c = torch.zeros(2, 8)
            features = network.encoder(observations[[t * games + game]])[0]
            h, c = cell(features, (h, c))
            expected = network.heads(torch.cat([features, h])[None])
            torch.testing.assert_close(logits[t * games + game], expected[0][0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(values[t * games + game], expected[1][0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(memory[:, game], torch.stack([h, c]), atol=1e-5, rtol=1e-4)


def test_a_minibatch_recalls_what_the_policy_that_played_did() -> None:
    """Memory before the rollout, resets in it, order of steps: one of them off, and the policies would differ."""
    agent = make_tiny(
        PPOLSTM, PPOLSTMConfig(memory=16), CATCH, exploration=0.0, num_envs=4, rollout_steps=13, minibatch=26
    )
    for _ in range(4):
        agent.iterate()
        rollout, notes = agent.played
        agent.learner.network.load_state_dict(agent.playing.state_dict())
        for index in agent._minibatches(rollout):
            with torch.no_grad():
                logits, _ = agent._answer_again(rollout, notes, index)
            log_probs = logits.log_softmax(-1).gather(-1, rollout.actions.flatten()[index][:, None]).squeeze(-1)
            torch.testing.assert_close(log_probs, notes["log_probs"].flatten()[index], atol=1e-5, rtol=1e-5)
        assert agent.memory.abs().max() > 0
        assert notes["memory"].shape == (2, 4, 16)


def test_what_is_remembered_goes_on_over_rollouts() -> None:
    """Each observation is recalled once, also where a rollout ends and the next one begins; by LSTMCell."""
    agent = make_tiny(PPOLSTM, PPOLSTMConfig(memory=16), CATCH, num_envs=4, rollout_steps=13)
    torch.nn.init.normal_(agent.learner.network.value.linear.weight)
    agent.learner.network.value.scale.fill_(1.0)
    agent.learner.lend(agent.playing)
    network = agent.playing
    cell = torch.nn.LSTMCell(64, 16)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in network.lstm.state_dict().items()})
    h, c = agent.memory
    for _ in range(3):
        rollout, notes = agent.play()
        for t in range(14):
            with torch.no_grad():
                features = network.encoder(rollout.at(t).gathered())
                begun = ~rollout.first[t, :, None]
                now = cell(features, (h * begun, c * begun))
                _, values = network.heads(torch.cat([features, now[0]], -1))
            torch.testing.assert_close(notes["values"][t], network.value.mean(values), atol=1e-4, rtol=1e-4)
            if t < 13:
                h, c = now
        torch.testing.assert_close(agent.memory, torch.stack([h, c]), atol=1e-5, rtol=1e-4)
        assert not rollout.first[13].all(), "some episode should go on in the next rollout"
