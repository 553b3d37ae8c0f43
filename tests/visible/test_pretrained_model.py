"""A pretrained model, visible: what each function is for, on a tiny Llama that the tests bring with them."""

import numpy as np
import pytest
import torch
from tiny_checkpoint import END, WIDTH, tiny_checkpoint, tiny_logits, tiny_tokenizer

from autograder.isolation.near.remote import StudentError
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


def machine(cuda, mps):
    """What PyTorch says of a machine with or without these, in the ways in which one may ask."""
    which = torch.device("cuda") if cuda else torch.device("mps") if mps else None
    return {
        "torch.cuda.is_available": cuda,
        "torch.cuda.device_count": int(cuda),
        "torch.backends.mps.is_available": mps,
        "torch.accelerator.is_available": cuda or mps,
        "torch.accelerator.current_accelerator": which,
    }


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


@points(0.25, "The device is CUDA if there is CUDA, else MPS, else the CPU")
def test_device_of_this_machine(pretrained_model):
    """`best_device` asks PyTorch what this machine has.

    The tests pretend that it has an NVIDIA card, or an Apple chip, or both, or nothing.
    """
    for cuda, mps, expected in ((0, 0, "cpu"), (0, 1, "mps"), (1, 0, "cuda"), (1, 1, "cuda")):
        with pretrained_model.patched(machine(bool(cuda), bool(mps))):
            got = pretrained_model.best_device()
        if not isinstance(got, torch.device):
            raise Mismatch("it returned something else than a `torch.device`", got, torch.device(expected))
        assert_equal(got.type, expected)


@points(0.25, "float32 on the CPU, float16 on a graphics card")
def test_dtype_of_a_device(pretrained_model):
    """Half the bytes are nearly twice the speed on a graphics card, of any kind and number; a CPU wants float32."""
    for name in ("cpu", "cuda", "mps", "cuda:1"):
        expected = torch.float32 if name == "cpu" else torch.float16
        got = pretrained_model.best_dtype(torch.device(name))
        if got != expected:
            raise Mismatch(f"for {name} it returned {got} instead of {expected}", got, expected)


@points(0.5, "A model and its tokenizer come out of a folder")
def test_load_model(pretrained_model):
    """`load_model` returns the model, ready to answer on the device, and its tokenizer, and prints the device.

    Without a device it takes the best one. And where there is no model, the library's own error comes through.
    """
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
    output = model(torch.tensor([ids_of(PROMPT)]))
    if not isinstance(output, dict) or "logits" not in output:
        raise Mismatch("the model gives no logits: it is not a causal language model", None, None)
    # On "meta" tensors have a shape and a dtype, and no numbers: whoever moves the model there sees its weights move.
    for arguments, wanted in ((("meta",), "meta"), ((), "cuda")):
        try:
            with pretrained_model.patched(machine(cuda=True, mps=False)):
                model, _ = pretrained_model.load_model(tiny_checkpoint(), *map(torch.device, arguments))
                found = attribute(model, "device").type
        except StudentError:
            continue  # it tried to go where this machine cannot follow
        if found != wanted:
            raise Mismatch(f"the model is on {found} instead of {wanted}", None, None)
    with pytest.raises(StudentError):
        pretrained_model.load_model(f"{tiny_checkpoint()}/nothing", torch.device("cpu"))


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
    """Each new token is the most probable one after all before it, and the cache changes nothing in that.

    With it, only the newest token is fed; without it, all are. The end token that the model chooses ends the text, and
    one in the prompt does not. The answer comes without the prompt, decoded at once, without special tokens.
    """
    model, tokenizer = there(pretrained_model)
    ids = ids_of(PROMPT)
    new = []
    for _ in range(4):
        new.append(int(logits_here(ids + new)[-1].argmax()))
    for use_cache in (False, True):
        listener = pretrained_model.library("unittest.mock").Mock(return_value=None)
        hook = model.get_input_embeddings().register_forward_hook(listener)
        got = pretrained_model.generate_greedy(model, tokenizer, PROMPT, 4, use_cache=use_cache)
        hook.remove()
        assert_equal(got, text_of(new))
        heard = pretrained_model.library("builtins").getattr(listener, "call_args_list")
        fed = [embedded.shape[-2] for (_, _, embedded), _ in heard]  # each [..., T, C]
        most, least = (len(ids) + 4, 0) if use_cache else (10**6, sum(len(ids) + step for step in range(4)))
        if not least <= sum(fed) <= most:
            raise Mismatch(f"{sum(fed)} tokens were fed {'with' if use_cache else 'without'} the cache", None, None)
    tokens = tiny_tokenizer()
    for prompt in (" the cat sat", f" the cat{END} the dog", " the song café", "THE the sat"):
        ids, new = tokens.encode(prompt).ids, []
        while len(new) < 9 and (best := int(logits_here(ids + new)[-1].argmax())) != tokens.token_to_id(END):
            new.append(best)
        got = pretrained_model.generate_greedy(model, tokenizer, prompt, 9)
        assert_equal(got, tokens.decode(new, skip_special_tokens=True))


@points(0.5, "The surprisal of a token is minus the logarithm of its probability")
def test_token_surprisals(pretrained_model):
    """Right after the prompt, the model gave every token a probability; that of the token that came is what counts.

    Each token's is its probability after all that come before it. Prompt and completion are tokenized one by one.
    """
    model, tokenizer = there(pretrained_model)
    logits = logits_here(ids_of(PROMPT))[-1]
    for text in (" mat", "t"):  # one token each
        token = tiny_tokenizer().encode(text, add_special_tokens=False).ids
        pairs = pretrained_model.token_surprisals(model, tokenizer, PROMPT, text)
        assert_close(numbers(pairs), np.log(np.exp(logits).sum()) - logits[token], terms=TERMS)
        assert_equal(pairs[0][0], text)
    for prompt, completion in ((" the cat", " sat on the moon."), (" so", "ng")):
        before, after = ids_of(prompt), tiny_tokenizer().encode(completion, add_special_tokens=False).ids
        rows = logits_here(before + after)[len(before) - 1 : -1]
        expected = np.log(np.exp(rows).sum(-1)) - rows[range(len(after)), after]
        got = numbers(pretrained_model.token_surprisals(model, tokenizer, prompt, completion))
        assert_close(got, expected, terms=TERMS, scale=10.0)
