"""A small Llama, hidden: against LlamaForCausalLM of the transformers library, and against float64 formulas.

Rounding: in float32 a logit is the end of LAYERS blocks of a few sums each, of numbers of order 1; TERMS counts the
terms of the longest sums on the way, LAYERS · (C + F + T) + C and a few functions. Gradients go the same way back.
"""

from itertools import pairwise

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from autograder.suites import arrays, assert_close, assert_dtype, assert_equal, assert_shape, points, rests_on, seeds

V, C, H, F, B, T = 29, 24, 6, 20, 3, 7  # heads are 4 wide
TERMS = 200


def shapes_of(num_layers, num_kv_heads):
    """The weights of a model, by name."""
    shared = (C // H * num_kv_heads, C)
    block = {
        "input_layernorm": (C,),
        **{
            "self_attn.q_proj": (C, C),
            "self_attn.k_proj": shared,
            "self_attn.v_proj": shared,
            "self_attn.o_proj": (C, C),
        },
        "post_attention_layernorm": (C,),
        **{"mlp.gate_proj": (F, C), "mlp.up_proj": (F, C), "mlp.down_proj": (C, F)},
    }
    layers = {f"layers.{n}.{name}": shape for n in range(num_layers) for name, shape in block.items()}
    parts = {"embed_tokens": (V, C), **layers, "norm": (C,), "lm_head": (V, C)}
    return {f"{name}.weight": shape for name, shape in parts.items()}


def weights_for(num_layers, num_kv_heads, seed, tied=False):
    """Weights that keep numbers of order 1, norms that scale every channel differently, and blocks that all differ."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes_of(num_layers, num_kv_heads).items():
        noise = torch.randn(shape, generator=generator)
        made[name] = 1 + noise / 3 if len(shape) == 1 else noise / C**0.5
    made["embed_tokens.weight"] *= 3
    if tied:
        made["lm_head.weight"] = made["embed_tokens.weight"]
    return made


def reference(weights, num_layers, num_kv_heads=H, base=10000.0, eps=1e-6, tied=False):
    """The model of the transformers library with these weights."""
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=C,
        num_attention_heads=H,
        num_key_value_heads=num_kv_heads,
        num_hidden_layers=num_layers,
        intermediate_size=F,
        rms_norm_eps=eps,
        rope_parameters={"rope_type": "default", "rope_theta": base},
        tie_word_embeddings=tied,
        attn_implementation="eager",
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict({k if k == "lm_head.weight" else f"model.{k}": value for k, value in weights.items()})
    return model


def some_ids(seed, *shape):
    """Token ids."""
    return torch.randint(V, shape or (B, T), generator=torch.Generator().manual_seed(seed))


@points(0.25, "The logits equal those of LlamaForCausalLM, for equal weights")
@rests_on("logits = lm_head(norm(layers(embed_tokens(ids))))")
@settings(max_examples=8)
@given(
    num_layers=st.integers(1, 3), num_kv_heads=st.sampled_from([None, 1, 2, 3]), length=st.integers(1, 9), seed=seeds()
)
def test_logits_values(language_model, num_layers, num_kv_heads, length, seed):
    """The table, every block in order and once, the last norm, then `lm_head`: nothing more, nothing left out."""
    weights = weights_for(num_layers, num_kv_heads or H, seed)
    model = language_model.MiniLlama(V, C, H, num_layers, F, num_kv_heads)
    model.load_state_dict(weights)
    ids = some_ids(seed, B, length)
    expected = reference(weights, num_layers, num_kv_heads or H)(ids).logits.detach()
    assert_close(model(ids), expected, terms=TERMS)


@points(0.25, "A text may be of any length")
@rests_on("ids: `[B, T]`, token ids from 0 to V - 1.")
def test_long_text(language_model):
    """A model reads what it is given: one token, then hundreds, then a few, and says something at each of them."""
    weights = weights_for(1, 2, 23)
    model = language_model.MiniLlama(V, C, H, 1, F, 2)
    model.load_state_dict(weights)
    original = reference(weights, 1, 2)
    for length in (1, 300, 4):
        ids = some_ids(length, 1, length)
        assert_close(model(ids), original(ids).logits.detach(), terms=TERMS + 2 * length)


@points(0.25, "The logits have the dtype of the weights, and any size")
@rests_on("`[B, T, V]`, in the dtype of the weights")
def test_dtypes_and_sizes(language_model):
    """A model in float64 gives float64. The scores are what `lm_head` makes them: nothing cuts those that are large."""
    weights, ids = weights_for(1, 2, 24), some_ids(25)
    weights["lm_head.weight"] *= 60
    expected = reference(weights, 1, 2)(ids).logits.detach()
    model = language_model.MiniLlama(V, C, H, 1, F, 2)
    model.load_state_dict(weights)
    assert_close(model(ids), expected, terms=TERMS)
    model.double()
    logits = model(ids)
    assert_dtype(logits, torch.float64)
    assert_close(logits.float(), expected, terms=TERMS)


@points(0.25, "The base of the rotary embedding reaches every block")
@rests_on("base: the base of the rotary embedding.")
def test_base(language_model):
    """SmolLM2 has base 100000: a model that is made with one base and computes with another scrambles word order."""
    weights, ids = weights_for(2, 3, 1), some_ids(2, B, 12)
    for base in (10.0, 100000.0):
        model = language_model.MiniLlama(V, C, H, 2, F, num_kv_heads=3, base=base)
        model.load_state_dict(weights)
        assert_close(model(ids), reference(weights, 2, 3, base)(ids).logits.detach(), terms=TERMS)


@points(0.25, "The eps reaches every norm, the last one too")
@rests_on("eps: the eps of all norms.")
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("eps", [1e-6, 1e-4, 0.05])
def test_eps(language_model, silent, eps):
    """For short vectors eps decides: in each block's norms and in the norm before `lm_head`, also by default."""
    weights = weights_for(2, H, 3)
    weights["embed_tokens.weight"] *= eps**0.5 / 3
    for name in weights:
        if silent and name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name] *= 0  # the blocks add nothing, so that short vectors come to the last norm
    model = language_model.MiniLlama(V, C, H, 2, F) if eps == 1e-6 else language_model.MiniLlama(V, C, H, 2, F, eps=eps)
    model.load_state_dict(weights)
    ids = some_ids(4)
    assert_close(model(ids), reference(weights, 2, eps=eps)(ids).logits.detach(), terms=TERMS)


@points(0.5, "Tied, `lm_head` and `embed_tokens` are one and the same weight")
@rests_on("whether `lm_head` and `embed_tokens` share one weight")
def test_tied(language_model):
    """A tied model has one matrix for both, at first and ever after: its gradient is the sum of both uses."""
    model = language_model.MiniLlama(V, C, H, 2, F, 2, tie_embeddings=True)
    ids = some_ids(5)
    new = {**model.state_dict()}
    new["lm_head.weight"] = new["embed_tokens.weight"]
    assert_close(model(ids), reference(new, 2, 2, tied=True)(ids).logits.detach(), terms=TERMS)

    weights = weights_for(2, 2, 6, tied=True)
    of_a_file = {name: value for name, value in weights.items() if name != "lm_head.weight"}  # it is there once
    model.load_state_dict(of_a_file, strict=False)
    cotangent = torch.randn(B, T, V, generator=torch.Generator().manual_seed(7))
    got = model.gradients(ids, cotangent=cotangent)
    original = reference(weights, 2, 2, tied=True)
    logits = original(ids).logits
    assert_close(got.value, logits.detach(), terms=TERMS)
    (wanted,) = torch.autograd.grad(logits, [original.lm_head.weight], cotangent)
    names = [name for name in ("embed_tokens.weight", "lm_head.weight") if got.parameters.get(name) is not None]
    assert names, "no gradient reaches the tied weight"
    for name in names:
        assert_close(got.parameters[name], wanted, terms=4 * TERMS)


