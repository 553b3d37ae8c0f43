"""A small Llama, visible: the worked examples, and the few properties that say what is meant."""

import plain_llama
import torch

from autograder.suites import assert_close, assert_equal, assert_shape, points

TEXT = torch.arange(0, 100, 10)  # each token says where it stands


@points(0.5, "The model has the names and shapes of Llama's files")
def test_names(language_model):
    """A file's weights find their place by name: each block is a part of `layers`, with weights of its own."""
    model = language_model.MiniLlama(11, 8, 2, 2, 20, num_kv_heads=1)
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    block = {
        "input_layernorm.weight": [8],
        "mlp.down_proj.weight": [8, 20],
        "mlp.gate_proj.weight": [20, 8],
        "mlp.up_proj.weight": [20, 8],
        "post_attention_layernorm.weight": [8],
        "self_attn.k_proj.weight": [4, 8],
        "self_attn.o_proj.weight": [8, 8],
        "self_attn.q_proj.weight": [8, 8],
        "self_attn.v_proj.weight": [4, 8],
    }
    layers = {f"layers.{number}.{name}": shape for number in (0, 1) for name, shape in block.items()}
    ends = {"embed_tokens.weight": [11, 8], "norm.weight": [8], "lm_head.weight": [11, 8]}
    assert_equal(dict(sorted(shapes.items())), dict(sorted({**layers, **ends}.items())))


@points(0.5, "One score for each token of the vocabulary, with the weights of every part")
def test_logits(language_model):
    """The result is [B, T, V]; when the last tokens change, the logits of the positions before them stay the same.

    The embedding, then each block in its order, then the last norm, then the head. Every block and norm has its own
    weights, and the `base` and `eps` that the model was given.
    """
    model = language_model.MiniLlama(11, 8, 2, 2, 20)
    ids = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    logits = model(ids)
    assert_shape(logits, (2, 5, 11), like=logits)
    changed = torch.tensor([[3, 1, 4, 0, 0], [9, 2, 6, 10, 10]])
    assert_close(model(changed)[:, :3], logits[:, :3], terms=20)
    model, generator = (
        language_model.MiniLlama(11, 8, 2, 2, 20, 1, base=50.0, eps=0.5),
        torch.Generator().manual_seed(0),
    )
    shapes = {name: old.shape for name, old in model.state_dict().items()}
    weights = {name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5 for name, shape in shapes.items()}
    model.load_state_dict(weights)
    plain = {name: weight.double().numpy() for name, weight in weights.items()}
    expected = plain_llama.logits(plain, ids[0].tolist(), 2, base=50.0, eps=0.5)
    assert_close(model(ids)[0], torch.from_numpy(expected), terms=400)


@points(0.5, "The loss: the worked example comes out")
def test_loss_example(language_model):
    """Logits at position t are about token t + 1, so those of the last position do not count. The mean, not the sum.

    Each text is shifted by itself, and every token counts, number 0 too. A loss of 1000 is a number like any other.
    """
    logits = torch.tensor([[[0.0, 1.0986123], [0.0, 0.0], [5.0, -5.0]]])
    loss = language_model.next_token_loss(logits, torch.tensor([[0, 1, 1]]))
    assert_close(loss, torch.tensor(0.4904146), terms=6)
    logits = torch.tensor([[[0.0, 1.0986123], [0.0, 0.0]], [[0.0, 1000.0], [0.0, 0.0]]])
    loss = language_model.next_token_loss(logits, torch.tensor([[0, 1], [1, 0]]))
    assert_close(loss, torch.tensor((0.2876821 + 1000) / 2), terms=6)


@points(0.5, "A batch is made of windows of the text, and any start can come")
def test_windows(language_model):
    """Each row is a piece of the text as it stands there; in 10 tokens 7 windows of length 4 begin, at 0 up to 6."""
    generator = language_model.library("torch").Generator().manual_seed(0)
    batch = language_model.sample_batch(TEXT, 300, 4, generator)
    assert_shape(batch, (300, 4), like=batch)
    assert_equal(batch, batch[:, :1] + torch.arange(0, 40, 10))
    assert_equal(sorted(set(batch[:, 0].tolist())), [0, 10, 20, 30, 40, 50, 60])


@points(0.5, "The same generator state gives the same batch")
def test_repeatable(language_model):
    """All chance comes from the generator. From its next state, another batch comes."""
    generator = language_model.library("torch").Generator().manual_seed(3)
    text = torch.arange(1000)
    first = language_model.sample_batch(text, 4, 5, generator)
    assert not torch.equal(language_model.sample_batch(text, 4, 5, generator), first), (
        "the second batch is the first again"
    )
    generator.manual_seed(3)
    assert_equal(language_model.sample_batch(text, 4, 5, generator), first)


@points(0.25, "A step clears the gradients, and goes down the loss once")
def test_one_step(language_model):
    """A table of logits is the smallest language model. Three steps change it as three steps of plain descent do.

    The loss that comes back is the one from before the update.
    """
    library = language_model.library("torch")
    model = library.nn.Embedding(3, 3)
    model.load_state_dict({"weight": torch.zeros(3, 3)})
    optimizer = library.optim.SGD(model.parameters(), lr=1.0)
    table = torch.zeros(3, 3, requires_grad=True)
    for ids in ([[0, 1, 2]], [[2, 1, 1]], [[0, 1, 2]]):
        loss = torch.nn.functional.cross_entropy(table[ids[0][:-1]], torch.tensor(ids[0][1:]))
        got = language_model.train_step(model, optimizer, torch.tensor(ids))
        assert_close(got, loss.item(), digits=5)
        (slope,) = torch.autograd.grad(loss, table)
        table = (table - slope).detach().requires_grad_()
    assert_close(model.state_dict()["weight"], table.detach(), digits=5)


@points(0.25, "Step after step, the loss falls, for tied embeddings too")
def test_training(language_model):
    """Trained on one batch over and over, the model learns it by heart. `train_step` returns the loss as a float.

    Tied embeddings are one parameter with two names: they stay one, and the table learns.
    """
    model = language_model.MiniLlama(11, 8, 2, 2, 20)
    optimizer = language_model.library("torch").optim.AdamW(model.parameters(), lr=0.02)
    ids = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]])
    table = model.state_dict()["embed_tokens.weight"]
    losses = [language_model.train_step(model, optimizer, ids) for _ in range(25)]
    assert not torch.equal(model.state_dict()["embed_tokens.weight"], table), "the embeddings did not learn"
    assert_equal({type(loss) for loss in losses}, {float})
    assert losses[-1] < losses[0] / 2, f"the loss began at {losses[0]:.3f} and after 25 steps it is {losses[-1]:.3f}"
    model = language_model.MiniLlama(11, 8, 2, 1, 20, tie_embeddings=True)
    optimizer = language_model.library("torch").optim.AdamW(model.parameters(), lr=0.02)
    language_model.train_step(model, optimizer, ids)
    plain = {name: weight.double().numpy() for name, weight in model.state_dict().items()}
    plain["lm_head.weight"] = plain["embed_tokens.weight"]
    assert_close(model(ids)[0], torch.from_numpy(plain_llama.logits(plain, ids[0].tolist(), 2)), terms=400)
