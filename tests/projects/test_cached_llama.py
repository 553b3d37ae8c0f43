"""MiniLlama with a cache: what it computes without one, in any pieces."""

from itertools import islice
from types import ModuleType

import pytest
import torch

from projects.cached_llama import CachedLlama, write

NAMES = ("llama_block", "language_model", "kv_cache")
BASE = 500.0


@pytest.fixture(scope="module")
def model(modules: dict[str, ModuleType]) -> torch.nn.Module:
    """A small one with grouped heads, whose predictions depend on every token before."""
    torch.manual_seed(0)
    model = modules["language_model"].MiniLlama(31, 24, 6, 3, 40, num_kv_heads=2, base=BASE)
    for weight in model.parameters():
        weight.data = torch.randn_like(weight) / weight.shape[-1] ** 0.5
    return model


def cached(model: torch.nn.Module, modules: dict[str, ModuleType]) -> CachedLlama:
    """The model with empty caches."""
    return CachedLlama(model, 6, BASE, modules["llama_block"].rotate, modules["kv_cache"].KVCache)


@pytest.mark.parametrize("pieces", [(12,), (1,) * 12, (5, 1, 4, 2)])
def test_pieces_give_what_the_whole_gives(model, modules, pieces):
    """All at once, one by one, or a few at a time: the logits of the uncached model."""
    ids = torch.randint(31, (2, 12), generator=torch.Generator().manual_seed(0))
    llama = cached(model, modules)
    in_pieces = torch.cat([llama(piece) for piece in ids.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(in_pieces, model(ids).detach(), rtol=1e-4, atol=1e-5)
    assert not in_pieces.requires_grad


def test_it_writes_what_the_whole_model_would(model, modules):
    """Greedy writing, against reading everything anew for each token."""
    ids = [3, 1, 4, 1, 5]
    for _ in range(10):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert list(islice(write(cached(model, modules), ids[:5], torch.argmax), 10)) == ids[5:]


def test_it_goes_on_where_it_was(model, modules):
    """A second call of `write` continues the same text."""
    llama = cached(model, modules)
    first = list(islice(write(llama, [3, 1, 4], torch.argmax), 4))
    rest = list(islice(write(llama, [first[-1]], torch.argmax), 4))
    assert first + rest == list(islice(write(cached(model, modules), [3, 1, 4], torch.argmax), 8))