@points(0.25, "Not tied, they are two weights, and each gets its own gradient")
@rests_on("its gradient by every weight")
def test_gradients(language_model):
    """Without `tie_embeddings` table and `lm_head` learn apart, and every weight of every block gets its gradient."""
    weights, ids = weights_for(2, 3, 8), some_ids(9)
    model = language_model.MiniLlama(V, C, H, 2, F, 3)
    model.load_state_dict(weights)
    cotangent = torch.randn(B, T, V, generator=torch.Generator().manual_seed(10))
    got = model.gradients(ids, cotangent=cotangent).parameters
    original = reference(weights, 2, 3)
    names, parameters = zip(*original.named_parameters(), strict=True)
    names = [name.removeprefix("model.") for name in names]
    assert_equal(sorted(got), sorted(names))
    for name, wanted in zip(names, torch.autograd.grad(original(ids).logits, parameters, cotangent), strict=True):
        assert_close(got[name], wanted, terms=4 * TERMS)


@points(0.25, "A new model's weights fit into LlamaForCausalLM, and compute the same there")
@rests_on("The names of the parts are those of Llama's files.")
@pytest.mark.parametrize("num_kv_heads", [2, None])
def test_weights_go_both_ways(language_model, num_kv_heads):
    """`state_dict()` holds what Llama's files hold, by the same names (without `model.`) and in the same shapes."""
    model = language_model.MiniLlama(V, C, H, 3, F, num_kv_heads)
    state = model.state_dict()
    shapes = {name: list(tensor.shape) for name, tensor in sorted(state.items())}
    assert_equal(shapes, {name: list(shape) for name, shape in sorted(shapes_of(3, num_kv_heads or H).items())})
    ids = some_ids(11)
    assert_close(model(ids), reference(state, 3, num_kv_heads or H)(ids).logits.detach(), terms=TERMS)


def loss_by_hand(logits, ids):
    """The mean of -log p, one position at a time, in float64."""
    log_p = scipy.special.log_softmax(logits.double().numpy(), axis=-1)
    steps = [(b, t) for b in range(ids.shape[0]) for t in range(ids.shape[1] - 1)]
    return -sum(log_p[b, t, ids[b, t + 1]] for b, t in steps) / len(steps)


@st.composite
def predictions(draw, sizes=(1.0, 30.0, 1e4)):
    """Logits [B, T, V] of some size, and ids [B, T]."""
    b, t, v = draw(st.integers(1, 3)), draw(st.integers(2, 5)), draw(st.integers(2, 6))
    size = draw(st.sampled_from(sizes))
    logits = torch.from_numpy(draw(arrays((b, t, v), -size, size, np.float32)))
    ids = draw(st.lists(st.integers(0, v - 1), min_size=b * t, max_size=b * t))
    return logits, torch.tensor(ids).view(b, t)


@points(0.75, "The loss is the mean of -log p of each next token")
@rests_on(
    "L = mean of -log p(ids[:, t + 1]), where logits[:, t] are the scores.", "a scalar in the dtype of the logits"
)
@given(example=predictions())
def test_loss_values(language_model, example):
    """Logits at position t are about token t + 1; the mean is over all B · (T - 1) answers, for logits of any size."""
    logits, ids = example
    expected = torch.tensor(loss_by_hand(logits, ids), dtype=torch.float32)
    scale = 1 + float(logits.abs().max())
    assert_close(language_model.next_token_loss(logits, ids), expected, terms=30, scale=scale)
    precise = language_model.next_token_loss(logits.double(), ids)
    assert_dtype(precise, torch.float64)
    assert_close(precise, torch.tensor(loss_by_hand(logits, ids)), terms=30, scale=scale)
    assert_dtype(language_model.next_token_loss(logits.half(), ids), torch.float16)


@points(0.5, "The gradient of the loss is p minus 1 at the right token, and 0 at the last position")
@rests_on("the last position has no next token, and nothing predicts the first")
@given(example=predictions(sizes=(2.0, 1e4)))
def test_loss_gradient(language_model, example):
    """Each logit is pushed by its probability, the right one by 1 less, divided by the number of answers."""
    logits, ids = example
    push = scipy.special.softmax(logits.double().numpy(), axis=-1)
    for b, t in np.ndindex(ids.shape[0], ids.shape[1] - 1):
        push[b, t, ids[b, t + 1]] -= 1
    push[:, -1] = 0
    expected = torch.from_numpy(push / (ids.shape[0] * (ids.shape[1] - 1))).float()
    # A logit of size z is rounded by z · eps, which the exponential makes a relative error.
    terms = 10 + float(logits.abs().max()) * 4
    assert_close(language_model.next_token_loss.gradients(logits, ids).args[0], expected, terms=terms, scale=1.0)


