"""What attention costs at growing lengths, in time and in memory: in blocks, and with all scores at once."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PLAIN, BLOCKS = "#e07a5f", "#2a6f97"


class Bill(NamedTuple):
    """What one way took at one length: seconds, and the most bytes that were taken at a time."""

    seconds: float
    memory: int


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention by the formula, all `[B, H, T, D]`: every score is there at once."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # [B, H, T, T]
    ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(ahead, -math.inf).softmax(dim=-1) @ value


class MostMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that operations made and that are still held.

    Attributes:
        most: the most that were held at a time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = self._held = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Does what was asked for, and counts what came out."""
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and (number := id(tensor.untyped_storage())) not in self._known:
                storage = tensor.untyped_storage()  # one object for all views of the same memory, while it is held
                self._known.add(number)
                self._held += storage.nbytes()
                self.most = max(self.most, self._held)
                weakref.finalize(storage, self._free, number, storage.nbytes())
        return result

    def _free(self, number: int, size: int) -> None:
        self._known.discard(number)
        self._held -= size


@torch.no_grad()
def measured(attend: Callable[[], object], repeats: int = 3) -> Bill:
    """The shortest of some times, and the most memory that its tensors take at a time."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        attend()
        seconds.append(time.perf_counter() - start)
    with MostMemory() as counted:
        attend()
    return Bill(min(seconds), counted.most)


def draw(bills: Mapping[int, tuple[Bill, Bill]], block_size: int) -> Figure:
    """Time and memory by the length of the text, for all scores at once and for blocks of keys.

    Args:
        bills: for each length the bill of plain attention and that of attention in blocks.
        block_size: how many keys a block has.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    times, memory = figure.subplots(1, 2)
    lengths: Sequence[int] = list(bills)
    for place, (name, color) in enumerate((("all at once", PLAIN), (f"your blocks of {block_size}", BLOCKS))):
        chosen = [pair[place] for pair in bills.values()]
        times.plot(lengths, [1000 * bill.seconds for bill in chosen], "o-", color=color, label=name)
        memory.plot(lengths, [bill.memory / 1e6 for bill in chosen], "o-", color=color, label=name)
    for axes, unit, title in ((times, "milliseconds", "Time"), (memory, "megabytes", "Memory")):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(lengths, [str(length) for length in lengths])
        axes.set(xlabel="tokens", ylabel=unit)
        axes.set_title(f"{title} of one layer's attention", loc="left", weight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure
