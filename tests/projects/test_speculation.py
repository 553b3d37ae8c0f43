"""Speculative decoding with the student's exercises: the same text, the same distribution; and what attention costs."""

import copy

import pytest
import torch

from projects.attention_bill import Bill, draw, measured, plain_attention
from projects.cached_llama import CachedLlama
from projects.speculation import early_exit, greedy, speculate

NAMES = ("llama_block", "language_model", "kv_cache", "flash_attention", "speculative_decoding")
SHAPE = {"vocab_size": 7, "dim": 16, "num_heads": 2, "num_layers": 3, "hidden_dim": 24}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(modules):
    """A small model that is sure of some tokens and not of others."""
    torch.manual_seed(2)
    made = modules["language_model"].MiniLlama(**SHAPE).eval().double()
    with torch.no_grad():
        made.lm_head.weight *= 15
    return made


def cached(modules, model):
    """A model with empty caches."""
    return CachedLlama(model, 2, 10000.0, modules["llama_block"].rotate, modules["kv_cache"].KVCache)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("num_draft", [1, 4])
def test_greedy_text_is_the_same(modules, model, depth, num_draft):
    """Whatever the draft, and however far it writes ahead; a draft that is the whole model is always accepted."""
    step, prompt = modules["speculative_decoding"].speculative_step, [1, 4, 2]
    ids = torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(20):
            ids = torch.cat([ids, model(ids)[:, -1:].argmax(dim=-1)], dim=1)
    draft, generator = cached(modules, early_exit(model, depth)), torch.Generator().manual_seed(0)
    written = speculate(cached(modules, model), draft, prompt, 17, num_draft, greedy, step, generator)
    assert written.ids == ids[0, 3 : 3 + len(written.ids)].tolist()
    assert 17 <= len(written.ids) <= 17 + num_draft
    assert written.accepted + written.steps == len(written.ids)
    assert written.rate == written.accepted / written.judged
    assert written.per_step == len(written.ids) / written.steps
    if depth == 3:
        assert (written.rate, written.per_step) == (1.0, num_draft + 1.0)


def test_drawn_text_is_distributed_as_the_models(modules, model):
    """The first and the second token of many texts, against the model's own probabilities; the draft's are far off."""
    step, prompt, draws = modules["speculative_decoding"].speculative_step, [3, 5], 600
    counts = torch.zeros(7, 7)
    generator = torch.Generator().manual_seed(1)
    for _ in range(draws):
        target, draft = cached(modules, model), cached(modules, early_exit(model, 1))
        written = speculate(target, draft, prompt, 2, 2, lambda logits: logits.softmax(dim=-1), step, generator)
        counts[written.ids[0], written.ids[1]] += 1
    with torch.no_grad():
        first = model(torch.tensor([prompt]))[0, -1].softmax(dim=-1)  # [7]
        second = model(torch.tensor([[*prompt, token] for token in range(7)]))[:, -1].softmax(dim=-1)  # [7, 7]
    expected = first[:, None] * second
    for axis in (0, 1):
        assert (counts.sum(axis) / draws - expected.sum(axis)).abs().sum().item() / 2 < 0.08
    drafted = early_exit(model, 1)
    with torch.no_grad():
        q = drafted.lm_head(drafted.norm(drafted.layers[0](model.embed_tokens(torch.tensor([prompt])))))[0, -1]
    assert (q.softmax(dim=-1) - first).abs().sum().item() / 2 > 0.15  # the draft alone would have been seen


def test_what_is_forgotten_was_never_read(modules, model):
    """After going back, the same tokens give the same logits as in caches that read no further."""
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    llama = cached(modules, model)
    llama(ids)
    for length in (6, 4, 2):
        llama.forget(length)
        other = cached(modules, model)
        other(ids[:, :length])
        assert llama.length == other.length == len(llama.caches[0]) == length
        torch.testing.assert_close(copy.deepcopy(llama)(ids[:, :2]), other(ids[:, :2]))
    llama.forget(0)
    torch.testing.assert_close(llama(ids), model(ids))


def test_memory_is_counted(modules):
    """All at once, the scores are held two times and the mask with them; in blocks, a small part of that."""
    query = torch.randn(1, 2, 512, 8, generator=torch.Generator().manual_seed(0))
    scores = 4 * 2 * 512 * 512
    at_once = measured(lambda: plain_attention(query, query, query), repeats=1)
    assert 2 * scores < at_once.memory < 3.5 * scores
    flash_attention = modules["flash_attention"].flash_attention
    in_blocks = measured(lambda: flash_attention(query, query, query, 64, causal=True), repeats=1)
    assert scores / 8 < in_blocks.memory < scores
    kept = []
    assert measured(lambda: kept.append(torch.zeros(1000)), repeats=1).memory == 4000


def test_the_picture_has_both_ways():
    """A line for each way, in time and in memory."""
    figure = draw({256: (Bill(0.1, 100), Bill(0.2, 50)), 512: (Bill(0.4, 400), Bill(0.4, 100))}, 64)
    for axes in figure.axes:
        first, second = (line.get_ydata().tolist() for line in axes.lines)
        assert len(first) == len(second) == 2
    assert figure.axes[0].lines[0].get_ydata().tolist() == [100.0, 400.0]