@points(0.25, "A batch holds windows of the text, as they stand there")
@rests_on("Windows data[s : s + context_length]")
@settings(max_examples=15)
@given(
    length=st.integers(2, 12), more=st.sampled_from([0, 1, 5, 40]), batch_size=st.sampled_from([1, 3, 17]), seed=seeds()
)
def test_windows(language_model, length, more, batch_size, seed):
    """As many rows as asked for, and as long, each a piece of the text; a text of one window has just that one."""
    text = torch.randperm(length + more, generator=torch.Generator().manual_seed(seed)) * 3 + 5  # no token twice
    generator = language_model.library("torch").Generator().manual_seed(seed)
    batch = language_model.sample_batch(text, batch_size, length, generator)
    windows = {tuple(window) for window in text.unfold(0, length, 1).tolist()}
    assert_equal(tuple(batch.shape), (batch_size, length))
    assert {tuple(row) for row in batch.tolist()} <= windows, "a row is no window of the text"


@points(0.25, "Windows of one token, and texts of another dtype")
@rests_on("`[batch_size, context_length]`, in the dtype of `data`.")
def test_small_windows(language_model):
    """A window may be as short as one token, and so may a batch. What comes back has the dtype of the text."""
    generator = language_model.library("torch").Generator().manual_seed(26)
    text = torch.tensor([7, 3, 9, 4], dtype=torch.int32)
    for batch_size, length in ((1, 1), (1, 4), (4, 1), (3, 3)):
        batch = language_model.sample_batch(text, batch_size, length, generator)
        assert_shape(batch, (batch_size, length), like=text)
        assert_dtype(batch, torch.int32)
        windows = {tuple(window) for window in text.unfold(0, length, 1).tolist()}
        assert {tuple(row) for row in batch.tolist()} <= windows, "a row is no window of the text"


@points(0.5, "Every start is equally probable, in each row for itself")
@rests_on("the starts s uniform over 0, ..., N - context_length")
def test_uniform_starts(language_model):
    """From the first start to the last, all come equally often, and what one row holds says nothing about the next.

    Of 3600 rows each of the 6 starts should have 600, and of their 1800 pairs each of 36 should have 50; six standard
    deviations more or less happen once in many millions of draws.
    """
    generator = language_model.library("torch").Generator().manual_seed(12)
    starts = language_model.sample_batch(torch.arange(10), 3600, 5, generator)[:, 0].numpy()
    counts = np.bincount(starts, minlength=6)
    pairs = np.bincount(starts[0::2] * 6 + starts[1::2], minlength=36)
    for found, draws in ((counts, 3600), (pairs, 1800)):
        mean = draws / len(found)
        deviation = (mean * (1 - 1 / len(found))) ** 0.5
        assert np.abs(found - mean).max() < 6 * deviation, "some starts come more often than others"


@points(0.5, "All chance comes from the generator")
@rests_on("in the same state it gives the same batch")
@settings(max_examples=5)
@given(seed=seeds())
def test_repeatable(language_model, seed):
    """The same state gives the same batch, whatever else drew numbers; the next state and other seeds give others."""
    library = language_model.library("torch")
    text, generator = torch.arange(500, 5000), library.Generator().manual_seed(seed)
    first, second = (language_model.sample_batch(text, 3, 6, generator) for _ in range(2))
    library.manual_seed(seed)
    again = language_model.sample_batch(text, 3, 6, generator=library.Generator().manual_seed(seed))
    library.manual_seed(seed)
    other = language_model.sample_batch(text, 3, 6, generator=library.Generator().manual_seed(seed + 1))
    assert_equal(again, first)
    assert not torch.equal(second, first), "the generator did not move on"
    assert not torch.equal(other, first), "another seed gave the same batch"
    alone = [language_model.sample_batch(text, 1, 1, library.Generator().manual_seed(seed)) for _ in range(2)]
    assert_equal(*alone)


