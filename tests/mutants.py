"""Planted bugs, each of which the tests must notice: a test that can't fail proves nothing.

    python -m tests.mutants [--only NAME] [--list]

The files that git tracks are copied to a temporary folder. There the tests named below must pass; then one bug
after the other is planted, its test run in a fresh process, and the file put back.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from experiment.command import main_line, parse
from experiment.errors import UserError

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutant:
    """A bug to plant.

    Attributes:
        name: of the bug.
        file: where it goes.
        text: what must occur there exactly once.
        planted: what takes its place.
        test: should fail then; below tests/, as pytest names it.
    """

    name: str
    file: str
    text: str
    planted: str
    test: str

    def plant(self, source: str) -> str:
        """Put the bug into the file's text.

        Raises:
            UserError: if what it replaces is not there exactly once.
        """
        count = source.count(self.text)
        if count != 1:
            raise UserError(f"{self.name}: its text occurs {count} times in {self.file}, not once; bring it up to date")
        return source.replace(self.text, self.planted)


MUTANTS = (
    # Truncation treated as termination.
    Mutant(
        "truncated counts as dead: advantages",
        "agents/returns.py",
        "alive = (~terminated).to",
        "alive = (~(terminated | truncated)).to",
        "agents/test_returns.py::test_a_constant_reward_is_worth_the_same_however_often_it_is_cut",
    ),
    Mutant(
        "truncated counts as dead: replay",
        "agents/replay.py",
        '* ~step["terminated"], discounts)',
        '* ~(step["terminated"] | step["truncated"]), discounts)',
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn",
    ),
    # The reset frame trained on as a transition.
    Mutant(
        "a reset is a transition: rollout",
        "agents/rollout.py",
        "        valid[t] = ~new",
        "        valid[t] = True",
        "agents/test_rollout.py::test_what_follows_is_one_step_on",
    ),
    Mutant(
        "a reset is a transition: replay",
        "agents/replay.py",
        "= actions, ~self._over, False",
        "= actions, True, False",
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn",
    ),
    Mutant(
        "a reset is a transition: REINFORCE",
        "agents/reinforce.py",
        "enough & rollout.valid",
        "enough",
        "agents/test_on_policy.py::test_only_real_steps_are_learned_from[reinforce]",
    ),
    Mutant(
        "where a limit cuts all episodes off early, REINFORCE has nothing to learn from",
        "agents/reinforce.py",
        "if known.any() or needed <= 1:",
        "if True:",
        "agents/test_reinforce.py::test_episodes_that_are_cut_off_early_are_learned_from_too",
    ),
    Mutant(
        "saliency leaves out what reads frozen features",
        "agents/saliency.py",
        "self.encoder.read(self.encoder.body(x))",
        "self.encoder.body(x)",
        "agents/test_saliency.py::test_centered_pixels_get_the_scores_of_the_observation",
    ),
    Mutant(
        "evaluations' seeds reach environments that take only short ones",
        "envs/guest.py",
        "short(seed, 32))",
        "seed)",
        "envs/test_guest.py::test_seeds_of_evaluations_reach_environments_that_take_short_ones_only",
    ),
    # The next observation shares storage with the current one.
    Mutant(
        "the next frame is drawn over the current one",
        "agents/rollout.py",
        "out = self._slot(t + 1)",
        "out = self._slot(t)",
        "agents/test_rollout.py::test_what_follows_is_one_step_on",
    ),
    Mutant(
        "all observations share one buffer",
        "envs/vector.py",
        "            return np.empty(shape, np.uint8)",
        '            return self.__dict__.setdefault("shared", np.empty(shape, np.uint8))',
        "envs/test_vector.py::test_what_was_returned_is_never_overwritten",
    ),
    # GAE's mask off by one.
    Mutant(
        "the mask of advantages is a step off",
        "agents/returns.py",
        "gamma * lam * going_on\n",
        "gamma * lam * going_on.roll(1, 0)\n",
        "agents/test_returns.py::test_random_episodes",
    ),
    # Reward shifted by a step.
    Mutant(
        "a reward is a step late: rollout",
        "agents/rollout.py",
        "_, rewards[t], ",
        "_, rewards[(t + 1) % self.steps], ",
        "agents/test_rollout.py::test_a_reward_stays_with_the_step_that_earned_it",
    ),
    Mutant(
        "a reward is a step late: replay",
        "agents/replay.py",
        'now["reward"], now["terminated"]',
        'then["reward"], now["terminated"]',
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn",
    ),
    # n-step returns across the ring's head.
    Mutant(
        "n steps reach across the ring's head: uniform",
        "agents/replay.py",
        "self.now - self.n_step - self._oldest",
        "self.now - self._oldest",
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn[10-0.0-0.0]",
    ),
    Mutant(
        "n steps reach across the ring's head: by priority",
        "agents/replay.py",
        "(back >= self.n_step)",
        "(back >= 1)",
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn[100-0.6-0.0]",
    ),
    # A sum tree whose capacity is no power of two; float drift.
    Mutant(
        "the sum tree has as many leaves as items",
        "agents/sum_tree.py",
        "return 1 << max(0, capacity - 1).bit_length()",
        "return capacity",
        "agents/test_sum_tree.py::test_every_capacity_draws_by_the_cumulative_sum",
    ),
    Mutant(
        "the sum tree adds differences",
        "agents/sum_tree.py",
        """\
        self._nodes[nodes] = priorities
        while nodes[0] > 1:
            nodes = np.unique(nodes // 2)
            self._nodes[nodes] = self._nodes[2 * nodes] + self._nodes[2 * nodes + 1]
""",
        """\
        nodes, last = np.unique(nodes[::-1], return_index=True)
        changes = np.asarray(priorities)[::-1][last] - self._nodes[nodes]
        while nodes[0] > 0:
            np.add.at(self._nodes, nodes, changes)
            nodes = nodes // 2
""",
        "agents/test_sum_tree.py::test_rounding_errors_do_not_pile_up_over_a_million_updates",
    ),
    # (N,) against (N, 1).
    Mutant(
        "every weight meets every error: DQN",
        "agents/dqn.py",
        "(weights * F.smooth_l1_loss(",
        "(weights[:, None] * F.smooth_l1_loss(",
        "agents/test_dqn.py::test_loss_by_hand",
    ),
    Mutant(
        "every action meets every advantage: A2C",
        "agents/a2c.py",
        "-(log_prob * advantages)",
        "-(log_prob[:, None] * advantages)",
        "agents/test_a2c.py::test_policy_loss_by_hand",
    ),
    # Evaluation changes the training mode or the random numbers.
    Mutant(
        "acting changes the mode",
        "agents/learner.py",
        "tuple[Tensor, ...] = self.network(",
        "tuple[Tensor, ...] = self.network.eval()(",
        "agents/test_on_policy.py::test_acting_is_greedy_and_changes_nothing[a2c]",
    ),
    Mutant(
        "an evaluation sets torch's seed",
        "experiment/evaluate.py",
        "    policy = policy.begin(episodes)\n",
        "    policy = policy.begin(episodes)\n    torch.manual_seed(seed)\n",
        "experiment/test_evaluate.py::test_nothing_global_is_touched",
    ),
    # PPO's ratio is not to the policy that played.
    Mutant(
        "the average plays in training",
        "agents/learner.py",
        "((self.network.parameters, network.parameters)",
        "((self.average.parameters, network.parameters)",
        "agents/test_ppo.py::test_it_plays_before_the_last_half_pass",
    ),
    Mutant(
        "the probabilities are not of the policy that played",
        "agents/ppo.py",
        "encoder = self.playing.encoder\n",
        "encoder = self.learner.network.encoder\n",
        "agents/test_beside.py::test_side_by_side_is_as_one_after_the_other[ppo]",
    ),
    Mutant(
        "what is played is written over while it is learned from",
        "agents/actor.py",
        "rollout = self._next\n",
        "rollout = self.rollout\n",
        "agents/test_on_policy.py::test_what_is_learned_from_stays_as_it_was_played[ppo]",
    ),
    Mutant(
        "what was drawn is written over before it is gathered",
        "agents/replay.py",
        "self.now + self.ahead - self.slots",
        "self.now - self.slots",
        "agents/test_replay.py::test_what_was_drawn_can_be_gathered_later",
    ),
    Mutant(
        "who plays gets older with every pass",
        "agents/on_policy.py",
        "len(steps) / self.passes / 2",
        "len(steps) / 2",
        "agents/test_on_policy.py::test_who_plays_has_half_a_pass_of_steps_to_come",
    ),
    Mutant(
        "frozen features are those of a step before",
        "agents/replay.py",
        "self._remember(after)",
        "self._remember(slot)",
        "agents/test_replay.py::test_features_are_those_of_what_was_seen",
    ),
    Mutant(
        "frozen features are lost where a run is resumed",
        "agents/replay.py",
        "for slot in range(min(self.now + 1, self.slots)):",
        "for slot in range(0):",
        "agents/test_replay.py::test_features_are_there_again_in_a_replay_taken_up_by_another",
    ),
    Mutant(
        "A2C forgets that it leaned",
        "agents/a2c.py",
        "logits[index] + lean",
        "logits[index]",
        "agents/test_a2c.py::test_the_loss_is_of_the_policy_with_its_leaning",
    ),
    # Normalisation lost between training and playing.
    Mutant(
        "the normalisation is not saved",
        "perception/encoder.py",
        'self.register_buffer("mean", torch.full((spec.height, spec.width), 127.5))',
        'self.register_buffer("mean", torch.full((spec.height, spec.width), 127.5), persistent=False)',
        "perception/test_encoder.py::test_the_same_features_after_saving_and_loading[small]",
    ),
    # Parallel games share randomness.
    Mutant(
        "all games have one seed",
        "envs/vector.py",
        "[seed + i for i in range(self.num_envs)]",
        "[seed for i in range(self.num_envs)]",
        "envs/test_vector.py::test_parallel_games_differ_pairwise",
    ),
    Mutant(
        "three noises are one",
        "agents/dqn.py",
        "[self._draw_noise(config.batch_size) if config.noisy else None for _ in range(3)]",
        "3 * [self._draw_noise(config.batch_size) if config.noisy else None]",
        "agents/test_dqn.py::test_networks_have_independent_noise",
    ),
    # Blank or frozen frames.
    Mutant(
        "the window stays blank",
        "experiment/watch/window.py",
        "        self.screen.blit(canvas.surface, canvas.surface.get_rect(center=self.screen.get_rect().center))\n",
        "",
        "experiment/watch/test_window.py::test_the_window_shows_what_is_composed_without_it",
    ),
    Mutant(
        "the shown frames are frozen",
        "envs/vector.py",
        "self.game.visible(self._states[:-1])",
        "np.zeros(self.num_envs, self.game.scene_dtype)",
        "experiment/test_evaluate.py::test_what_is_shown_is_what_is_evaluated[0-4]",
    ),
    # The old stack after a reset.
    Mutant(
        "an old stack after a reset: rollout",
        "agents/rollout.py",
        "np.where(new, 0, ",
        "np.where(new, 1, ",
        "agents/test_rollout.py::test_no_stack_holds_frames_of_two_episodes",
    ),
    Mutant(
        "an old stack after a reset: replay",
        "agents/replay.py",
        "np.where(new, 0, np",
        "np.where(new, 1, np",
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn[100-0.0-0.0]",
    ),
    Mutant(
        "an old stack after a reset: outside",
        "envs/stack.py",
        "        self.begin(observations, first)\n",
        "",
        "envs/test_stack.py::test_the_oldest_frame_is_first_and_an_episode_starts_afresh",
    ),
    # What an environment's failure leaves behind.
    Mutant(
        "a lost game's episode goes on: rollout",
        "agents/rollout.py",
        "            new |= lost\n",
        "",
        "agents/test_rollout.py::test_everything_is_what_the_games_noted",
    ),
    Mutant(
        "a lost game's episode goes on: replay",
        "agents/replay.py",
        "            new = new | lost\n",
        "",
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn",
    ),
    Mutant(
        "an episode that is lost was not cut off: rollout",
        "agents/rollout.py",
        "truncated[t - 1] |= lost & ~new",
        "pass",
        "agents/test_rollout.py::test_everything_is_what_the_games_noted",
    ),
    Mutant(
        "an episode that is lost was not cut off: replay",
        "agents/replay.py",
        "|= lost & ~new",
        "|= False",
        "agents/test_replay.py::test_everything_that_is_kept_can_be_drawn",
    ),
    Mutant(
        "after a failure what has been learned from is learned from once more",
        "agents/on_policy.py",
        "            rollout.valid[:] = False\n",
        "",
        "agents/test_on_policy.py::test_after_a_failure_nothing_is_learned_twice[1-a2c]",
    ),
    Mutant(
        "who fails at every step goes on for ever",
        "envs/adapter.py",
        "self._failures[stepped] = 0",
        "self._failures[:] = 0",
        "envs/test_hosts.py::test_who_fails_at_every_step_ends_it_too[0]",
    ),
    # What belongs together, on its way to the losses.
    Mutant(
        "truncated counts as dead: PPO",
        "agents/ppo.py",
        "values, rollout.terminated, rollout.truncated",
        "values, rollout.terminated | rollout.truncated, rollout.truncated",
        "agents/test_ppo.py::test_a_minibatch_holds_what_belongs_together",
    ),
    Mutant(
        "truncated counts as dead: A2C",
        "agents/a2c.py",
        "values, rollout.terminated, rollout.truncated",
        "values, rollout.terminated | rollout.truncated, rollout.truncated",
        "agents/test_a2c.py::test_a_gradient_step_is_told_what_belongs_together",
    ),
    Mutant(
        "PPO's old probabilities are those of the step before",
        "agents/ppo.py",
        'for x in (notes["log_probs"], advantages',
        'for x in (notes["log_probs"].roll(1, 0), advantages',
        "agents/test_ppo.py::test_the_first_ratio_is_1",
    ),
    Mutant(
        "PPO's returns are those of the step before",
        "agents/ppo.py",
        "advantages, returns, rollout.actions)]",
        "advantages, returns.roll(1, 0), rollout.actions)]",
        "agents/test_ppo.py::test_a_minibatch_holds_what_belongs_together",
    ),
    Mutant(
        "A2C's values are asked about other steps",
        "agents/a2c.py",
        "network.value.loss(value_logits[index], wanted)",
        "network.value.loss(value_logits[: len(index)], wanted)",
        "agents/test_a2c.py::test_a_gradient_step_is_told_what_belongs_together",
    ),
    Mutant(
        "REINFORCE's baseline is that of the step after",
        "agents/reinforce.py",
        "return returns - values[:-1]",
        "return returns - values[1:]",
        "agents/test_reinforce.py::test_a_gradient_step_is_told_what_belongs_together",
    ),
    Mutant(
        "of a rollout's last steps REINFORCE learns from those alone that died",
        "agents/reinforce.py",
        "known[rollout.steps - needed + 1 :] = False",
        "pass",
        "agents/test_reinforce.py::test_a_gradient_step_is_told_what_belongs_together",
    ),
    Mutant(
        "the LSTM recalls a rollout's last observation twice",
        "agents/ppo_lstm.py",
        "        if t < rollout.steps:\n            self._recalled = recalled",
        "        self._recalled = recalled",
        "agents/test_ppo_lstm.py::test_what_is_remembered_goes_on_over_rollouts",
    ),
    Mutant(
        "DQN has no target network",
        "agents/dqn.py",
        "self.learner.network, self.learner.average\n",
        "self.learner.network, self.learner.network\n",
        "agents/test_dqn.py::test_a_gradient_step_asks_the_right_networks",
    ),
    Mutant(
        "double DQN lets the target network choose",
        "agents/dqn.py",
        "self._values(network, batch.next_observations, noise[1])",
        "self._values(target, batch.next_observations, noise[1])",
        "agents/test_dqn.py::test_a_gradient_step_asks_the_right_networks",
    ),
    Mutant(
        "priorities stay what they were",
        "agents/dqn.py",
        "self.replay.update_priorities(slots, errors.cpu().numpy())",
        "pass",
        "agents/test_dqn.py::test_priorities_follow_from_the_errors_of_each_gradient_step",
    ),
    Mutant(
        "importance weights are never exact",
        "agents/dqn.py",
        "(1 - config.importance) * progress",
        "(1 - config.importance) * 0",
        "agents/test_dqn.py::test_priorities_follow_from_the_errors_of_each_gradient_step",
    ),
    Mutant(
        "DQN plays without its noise",
        "agents/dqn.py",
        "self.replay.newest().to(self.device), self.noise)",
        "self.replay.newest().to(self.device), None)",
        "agents/test_dqn.py::test_who_explores_no_more_does_what_is_worth_most",
    ),
    Mutant(
        "a game leans to the same for ever",
        "agents/exploration.py",
        "            self.offsets.numpy()[ended] = new.numpy()\n",
        "",
        "agents/test_actor.py::test_who_has_ended_leans_elsewhere_and_nobody_else",
    ),
    # Losses, estimators and memories of single algorithms.
    Mutant(
        "PPO takes the larger surrogate",
        "agents/ppo.py",
        "-torch.min(ratio",
        "-torch.max(ratio",
        "agents/test_ppo.py::test_policy_loss_by_hand",
    ),
    Mutant(
        "PPO's bonus punishes entropy",
        "agents/ppo.py",
        "- config.entropy_coef * entropy",
        "+ config.entropy_coef * entropy",
        "agents/test_on_policy.py::test_the_bonus_makes_a_decided_policy_open_again[ppo]",
    ),
    Mutant(
        "A2C's bonus punishes entropy",
        "agents/a2c.py",
        "- config.entropy_coef * entropy",
        "+ config.entropy_coef * entropy",
        "agents/test_on_policy.py::test_the_bonus_makes_a_decided_policy_open_again[a2c]",
    ),
    Mutant(
        "memories outlive their episodes",
        "agents/actor_critic.py",
        "h, c = memory * ~first[start, :, None].to(memory.device)",
        "h, c = memory",
        "agents/test_ppo_lstm.py::test_a_sequence_is_recalled_as_step_by_step_and_nothing_across_episodes",
    ),
    Mutant(
        "learning begins without the memory that played",
        "agents/ppo_lstm.py",
        '{**notes, "memory": before}',
        '{**notes, "memory": torch.zeros_like(before)}',
        "agents/test_ppo_lstm.py::test_a_minibatch_recalls_what_the_policy_that_played_did",
    ),
    Mutant(
        "a return that was cut off is known",
        "agents/returns.py",
        "torch.where(truncated[t], 0, summed) + 1",
        "summed + 1",
        "agents/test_returns.py::test_monte_carlo_returns_sum_to_the_end_and_only_known_ones_count",
    ),
    Mutant(
        "a tenth of a return may be missing",
        "agents/reinforce.py",
        "math.log(0.05)",
        "math.log(0.1)",
        "agents/test_reinforce.py::test_at_most_a_twentieth_of_a_constant_reward_is_missing",
    ),
    Mutant(
        "Q(lambda) weighs the wrong way round",
        "agents/pqn.py",
        "gamma, config.q_lambda)",
        "gamma, 1 - config.q_lambda)",
        "agents/test_pqn.py::test_returns_are_the_weighted_mean_of_n_step_ones",
    ),
    Mutant(
        "Q(lambda) ends on a mean over actions",
        "agents/pqn.py",
        "[0].amax(-1)",
        "[0].mean(-1)",
        "agents/test_pqn.py::test_returns_are_the_weighted_mean_of_n_step_ones",
    ),
    Mutant(
        "double DQN chooses by the target network",
        "agents/dqn.py",
        "chooser = next_target if next_online is None else next_online",
        "chooser = next_target",
        "agents/test_dqn.py::test_targets_by_hand",
    ),
    Mutant(
        "quantiles are learned in reverse",
        "agents/dqn.py",
        "(tau - (u < 0).float())",
        "(tau - (u > 0).float())",
        "agents/test_dqn.py::test_the_quantile_loss_against_its_definition",
    ),
    Mutant(
        "noise of the outputs is left out",
        "agents/noisy.py",
        "y = y + f_out * F.linear(",
        "y = y + F.linear(",
        "agents/test_noisy.py::test_every_row_has_a_noisy_matrix_of_its_own",
    ),
    Mutant(
        "values are half a bin off",
        "agents/values.py",
        "(atoms[1:] + atoms[:-1]) / 2",
        "atoms[1:]",
        "agents/test_values.py::test_the_loss_against_the_normal_distribution_of_another_library",
    ),
    Mutant(
        "saliency shows what speaks against the action",
        "agents/saliency.py",
        "kept = attribution.clamp(min=0).double()",
        "kept = attribution.abs().double()",
        "agents/test_saliency.py::test_of_a_linear_network_each_pixel_has_what_it_adds",
    ),
    Mutant(
        "saliency asks for the gradient at the end alone",
        "agents/saliency.py",
        "way = (part * x + noise * drawn)",
        "way = (0 * part + x + noise * drawn)",
        "agents/test_saliency.py::test_gradients_are_integrated_from_the_mean_on",
    ),
    Mutant(
        "saliency counts what all values share",
        "agents/saliency.py",
        "return chosen - (scores.sum(1) - chosen) / max(1, scores.shape[1] - 1)",
        "return chosen",
        "agents/test_saliency.py::test_what_all_values_share_does_not_matter",
    ),
    Mutant(
        "saliency hides patches behind the brightest pixel",
        "agents/saliency.py",
        "scores(x * ~hidden[:, None])",
        "scores(torch.where(hidden[:, None], x.max(), x))",
        "agents/test_saliency.py::test_of_a_linear_network_each_pixel_has_what_it_adds",
    ),
    Mutant(
        "boxes of pipes that are passed count",
        "benchmarks/saliency.py",
        "& (boxes[:, 1] + boxes[:, 3] > of_bird[0, 1])]",
        "]",
        "benchmarks/test_saliency.py::test_the_boxes_of_the_bird_and_the_next_pipes",
    ),
    Mutant(
        "a name of a run can be markup",
        "experiment/html.py",
        "child if isinstance(child, Html) else html.escape(child)",
        "child",
        "experiment/test_charts.py::test_text_is_escaped_and_markup_is_not",
    ),
    Mutant(
        "Adam steps Muon's weights, too",
        "agents/optimizer.py",
        "_Adam(parts if mine else parts[1:], beta1)",
        "_Adam([(self.vector, self._gradient, learning_rate)], beta1)",
        "agents/test_optimizer.py::test_muon_steps_the_encoders_weights_by_orthogonal_matrices",
    ),
    Mutant(
        "Muon's gradients pile up",
        "agents/optimizer.py",
        "            parameter.grad = None\n",
        "            pass\n",
        "agents/test_optimizer.py::test_no_gradient_is_left_for_the_next_step",
    ),
    Mutant(
        "the average follows other weights",
        "agents/learner.py",
        "for name in self.optimizer.names]",
        "for name in averages]",
        "agents/test_dqn.py::test_the_target_network_follows_slowly",
    ),
    Mutant(
        "step sizes fall from where they are",
        "agents/optimizer.py",
        'group["lr"] = share * rate',
        'group["lr"] *= share',
        "agents/test_learner.py::test_the_step_sizes_fall_to_a_twentieth",
    ),
    Mutant(
        "the average keeps too little",
        "agents/learner.py",
        "1 - self.config.averaging",
        "self.config.averaging",
        "agents/test_learner.py::test_the_average_follows_the_weights",
    ),
    Mutant(
        "the discriminator learns from the generator's loss",
        "perception/gan.py",
        "{name: weight.detach() for name",
        "{name: weight for name",
        "perception/test_gan.py::test_each_loss_reaches_its_own_weights",
    ),
    Mutant(
        "the generator helps the discriminator",
        "perception/gan.py",
        "adversarial = relativistic_loss(logits[1], logits[0])",
        "adversarial = relativistic_loss(logits[0], logits[1])",
        "perception/test_gan.py::test_each_loss_reaches_its_own_weights",
    ),
    Mutant(
        "a machine makes pictures unlikely",
        "perception/dbn.py",
        "(machine.free_energy(v) - machine.free_energy(made))",
        "(machine.free_energy(made) - machine.free_energy(v))",
        "perception/test_dbn.py::test_a_machine_learns_which_patterns_there_are",
    ),
    Mutant(
        "visible units have no bias",
        "perception/dbn.py",
        "F.linear(h, self.weight.T, self.visible)",
        "F.linear(h, self.weight.T)",
        "perception/test_dbn.py::test_what_is_made_is_the_mean_given_hidden_units",
    ),
    Mutant(
        "a token is no use",
        "experiment/watch/web.py",
        "if not hmac.compare_digest(",
        "if self._local and not hmac.compare_digest(",
        "experiment/watch/test_web.py::test_whoever_can_be_reached_by_others_asks_for_the_token",
    ),
    Mutant(
        "any site may watch",
        "experiment/watch/web.py",
        "if origin is not None and",
        "if not self._local and origin is not None and",
        "experiment/watch/test_web.py::test_on_this_machine_no_token_is_needed_but_other_sites_are_refused",
    ),
    Mutant(
        "a key stays down for ever",
        "experiment/watch/web.py",
        "for key in held:",
        "for key in set[str]():",
        "experiment/watch/test_web.py::test_nobody_can_close_the_game_from_afar_or_hold_a_key_for_ever",
    ),
    Mutant(
        "a box's last position is missing",
        "envs/guest.py",
        "np.linspace(a, b, count) for",
        "np.linspace(a, b, count, endpoint=False) for",
        "envs/test_guest.py::test_positions_of_a_boxs_numbers_are_combined",
    ),
    Mutant(
        "a fused pass sees the first frame in place of every one",
        "perception/convolution.py",
        "(stack[frame] * height + y)",
        "(stack[0] * height + y)",
        "perception/test_fused.py::test_convolutions_are_torchs",
    ),
    Mutant(
        "a number beside a picture is drawn as if it had no bounds",
        "envs/screen.py",
        "np.where(self._bounded, between, squashed)",
        "squashed",
        "envs/test_guest.py::test_numbers_beside_a_picture_are_drawn_above_it",
    ),
    Mutant(
        "a fused pass adds some weights' gradients twice",
        "perception/contraction.py",
        "if not (dividing and beside % few)",
        "if True",
        "perception/test_fused.py::test_tiles_fit_any_processor",
    ),
    Mutant(
        "Muon multiplies in bfloat16 whatever the run's format",
        "agents/optimizer.py",
        "orthogonal(direction, self._dtype)",
        "orthogonal(direction, torch.bfloat16)",
        "agents/test_optimizer.py::test_muon_multiplies_in_the_runs_format",
    ),
    Mutant(
        "a fused ReLU lets every gradient pass",
        "perception/convolution.py",
        "np.float32(0) if out[j] <= 0 else gradient[j]",
        "gradient[j]",
        "perception/test_fused.py::test_convolutions_are_torchs",
    ),
    Mutant(
        "a fused ReLU makes nothing of what is no number",
        "perception/contraction.py",
        "builder.fcmp_ordered(",
        "builder.fcmp_unordered(",
        "perception/test_fused.py::test_nothing_that_is_no_number_is_hidden",
    ),
    Mutant(
        "a fused pass keeps gradients where kernels overlap, and does not sum them",
        "perception/convolution.py",
        "n - 1, inputs, to, gradient",
        "n - 1, np.zeros_like(inputs), to, gradient",
        "perception/test_fused.py::test_convolutions_are_torchs",
    ),
    Mutant(
        "who plays has the weights of the rollout before",
        "perception/encoder.py",
        "            self._fixed = None\n",
        "            pass\n",
        "perception/test_fused.py::test_what_is_fixed_sees_the_same",
    ),
    Mutant(
        "a part of the work is done twice",
        "perception/sharing.py",
        "        if not self.withdraw():\n            return\n",
        "",
        "perception/test_sharing.py::test_every_part_is_done_once",
    ),
    Mutant(
        "an action's log probability is of the one before",
        "agents/actor.py",
        "log_probs[i] = a, log_prob - math.log(total)",
        "log_probs[i] = a, row[max(a - 1, 0)] - highest - math.log(total)",
        "agents/test_actor.py::test_actions_are_drawn_from_the_softmax",
    ),
    Mutant(
        "games lean as much at the end of exploration as at its beginning",
        "agents/actor.py",
        "leaning * offsets[i, a]",
        "offsets[i, a]",
        "agents/test_actor.py::test_actions_are_drawn_from_the_softmax",
    ),
    Mutant(
        "a trained encoder's steps as long as any other's",
        "agents/optimizer.py",
        '{"lr": PERIOD * pace * muon_rate}',
        '{"lr": PERIOD * muon_rate}',
        "agents/test_handover.py::test_muons_steps_are_shorter_by_the_pace",
    ),
    Mutant(
        "a state's far numbers come as far as they are",
        "perception/encoder.py",
        "return x.sign() * x.abs().log1p()",
        "return x.clone()",
        "perception/test_encoder.py::test_a_far_number_does_not_drown_the_others",
    ),
    Mutant(
        "one Adam for both machines of a DBN",
        "commands/pretraining.py",
        "turns=way.turns",
        "turns=()",
        "perception/test_dbn.py::test_a_machine_begins_with_steps_of_their_size_and_stays_when_its_turn_is_over",
    ),
    Mutant(
        "a DBN's layer lacks its machine's last step",
        "perception/training.py",
        "        self._optimizer.step(config.max_grad_norm)\n        self.way.stepped()\n",
        "        self.way.stepped()\n        self._optimizer.step(config.max_grad_norm)\n",
        "perception/test_dbn.py::test_the_encoder_is_the_machines_one_on_the_other",
    ),
    Mutant(
        "actions of a dtype that is not their space's",
        "envs/guest.py",
        " + space.start).astype(space.dtype)",
        " + space.start).astype(np.int64)",
        "envs/test_guest.py::test_an_action_is_of_the_kind_that_its_space_draws",
    ),
    Mutant(
        "unsigned actions never reset",
        "envs/vector.py",
        "    return given.astype(np.int64)\n",
        "    return given\n",
        "envs/test_adapter.py::test_actions_of_any_whole_numbers_will_do_and_no_others",
    ),
)


@dataclass
class Settings:
    """What to plant."""

    only: str = ""
    """Plant this bug alone."""
    list: bool = False
    """Name the bugs and their tests, and run nothing."""


def select(only: str) -> Sequence[Mutant]:
    """Choose the bug of this name, or all.

    Raises:
        UserError: if there is none of this name.
    """
    chosen = [mutant for mutant in MUTANTS if only in ("", mutant.name)]
    if not chosen:
        raise UserError(f"no planted bug is called {only!r}; --list names them")
    return chosen


def copy_tracked(to: Path) -> None:
    """Copy the working tree's files that git tracks.

    Raises:
        UserError: if git knows nothing of this folder.
    """
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"cannot list the files to copy: {done.stderr.strip()}")
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():  # or it was deleted and git not told yet
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)


def run(folder: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run tests in a copy, in a process of their own that leaves no compiled files behind."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        *(f"tests/{t}" for t in tests),
    ]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # else a stale one could stand for a planted bug
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def verdict(folder: Path, mutant: Mutant) -> str:
    """Plant a bug, run its test, take the bug out again; returns "caught", or else what happened."""
    path = folder / mutant.file
    source = path.read_text()
    path.write_text(mutant.plant(source))
    try:
        code = run(folder, [mutant.test]).returncode
    finally:
        path.write_text(source)
    return {0: "NOT CAUGHT", 1: "caught"}.get(code, "NO TEST RAN")  # what pytest's exit codes mean


def main(argv: list[str]) -> int:
    """Plant the bugs; returns the exit code, 0 only if all were caught."""
    settings = parse(Settings, argv, "-m tests.mutants", __doc__ or "")
    mutants, console = select(settings.only), Console()
    table = Table("planted bug", "file", Column("test", overflow="fold"))
    if settings.list:
        for mutant in mutants:
            table.add_row(mutant.name, mutant.file, escape(mutant.test))
        console.print(table)
        return 0
    for mutant in mutants:  # before minutes have passed
        mutant.plant((ROOT / mutant.file).read_text())
    table.add_column("verdict")
    table.add_column("seconds", justify="right")
    caught = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_tracked(folder)
        unbroken = run(folder, list(dict.fromkeys(mutant.test for mutant in mutants)))
        if unbroken.returncode:
            raise UserError(f"without any bug planted the tests do not pass:\n{unbroken.stdout}{unbroken.stderr}")
        for mutant in track(mutants, "planting", console=console):
            start = time.perf_counter()
            said = verdict(folder, mutant)
            caught += said == "caught"
            seconds = f"{time.perf_counter() - start:.1f}"
            table.add_row(mutant.name, mutant.file, escape(mutant.test), said, seconds)
    console.print(table)
    print(f"{caught} of {len(mutants)} planted bugs caught")
    return int(caught < len(mutants))


if __name__ == "__main__":
    main_line(main)
