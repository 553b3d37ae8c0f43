"""From a model that only goes on to one that people prefer, each step with the student's own loss.

Everything here is the loop around a loss: who writes the data, which numbers the loss gets, how often it is minimized.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from projects import little_world as world
from projects.alignment_parts import Exercise, Scale, Way
from projects.little_world import ANSWER, PROMPT, Answers, Topic
from projects.modules import NotReady

NAMES = (
    *("llama_block", "language_model", "decoding"),
    *("sft_loss", "reward_model", "dpo_loss", "ppo_loss", "grpo_loss"),
)

LEARNING_RATE = 2e-4  # of DPO, PPO and GRPO


class Workshop:
    """The student's exercises, a scale and a generator, and the steps that they make possible."""

    def __init__(self, modules: dict[str, ModuleType], scale: Scale, seed: int = 0) -> None:
        self.do = {name: Exercise(module) for name, module in modules.items()}
        self.scale, self.generator = scale, torch.Generator().manual_seed(seed)
        self.start: Way | None = None  # what the reference does, measured once: all ways begin there

    # --- The model, and what it writes -------------------------------------------------------------------------------

    def new_model(self) -> Any:
        """A MiniLlama that knows nothing; Any, for a module's type does not tell its parts."""
        return self.do["language_model"].MiniLlama(len(world.WORDS), 64, 4, 2, 128)

    def scorer(self, model: Any) -> Any:
        """A copy of a model whose head gives one number at every position instead of a score for every word."""
        scorer = copy.deepcopy(model)
        scorer.lm_head = nn.Linear(model.lm_head.in_features, 1)
        nn.init.zeros_(scorer.lm_head.weight)
        nn.init.zeros_(scorer.lm_head.bias)
        return scorer

    @torch.no_grad()
    def write(self, model: Any, topics: list[Topic]) -> Answers:
        """An answer of the model for every topic."""
        ids = torch.tensor([world.prompt_ids(topic) for topic in topics])
        for _ in range(ANSWER):
            logits = model(ids)[:, -1]  # [B, V]
            logits[:, : world.NUMBERS[":"] + 1] = -torch.inf  # no padding and no new prompt inside an answer
            ids = torch.cat([ids, self.do["decoding"].sample(logits, self.generator)[:, None]], dim=1)
        return Answers(ids, world.answer_mask(ids))

    @torch.no_grad()
    def measure(self, path: Way, updates: int, model: Any, reference: Any, judge: Any) -> None:
        """Lets the model answer about topics that no training saw, and notes what came."""
        topics = (world.HELD_OUT * self.scale.measured)[: self.scale.measured]
        answers = self.write(model, topics)
        ours, theirs = model(answers.ids).log_softmax(-1), reference(answers.ids).log_softmax(-1)  # [B, T, V]
        kl = (ours.exp() * (ours - theirs)).sum(-1)[:, :-1]  # [B, T - 1], exact, before each next token
        path.updates.append(updates)
        path.questions.append(answers.questions().float().mean().item())
        path.right.append(answers.right().float().mean().item())
        path.rewards.append(self.judged(judge, answers).mean().item())
        path.kl.append((kl * answers.mask[:, 1:]).sum(1).mean().item())

    # --- Before preferences ------------------------------------------------------------------------------------------

    def read(self) -> tuple[Any, list[float]]:
        """A base model: it reads sentences, one after the other, and learns to go on (`train_step`)."""
        model = self.new_model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        topics = world.pick(world.TOPICS, 4000, self.generator)
        stream = torch.tensor(
            [number for topic in topics for number in world.as_ids(world.speak(topic, self.generator))]
        )
        losses, do = [], self.do["language_model"]
        for _ in range(self.scale.reading):
            ids = do.sample_batch(stream, self.scale.batch, PROMPT + ANSWER, self.generator)
            losses.append(do.train_step(model, optimizer, ids))
        return model, losses

    def tune(self, model: Any) -> list[float]:
        """Supervised fine-tuning on topics and answers: it learns what a prompt is (`build_labels`, `sft_loss`)."""
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        losses, do = [], self.do["sft_loss"]
        for _ in range(self.scale.tuning):
            rows = []
            for topic in world.pick(world.TRAIN, self.scale.batch, self.generator):
                ids, labels = do.build_labels(world.prompt_ids(topic), world.as_ids(world.speak(topic, self.generator)))
                padding = PROMPT + ANSWER - len(ids)
                rows.append(torch.tensor([ids + [0] * padding, labels + [-100] * padding]))
            ids_batch, labels_batch = torch.stack(rows, dim=1)  # [B, T] each
            losses.append(_update(optimizer, do.sft_loss(model(ids_batch), labels_batch)))
        return losses

    # --- Preferences -------------------------------------------------------------------------------------------------

    def compare(self, model: Any, number: int) -> tuple[Answers, Answers]:
        """Pairs of the model's own answers to one topic: the chosen ones ask, the rejected ones do not."""
        chosen: list[Answers] = []
        rejected: list[Answers] = []
        for _ in range(20):
            topics = world.pick(world.TRAIN, number, self.generator)
            several = [self.write(model, topics) for _ in range(6)]
            asks = torch.stack([answers.questions() for answers in several])  # [6, B]
            for row in torch.nonzero(asks.any(0) & ~asks.all(0))[:, 0]:
                better, worse = asks[:, row].int().argmax(), asks[:, row].int().argmin()
                chosen.append(several[better][row[None]])
                rejected.append(several[worse][row[None]])
            if len(chosen) >= number:
                return _together(chosen[:number]), _together(rejected[:number])
        raise NotReady(
            "The fine-tuned model hardly ever asks, so there is nothing to compare.\nTry: make check EX=sft_loss"
        )

    def judge(self, model: Any, chosen: Answers, rejected: Answers) -> tuple[Any, list[float]]:
        """A reward model: it learns to give the chosen answers more than the rejected (`bradley_terry_loss`)."""
        judge = self.scorer(model)
        optimizer = torch.optim.AdamW(judge.parameters(), lr=3e-4)
        losses = []
        for rows in self._batches(len(chosen), self.scale.judging):
            rewards = self.judged(judge, chosen[rows]), self.judged(judge, rejected[rows])
            losses.append(_update(optimizer, self.do["reward_model"].bradley_terry_loss(*rewards)))
        return judge, losses

    def judged(self, judge: Any, answers: Answers) -> Tensor:
        """A reward for every answer, `[B]`: what the reward model says at its last token."""
        last = answers.mask.long() * torch.arange(answers.mask.shape[1])  # [B, T]
        scores: Tensor = judge(answers.ids)[..., 0]  # [B, T]
        return scores.gather(1, last.argmax(1, keepdim=True))[:, 0]

    # --- Three ways to follow them -----------------------------------------------------------------------------------

    def dpo(
        self, reference: Any, judge: Any, chosen: Answers, rejected: Answers, beta: float = 0.3, anchor: float = 0.2
    ) -> tuple[Any, Way]:
        """Direct preference optimization: from pairs, with no reward (`sequence_log_probs`, `dpo_loss`).

        The loss is content when the rejected answers become improbable, whatever else becomes probable instead. So
        `anchor` times the `sft_loss` of the chosen answers is added, as for Llama 3 (Grattafiori et al. 2024).
        """
        do, pairs = self.do["dpo_loss"], (chosen, rejected)
        labels = torch.where(chosen.mask, chosen.ids, -100)

        def log_probs(model: Any, answers: Answers) -> Tensor:
            log_probs: Tensor = do.sequence_log_probs(model(answers.ids), answers.ids, answers.mask)
            return log_probs

        def updates(model: Any, optimizer: Any, path: Way) -> Iterator[None]:
            for rows in self._batches(len(chosen), self.scale.updates):
                with torch.no_grad():
                    theirs = [log_probs(reference, answers[rows]) for answers in pairs]
                ours = [log_probs(model, answers[rows]) for answers in pairs]
                kept = self.do["sft_loss"].sft_loss(model(chosen.ids[rows]), labels[rows])
                _update(optimizer, do.dpo_loss(*ours, *theirs, beta=beta) + anchor * kept)
                yield

        return self._follow(updates, reference, judge)

    def ppo(self, reference: Any, judge: Any, beta: float = 0.1) -> tuple[Any, Way]:
        """Proximal policy optimization: the model answers, a value model says what was to be expected.

        It stands on `kl_penalized_rewards`, `generalized_advantage_estimate` and `ppo_loss`.
        """
        critic = self.scorer(reference)
        critic_optimizer = torch.optim.AdamW(critic.parameters(), lr=1e-3)

        def updates(model: Any, optimizer: Any, path: Way) -> Iterator[None]:
            while True:
                answers, old, theirs = self._attempt(model, reference, self.scale.batch, 1, path)
                with torch.no_grad():
                    rewards = self.judged(judge, answers)  # [B]
                mask = answers.mask[:, 1:]  # [B, T - 1], as all numbers here: about the next token
                per_token = self.do["reward_model"].kl_penalized_rewards(rewards, old, theirs, mask, beta)
                with torch.no_grad():
                    values = critic(answers.ids)[:, :-1, 0]  # [B, T - 1]
                advantages = torch.zeros_like(values)
                for row, kept in enumerate(mask):
                    expected = torch.cat([values[row][kept], torch.zeros(1)])  # an answer that has ended earns no more
                    advantages[row][kept] = self.do["ppo_loss"].generalized_advantage_estimate(
                        per_token[row][kept], expected, gamma=1.0, lam=0.95
                    )
                returns = advantages + values
                kept = advantages[mask]
                normal = (advantages - kept.mean()) / (kept.std() + 1e-6)
                for _ in range(2):
                    new = _token_log_probs(model, answers)
                    _update(optimizer, self.do["ppo_loss"].ppo_loss(new, old, normal, mask=mask))
                    missed = (critic(answers.ids)[:, :-1, 0] - returns)[mask]
                    _update(critic_optimizer, missed.pow(2).mean())
                    yield

        return self._follow(updates, reference, judge)

    def grpo(self, reference: Any, judge: Any, group: int = 8, beta: float = 0.2) -> tuple[Any, Way]:
        """Group relative policy optimization: several answers to each topic are each other's yardstick.

        It stands on `group_relative_advantages` and `grpo_loss`. The reward is the rule itself, 1 for a question and 0
        for all else: what can be checked needs no reward model. And it should not have one here. Among eight questions
        a reward model still finds some a hair better, and the division by the standard deviation makes a hair as much
        as a mile.
        """
        do = self.do["grpo_loss"]

        def updates(model: Any, optimizer: Any, path: Way) -> Iterator[None]:
            while True:
                topics = self.scale.batch // group
                answers, old, theirs = self._attempt(model, reference, topics, group, path)
                rewards = answers.questions().float()  # [B]
                advantages = do.group_relative_advantages(rewards.view(topics, group)).flatten()  # [B]
                for _ in range(2):
                    new = _token_log_probs(model, answers)
                    _update(optimizer, do.grpo_loss(new, old, theirs, advantages, beta=beta, mask=answers.mask[:, 1:]))
                    yield

        return self._follow(updates, reference, judge)

    def _attempt(self, model: Any, reference: Any, topics: int, each: int, path: Way) -> tuple[Answers, Tensor, Tensor]:
        """Answers of the model, and their tokens' log-probabilities by it and by the reference."""
        chosen = [topic for topic in world.pick(world.TRAIN, topics, self.generator) for _ in range(each)]
        answers = self.write(model, chosen)
        path.written += len(answers)
        with torch.no_grad():
            old, theirs = _token_log_probs(model, answers), _token_log_probs(reference, answers)
            return answers, old, theirs

    def _follow(self, updates: Callable[..., Iterator[None]], reference: Any, judge: Any) -> tuple[Any, Way]:
        """Runs a method from a copy of the reference, and looks at it now and then."""
        if self.start is None:
            self.start = Way()
            self.measure(self.start, 0, reference, reference, judge)
        model, path = copy.deepcopy(reference), copy.deepcopy(self.start)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
        steps, every = updates(model, optimizer, path), max(1, self.scale.updates // self.scale.looks)
        for done in range(1, self.scale.updates + 1):
            began = time.monotonic()
            next(steps)
            path.seconds += time.monotonic() - began
            if done % every == 0 or done == self.scale.updates:
                self.measure(path, done, model, reference, judge)
        return model, path

    def _batches(self, number: int, steps: int) -> Iterator[Tensor]:
        for _ in range(steps):
            yield torch.randint(number, (self.scale.batch,), generator=self.generator)


def _token_log_probs(model: Any, answers: Answers) -> Tensor:
    """The log-probability of every token but the first, `[B, T - 1]`."""
    log_probs: Tensor = model(answers.ids)[:, :-1].log_softmax(-1)  # [B, T - 1, V]
    return log_probs.gather(-1, answers.ids[:, 1:, None])[..., 0]


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _together(answers: list[Answers]) -> Answers:
    return Answers(torch.cat([a.ids for a in answers]), torch.cat([a.mask for a in answers]))