def train_by_hand(table, batches, lr, momentum):
    """Gradient descent with momentum on a table whose rows are each token's logits: the table then, and the losses."""
    table, velocity, losses = table.double().numpy().copy(), 0.0, []
    for ids in batches:
        pairs = [pair for row in ids.tolist() for pair in pairwise(row)]
        log_p = scipy.special.log_softmax(table, axis=-1)
        losses.append(-sum(log_p[now, after] for now, after in pairs) / len(pairs))
        gradient = np.zeros_like(table)
        for now, after in pairs:
            gradient[now] += np.exp(log_p[now])
            gradient[now, after] -= 1
        velocity = momentum * velocity + gradient / len(pairs)
        table -= lr * velocity
    return torch.from_numpy(table), losses


@points(0.5, "One step of training is one step of the optimizer, from fresh gradients")
@rests_on("PyTorch *adds* gradients to those that are already there: clear them first.")
@pytest.mark.parametrize(("lr", "momentum"), [(0.5, 0.0), (3.0, 0.9)])
def test_train_step_values(language_model, lr, momentum):
    """Each step goes against the gradient of its own batch alone, as far as the optimizer says: clear old gradients."""
    library, size = language_model.library("torch"), 5
    table = torch.randn(size, size, generator=torch.Generator().manual_seed(13))
    table[2, 2] = -5.0
    model = library.nn.Embedding(size, size)  # the smallest language model: a token's logits are its row
    model.load_state_dict({"weight": table})
    optimizer = library.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    # The first batch, a token that repeats where that was thought impossible, has a gradient longer than 1.
    batches = [torch.full((2, 3), 2), *(some_ids(seed, 2, 4 + seed) % size for seed in range(4))]
    for ids in batches:
        language_model.train_step(model, optimizer, ids)
    expected, _ = train_by_hand(table, batches, lr, momentum)
    assert_close(model.state_dict()["weight"], expected.float(), terms=60)


@points(0.25, "A step returns the loss that it went down from, as a plain float")
@rests_on("the one whose gradient was used, from before the update")
def test_train_step_returns_the_loss(language_model):
    """The number is the batch's loss from before the update: a float, not a tensor that holds on to all behind it."""
    library, size = language_model.library("torch"), 6
    table = torch.randn(size, size, generator=torch.Generator().manual_seed(14)) * 20  # losses up to 40
    model = library.nn.Embedding(size, size)
    model.load_state_dict({"weight": table})
    optimizer = library.optim.SGD(model.parameters(), lr=2.0)
    batches = [some_ids(seed, 2, 5) % size for seed in (1, 2)]
    losses = [language_model.train_step(model, optimizer, ids) for ids in batches]
    assert_equal([type(loss) for loss in losses], [float, float])
    _, expected = train_by_hand(table, batches, 2.0, 0.0)
    assert_close(torch.tensor(losses), torch.tensor(expected, dtype=torch.float32), terms=40)


@points(0.25, "Three steps leave the weights that they leave in LlamaForCausalLM")
@rests_on("One update of the model on one batch.")
@pytest.mark.parametrize("tied", [False, True])
def test_training(language_model, tied):
    """The model, its loss and its training step together: all weights move, and as far as they should."""
    weights = weights_for(2, 2, 15, tied)
    model = language_model.MiniLlama(V, C, H, 2, F, 2, tie_embeddings=tied)
    model.load_state_dict(weights, strict=not tied)
    optimizer = language_model.library("torch").optim.SGD(model.parameters(), lr=0.1)
    original = reference(weights, 2, 2, tied=tied)
    descent = torch.optim.SGD(original.parameters(), lr=0.1)
    for seed in (16, 17, 18):
        ids = some_ids(seed)
        loss = original(ids, labels=ids).loss
        descent.zero_grad()
        loss.backward()
        descent.step()
        got = torch.as_tensor(language_model.train_step(model, optimizer, ids)).detach()
        assert_close(got, loss.detach(), terms=2 * TERMS)
    state = model.state_dict()
    for name, wanted in original.state_dict().items():
        if not (tied and name == "lm_head.weight"):
            assert_close(state[name.removeprefix("model.")], wanted, terms=2 * TERMS)
