"""A pretrained model, visible: what each function is for, on a tiny Llama that the tests bring with them."""

import numpy as np
import pytest
import torch
from tiny_checkpoint import WIDTH, tiny_checkpoint, tiny_logits, tiny_tokenizer

from autograder.suites import Mismatch, assert_close, assert_equal, assert_shape, points

PROMPT = " the cat sat"
TERMS = 400  # roundings between the ids and a score; the hidden tests say where they come from


@pytest.fixture(scope="module")
def readable():
    """The folders that the exercise may read; all tests of an exercise share them."""
    return [tiny_checkpoint(), tiny_checkpoint(adds_start=False)]


def there(pretrained_model):
    """The tiny model and its tokenizer, made without `load_model`."""
    library = pretrained_model.library("transformers")
    model = library.AutoModelForCausalLM.from_pretrained(tiny_checkpoint(), dtype=torch.float32)
    return model, library.AutoTokenizer.from_pretrained(tiny_checkpoint())


def ids_of(text):
    """The text's tokens, with the one that begins every text."""
    return tiny_tokenizer().encode(text).ids


def logits_here(ids):
    """[T, V] for T ids."""
    return tiny_logits(ids).astype(np.float32)


def text_of(ids):
    """The text of some tokens."""
    return tiny_tokenizer().decode(ids, skip_special_tokens=False)


def numbers(pairs):
    """The second halves of pairs of a text and a number."""
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise Mismatch("it returned something else than a list of pairs (text, number)", pairs, None)
    return np.array([number for _, number in pairs], np.float32)


@points(0.25, "The device is CUDA if there is CUDA")
def test_device_of_this_machine(pretrained_model):
    """`best_device` asks PyTorch what this machine has. The tests pretend that it has an NVIDIA card, or nothing."""
    nothing = {"torch.cuda.is_available": False, "torch.backends.mps.is_available": False}
    for cuda, expected in ((True, "cuda"), (False, "cpu")):
        count = {"torch.cuda.device_count": int(cuda), "torch.accelerator.is_available": cuda}
        which = {"torch.accelerator.current_accelerator": torch.device("cuda") if cuda else None}
        with pretrained_model.pretending({**nothing, "torch.cuda.is_available": cuda, **count, **which}):
            got = pretrained_model.best_device()
        if not isinstance(got, torch.device):
            raise Mismatch("it returned something else than a `torch.device`", got, torch.device(expected))
        assert_equal(got.type, expected)


@points(0.25, "float32 on the CPU, float16 on a graphics card")
def test_dtype_of_a_device(pretrained_model):
    """Half the bytes are nearly twice the speed on a graphics card; a CPU is better off with float32."""
    for name, expected in (("cpu", torch.float32), ("cuda", torch.float16)):
        got = pretrained_model.best_dtype(torch.device(name))
        if got != expected:
            raise Mismatch(f"for {name} it returned {got} instead of {expected}", got, expected)


@points(0.5, "A model and its tokenizer come out of a folder")
def test_load_model(pretrained_model):
    """`load_model` returns the model, ready to answer on the device, and its tokenizer, and prints the device."""
    got = pretrained_model.load_model(tiny_checkpoint(), torch.device("cpu"))
    if not isinstance(got, tuple) or len(got) != 2 or not all(hasattr(part, "value") for part in got):
        raise Mismatch("it returned something else than the pair (model, tokenizer)", got, None)
    if "cpu" not in pretrained_model.output().lower():
        raise Mismatch("it did not print which device it chose", None, None)
    model, tokenizer = got
    attribute = pretrained_model.library("builtins").getattr
    assert_equal(attribute(model, "dtype"), torch.float32)
    assert_equal(attribute(model, "training"), False)
    assert_equal(tokenizer.encode(PROMPT), ids_of(PROMPT))


@points(0.5, "The head, applied by hand to the hidden states")
def test_hidden_states_and_logits(pretrained_model):
    """What comes out is what the model itself gives: hidden states [B, T, C] and logits [B, T, V]."""
    model, _ = there(pretrained_model)
    ids = torch.tensor([[1, 35, 38, 41], [1, 35, 7, 3]])
    hidden, logits = pretrained_model.hidden_states_and_logits(model, ids)
    assert_shape(hidden, (2, 4, WIDTH))
    assert_close(logits, torch.from_numpy(np.stack([logits_here(row) for row in ids.tolist()])), terms=TERMS)


@points(0.5, "The probabilities of all tokens sum to 1, the largest first")
def test_next_token_probabilities(pretrained_model):
    """Softmax runs over the whole vocabulary; asked for all of it, the function gives probabilities that sum to 1."""
    model, tokenizer = there(pretrained_model)
    probabilities = numbers(
        pretrained_model.next_token_probabilities(model, tokenizer, PROMPT, tiny_tokenizer().get_vocab_size())
    )
    assert_close(probabilities.sum(), np.float32(1), terms=TERMS)
    assert_equal(bool((np.diff(probabilities) <= 0).all()), True)
    pairs = pretrained_model.next_token_probabilities(model, tokenizer, PROMPT)
    assert_close(numbers(pairs), probabilities[:5], terms=TERMS)
    best = int(logits_here(ids_of(PROMPT))[-1].argmax())
    assert_equal(pairs[0][0], text_of([best]))


@points(0.5, "Greedy decoding, with the cache and without")
def test_generate_greedy(pretrained_model):
    """Each new token is the most probable one after all before it, and the cache changes nothing in that."""
    model, tokenizer = there(pretrained_model)
    ids = ids_of(PROMPT)
    new = []
    for _ in range(4):
        new.append(int(logits_here(ids + new)[-1].argmax()))
    for use_cache in (False, True):
        got = pretrained_model.generate_greedy(model, tokenizer, PROMPT, 4, use_cache=use_cache)
        assert_equal(got, text_of(new))


@points(0.5, "The surprisal of a token is minus the logarithm of its probability")
def test_token_surprisals(pretrained_model):
    """Right after the prompt, the model gave every token a probability; that of the token that came is what counts."""
    model, tokenizer = there(pretrained_model)
    logits = logits_here(ids_of(PROMPT))[-1]
    for text in (" mat", "t"):  # one token each
        token = tiny_tokenizer().encode(text, add_special_tokens=False).ids
        pairs = pretrained_model.token_surprisals(model, tokenizer, PROMPT, text)
        assert_close(numbers(pairs), np.log(np.exp(logits).sum()) - logits[token], terms=TERMS)
        assert_equal(pairs[0][0], text)
