"""A Llama in two: blocks that stay as they are, whose work is done once for each text, and blocks above that learn.

What a frozen block makes of a text never changes. So with adapters in the uppermost blocks alone, everything below
them is computed once and kept on the disk, and a step of training costs what those few blocks cost.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn

from projects.downloads import replacing

CHUNK = 20  # texts between two files, and so between two places to go on from
AT_ONCE = 10  # texts in a batch


class Below:
    """The frozen blocks, and what they made of the texts that they have read.

    Args:
        llama: transformers' LlamaModel, which is cut: its uppermost blocks and its norm are taken off.
        above: how many blocks are taken off.
        padding: the id that fills short texts up; no text ends with it.
        folder: where the states of texts are kept.
    """

    def __init__(self, llama: Any, above: int, padding: int, folder: Path) -> None:
        self.blocks, self.padding = llama, padding
        self.device = next(llama.parameters()).device
        self.name = f"{_fingerprint(llama)}-{len(llama.layers) - above}"
        self.folder = folder
        llama.requires_grad_(False)
        llama.layers = llama.layers[:-above]
        llama.norm = nn.Identity()
        self.states: dict[tuple[int, ...], Tensor] = {}

    def read(self, texts: Sequence[Sequence[int]], progress: Progress) -> None:
        """Reads texts, or finds what was made of them before. It can be stopped at any point, and goes on there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        task = progress.add_task("The frozen blocks read", total=len(texts))
        for start in range(0, len(texts), CHUNK):
            chunk = [tuple(text) for text in texts[start : start + CHUNK]]
            path = self.folder / f"{self.name}-{hashlib.sha256(repr(chunk).encode()).hexdigest()[:16]}.pt"
            states = _load(path, chunk)
            if states is None:
                parts = (chunk[place : place + AT_ONCE] for place in range(0, len(chunk), AT_ONCE))
                states = [state for part in parts for state in self._compute(part)]
                with replacing(path) as new:
                    torch.save(states, new)
            self.states |= zip(chunk, states, strict=True)
            progress.update(task, advance=len(chunk))

    def __call__(self, ids: Tensor) -> Tensor:
        """What they make of ids `[B, T]`, padded on the right: `[B, T, C]`, with zeros where padding is."""
        texts = [_stripped(row, self.padding) for row in ids.tolist()]
        unknown = [text for text in dict.fromkeys(texts) if text not in self.states]
        if unknown:
            self.states |= zip(unknown, self._compute(unknown), strict=True)
        width = self.states[texts[0]].shape[-1]
        states = torch.zeros(*ids.shape, width, device=self.device)
        for row, text in zip(states, texts, strict=True):
            row[: len(text)] = self.states[text]
        return states

    @torch.no_grad()
    def _compute(self, texts: Sequence[tuple[int, ...]]) -> list[Tensor]:
        ids, _ = padded(texts, self.padding)
        states = self.blocks(input_ids=ids.to(self.device), use_cache=False).last_hidden_state.cpu()
        return [state[: len(text)].clone() for state, text in zip(states, texts, strict=True)]


class Above(nn.Module):
    """The uppermost blocks and the norm, on what the frozen ones made of the ids: `[B, T]` to `[B, T, C]`.

    Args:
        llama: transformers' LlamaModel, still whole. Its weights are copied.
        number: how many blocks.
        below: the frozen ones, once they are there.
    """

    def __init__(self, llama: Any, number: int) -> None:
        super().__init__()
        config = copy.deepcopy(llama.config)
        config.num_hidden_layers, config.vocab_size, config.pad_token_id = number, 1, None
        self.blocks = type(llama)(config)
        self.blocks.layers.load_state_dict(llama.layers[-number:].state_dict())
        self.blocks.norm.load_state_dict(llama.norm.state_dict())
        self.blocks.embed_tokens = nn.Identity()  # the states come from below
        self.blocks.to(next(llama.parameters()).device)
        self.below: Below | None = None

    def forward(self, ids: Tensor) -> Tensor:
        """The states after the norm."""
        assert self.below is not None
        states: Tensor = self.blocks(inputs_embeds=self.below(ids), use_cache=False).last_hidden_state
        return states


def padded(texts: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Texts as ids `[B, T]`, filled up on the right, and their mask `[B, T]`, bool."""
    length = max(map(len, texts))
    ids = torch.tensor([[*text, *[padding] * (length - len(text))] for text in texts])
    return ids, torch.arange(length) < torch.tensor([len(text) for text in texts])[:, None]


def _stripped(row: list[int], padding: int) -> tuple[int, ...]:
    while row and row[-1] == padding:
        row = row[:-1]
    return tuple(row)


def _load(path: Path, chunk: Sequence[tuple[int, ...]]) -> list[Tensor] | None:
    try:
        states = torch.load(path, weights_only=True)
        return list(states) if [len(state) for state in states] == [len(text) for text in chunk] else None
    except Exception:  # missing, or half a file of another program
        return None


def _fingerprint(llama: Any) -> str:
    """Tells models apart by a few numbers of each weight."""
    digest = hashlib.sha256()
    for weight in llama.parameters():
        digest.update(weight.detach().flatten()[:64].cpu().float().numpy().tobytes())
    return digest.hexdigest()[:12]
