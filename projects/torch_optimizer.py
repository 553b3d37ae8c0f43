"""What the exercise `optimizer` asks for, by PyTorch's own functions: it stands in until the student's is finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


class AdamW(torch.optim.AdamW):
    """PyTorch's, with the learning rate as an attribute."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(list(parameters), lr, betas, eps, weight_decay)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.param_groups[0]["lr"])

    @lr.setter
    def lr(self, rate: float) -> None:
        self.param_groups[0]["lr"] = rate


def warmup_cosine(step: int, peak: float, warmup_steps: int, total_steps: int, floor: float = 0.0) -> float:
    """Up to the peak in a straight line, then half a cosine down to the floor."""
    rates = _rates(peak, warmup_steps, total_steps, floor)
    return rates[min(step, len(rates) - 1)]


@lru_cache(maxsize=8)
def _rates(peak: float, warmup_steps: int, total_steps: int, floor: float) -> list[float]:
    """Those of all steps, and of the one after the last."""
    nothing = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    up = LinearLR(nothing, 1 / max(warmup_steps, 1), total_iters=max(warmup_steps - 1, 1))
    down = CosineAnnealingLR(nothing, total_steps - warmup_steps, floor)
    both = SequentialLR(nothing, [up, down], [warmup_steps])
    rates = []
    for _ in range(total_steps + 1):
        rates.append(float(nothing.param_groups[0]["lr"]))
        nothing.step()
        both.step()
    return rates


def clip_gradient_norm(gradients: Sequence[Tensor], max_norm: float) -> tuple[list[Tensor], Tensor]:
    """Copies of the gradients, together no longer than `max_norm`, and how long they were."""
    copies = [torch.nn.Parameter(gradient) for gradient in gradients]
    for copy in copies:
        copy.grad = copy.detach().clone()
    norm = torch.nn.utils.clip_grad_norm_(copies, max_norm)
    return [copy.grad for copy in copies if copy.grad is not None], norm


def accumulate_gradients(losses: Iterable[Tensor], counts: Sequence[int]) -> float:
    """Adds up the gradients of the mean over all tokens, and returns that mean."""
    parts = [count / sum(counts) for count in counts]
    mean = 0.0
    for part, loss in zip(parts, losses, strict=False):
        loss.backward(loss.new_tensor(part))  # type: ignore[no-untyped-call]
        mean += part * loss.item()
    return mean
