"""The student's MiniLlama, writing with the student's own KVCache: only what is new goes through the blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


class CachedLlama:
    """What `model(ids)` computes, for a text that comes in pieces: any split of it gives the same logits.

    Args:
        model: a MiniLlama; Any, for a module's type does not tell its parts.
        num_heads: the query heads of its blocks.
        base: the base of its rotary embedding.
        rotate: the one of the exercise `llama_block`.
        new_cache: the class `KVCache` of the exercise `kv_cache`; every block has a cache of its own.
    """

    def __init__(
        self,
        model: Any,
        num_heads: int,
        base: float,
        rotate: Callable[[Tensor, Tensor, float], Tensor],
        new_cache: Callable[[], Any],
    ) -> None:
        self.model, self.num_heads, self.base, self.rotate = model, num_heads, base, rotate
        self._new_cache, self.length = new_cache, 0
        self.caches = [new_cache() for _ in model.layers]
        self._kept: list[tuple[Tensor, Tensor]] = []  # what each cache held when something was last appended

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """`[B, T]`, the new tokens alone, to their logits `[B, T, V]`."""
        x, self._kept = self.model.embed_tokens(ids), []  # [B, T, C]
        for block, cache in zip(self.model.layers, self.caches, strict=True):
            x = x + self._attend(block.self_attn, block.input_layernorm(x), cache)
            x = x + block.mlp(block.post_attention_layernorm(x))
        self.length += ids.shape[1]
        logits: Tensor = self.model.lm_head(self.model.norm(x))
        return logits

    def forget(self, length: int) -> None:
        """Goes back to the first `length` tokens that were read, in caches that are new."""
        if length == self.length:
            return
        caches = [self._new_cache() for _ in self.model.layers]
        for cache, (key, value) in zip(caches, self._kept, strict=True):
            if length:
                cache.append(key[:, :, :length], value[:, :, :length])
        self.caches, self.length = caches, length

    def _attend(self, attention: Any, x: Tensor, cache: Any) -> Tensor:
        """The block's attention, whose keys and values take a detour through the cache."""
        head_dim = attention.q_proj.weight.shape[0] // self.num_heads  # D
        query, key, value = (
            projection(x).unflatten(-1, (-1, head_dim)).transpose(1, 2)  # [B, H, T, D], or H_kv for H
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        past, new = len(cache), x.shape[1]
        positions = torch.arange(past, past + new, device=x.device)
        key, value = cache.append(self.rotate(key, positions, self.base), value)  # [B, H_kv, S, D], rotated once
        self._kept.append((key, value))
        query = self.rotate(query, positions, self.base)
        group = self.num_heads // key.shape[1]
        key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)  # [B, H, S, D]
        scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)  # [B, H, T, S]
        ahead = torch.ones(new, past + new, dtype=torch.bool, device=x.device).triu(diagonal=past + 1)
        mixed = scores.masked_fill(ahead, -math.inf).softmax(dim=-1) @ value  # [B, H, T, D]
        attended: Tensor = attention.o_proj(mixed.transpose(1, 2).flatten(2))  # [B, T, C]
        return attended


def write(llama: CachedLlama, prompt: Sequence[int], choose: Callable[[Tensor], int | Tensor]) -> Iterator[int]:
    """The tokens after a prompt, one by one and without end: take as many as you like.

    Args:
        llama: a new one, or one that has read what comes before the prompt.
        prompt: token ids, at least one.
        choose: takes the logits `[V]` of the next token and returns its id.
    """
    device = llama.model.embed_tokens.weight.device
    fed = list(prompt)
    while True:
        logits = llama(torch.tensor([fed], device=device))  # [1, T, V]
        token = int(choose(logits[0, -1]))
        yield token
        fed = [token]


def until(stops: set[int], ids: Iterable[int]) -> list[int]:
    """The tokens before the one that ends the text."""
    kept: list[int] = []
    for token in ids:
        if token in stops:
            break
        kept.append(token)
    return kept
