"""A pretrained model, hidden: on a tiny Llama checkpoint, against the library's own forward pass over the whole text.

Rounding: between the ids and a logit lies a chain of sums. In each of the 2 blocks they run over 32 features (queries
and keys), up to 24 positions, 32 (output), 32 (gate) and 48 (down) features; then come 32 in the head. Together these
are fewer than 400 roundings (`TERMS`), of numbers no larger than the largest logit. Where the order of two numbers
matters, they are much further apart than that: `greedy_here` and `best_next_here` make sure.
"""

from functools import cache

import numpy as np
import pytest
import torch
from tiny_checkpoint import END, tiny_checkpoint

from autograder.isolation.near.remote import StudentError
from autograder.suites import Mismatch, assert_close, assert_equal, points, rests_on

TERMS = 400
CPU, META = torch.device("cpu"), torch.device("meta")  # tensors on "meta" have a shape and a dtype, and no numbers


@pytest.fixture(scope="module")
def readable():
    """One checkpoint whose tokenizer begins each text with a special token, and one whose tokenizer does not."""
    return [tiny_checkpoint(), tiny_checkpoint(adds_start=False)]


class There:
    """The model and its tokenizers on the other side, made without the submission."""

    def __init__(self, pretrained_model, device=CPU):
        self.library = pretrained_model.library("transformers")
        config = self.library.AutoConfig.from_pretrained(tiny_checkpoint())
        self.model = self.library.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        self.model.load_state_dict(dict(here()[0].state_dict()))  # faster than from the files
        self.model.eval()
        self.tokenizers = {}
        if device != CPU:
            self.model.to(device)

    def pair(self, adds_start=True):
        """The model, and the tokenizer that begins each text with a special token or the one that does not."""
        if adds_start not in self.tokenizers:
            self.tokenizers[adds_start] = self.library.AutoTokenizer.from_pretrained(tiny_checkpoint(adds_start))
        return self.model, self.tokenizers[adds_start]


def attribute(pretrained_model, thing, name):
    """An attribute's value. Asked of a library, so that a failure names the last call of the submission's own."""
    return pretrained_model.library("builtins").getattr(thing, name)


# --- The same model here, and what it says ---------------------------------------------------------------------------


@cache
def here(adds_start=True):
    """The model and its tokenizer on this side."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_checkpoint(adds_start)
    torch.set_num_threads(1)  # more only stand in each other's way in a model as small as this
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def logits_here(ids, adds_start=True):
    """[T, V] for T ids."""
    return here(adds_start)[0](torch.tensor([ids]), use_cache=False).logits[0].double()


@cache
def greedy_here(prompt, length, adds_start=True):
    """The ids of the continuation, which ends before the end token; the whole text goes through the model each time."""
    tokenizer = here(adds_start)[1]
    ids, new = tokenizer(prompt).input_ids, []
    while len(new) < length:
        values, best = logits_here(ids + new, adds_start)[-1].topk(2)
        assert values[0] - values[1] > 0.03, "the suite's own prompt has a near tie"
        if best[0] == tokenizer.eos_token_id:
            break
        new.append(int(best[0]))
    return new


def best_next_here(prompt, top_k, adds_start=True):
    """[(text, probability)], over the whole vocabulary."""
    tokenizer = here(adds_start)[1]
    probabilities = torch.softmax(logits_here(tokenizer(prompt).input_ids, adds_start)[-1], -1)
    values, ids = probabilities.topk(top_k + 1)
    assert (values[:-1] - values[1:]).min() > 7e-4, "the suite's own prompt has a near tie"
    return [(tokenizer.decode([i]), p) for i, p in zip(ids[:top_k].tolist(), values[:top_k].tolist(), strict=True)]


def surprisals_here(prompt, completion, adds_start=True, temperature=1.0):
    """[(text, -log p)], by PyTorch's cross-entropy."""
    tokenizer = here(adds_start)[1]
    before, after = tokenizer(prompt).input_ids, tokenizer(completion, add_special_tokens=False).input_ids
    logits = logits_here(before + after, adds_start)[len(before) - 1 : -1] / temperature
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(after), reduction="none")
    return [(tokenizer.decode([i]), loss) for i, loss in zip(after, losses.tolist(), strict=True)]


def assert_pairs(got, expected, scale=1.0):
    """Passes for a list of pairs of a text and a number: the expected texts and, up to rounding, the numbers."""
    if not isinstance(got, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in got):
        raise Mismatch("it returned something else than a list of pairs (text, number)", got, expected)
    if not all(isinstance(text, str) and isinstance(number, (float, np.floating)) for text, number in got):
        raise Mismatch("the pairs should hold a text (`str`) and a number (`float`)", got, expected)
    assert_equal([text for text, _ in got], [text for text, _ in expected])
    # They were computed in float32, and so were not exact to more than that.
    numbers = np.array([number for _, number in got], np.float32)
    assert_close(numbers, np.array([number for _, number in expected], np.float32), terms=TERMS, scale=scale)


# --- Device and dtype ------------------------------------------------------------------------------------------------


def machine(cuda, mps):
    """What PyTorch says of a machine with or without these: all ways in which one may ask."""
    accelerator = torch.device("cuda") if cuda else torch.device("mps") if mps else None
    answers = {
        "torch.cuda.is_available": cuda,
        "torch.cuda.device_count": int(cuda),
        "torch.cuda.current_device": 0,
        "torch.backends.cuda.is_built": cuda,
        "torch.backends.mps.is_available": mps,
        "torch.backends.mps.is_built": mps,
        "torch.mps.is_available": mps,
        "torch.mps.device_count": int(mps),
        "torch.accelerator.is_available": cuda or mps,
        "torch.accelerator.device_count": int(cuda or mps),
        "torch.accelerator.current_accelerator": accelerator,
    }
    return {name: answer for name, answer in answers.items() if _exists(name)}


def _exists(name):
    owner = torch
    for part in name.split(".")[1:]:
        owner = getattr(owner, part, None)
    return owner is not None


@points(0.5, "CUDA before MPS before the CPU, whatever the machine has")
@rests_on("The fastest kind of device here: CUDA, else MPS, else the CPU.")
def test_best_device(pretrained_model):
    """Ask for CUDA first, then for MPS; the CPU is for machines that have neither. The result is a `torch.device`."""
    for cuda, mps, expected in ((0, 0, "cpu"), (0, 1, "mps"), (1, 0, "cuda"), (1, 1, "cuda")):
        with pretrained_model.patched(machine(bool(cuda), bool(mps))):
            got = pretrained_model.best_device()
        if not isinstance(got, torch.device):
            raise Mismatch("it returned something else than a `torch.device`", got, torch.device(expected))
        assert_equal(got.type, expected)


@points(0.25, "float16 on every device but the CPU")
@rests_on("float16 off the CPU, float32 on it")
def test_best_dtype(pretrained_model):
    """Only the CPU computes in float32. Every other kind of device gets float16, also one with a number (`cuda:1`)."""
    for name in ("cpu", "cuda", "mps", "cuda:1", "mps:0", "xpu"):
        expected = torch.float32 if name == "cpu" else torch.float16
        got = pretrained_model.best_dtype(torch.device(name))
        if got != expected:
            raise Mismatch(f"for one device it returned {got} instead of {expected}", got, expected)


# --- Loading ---------------------------------------------------------------------------------------------------------


def load(pretrained_model, *args, **kwargs):
    """`load_model`, and that it returned two things that live over there."""
    got = pretrained_model.load_model(*args, **kwargs)
    if not isinstance(got, (list, tuple)) or len(got) != 2 or not all(hasattr(part, "value") for part in got):
        raise Mismatch("it returned something else than the pair (model, tokenizer)", got, None)
    return got


def place(pretrained_model, model):
    """The device and the dtype of the model's weights."""
    return attribute(pretrained_model, model, "device"), attribute(pretrained_model, model, "dtype")


@points(0.5, "The loaded model computes what its files say")
@rests_on("The model (in eval mode, in `best_dtype(device)`, on `device`) and its tokenizer.")
def test_loads_the_model(pretrained_model):
    """The model with its head, in eval mode, on the CPU in float32 whatever the files hold; and its own tokenizer."""
    text = " the dog, a café."
    for adds_start in (True, False):
        model, tokenizer = load(pretrained_model, tiny_checkpoint(adds_start), CPU)
        assert_equal(place(pretrained_model, model), (CPU, torch.float32))
        if attribute(pretrained_model, model, "training"):
            raise Mismatch("the model is in training mode", None, None)
        ids = here(adds_start)[1](text).input_ids
        assert_equal(tokenizer.encode(text), ids)
        output = model(torch.tensor([ids]))
        if not isinstance(output, dict) or "logits" not in output:
            raise Mismatch("the model gives no logits: it is not a causal language model", None, None)
        assert_close(output["logits"][0], logits_here(ids, adds_start).float(), terms=TERMS)


@points(0.25, "On another device than the CPU the weights are float16")
@rests_on("The model (in eval mode, in `best_dtype(device)`, on `device`) and its tokenizer.")
def test_device_is_used(pretrained_model):
    """`device` says where the model goes, and its weights take the dtype that is best there."""
    try:
        model, _ = load(pretrained_model, tiny_checkpoint(), device=META)
    except StudentError as error:
        if "meta" not in error.failure.message:  # some ways to load refuse this device of the tests' and are right
            raise
    else:
        assert_equal(place(pretrained_model, model), (META, torch.float16))


@points(0.25, "Without a device, the best one is taken")
@rests_on("device: where to put the model; `best_device()` if None.")
def test_default_device(pretrained_model):
    """No `device` means `best_device()`: the accelerator where there is one, the CPU where there is nothing else."""
    with pretrained_model.patched(machine(cuda=False, mps=False)):
        model, _ = load(pretrained_model, tiny_checkpoint())
        assert_equal(place(pretrained_model, model), (CPU, torch.float32))
    for kind in ("cuda", "mps"):
        with pretrained_model.patched(machine(cuda=kind == "cuda", mps=kind == "mps")):
            try:
                model, _ = load(pretrained_model, tiny_checkpoint())
                found = attribute(pretrained_model, model, "device").type
            except StudentError:
                continue  # it believed the machine and tried, and there is no such device here
        if found != kind:
            raise Mismatch(f"the model is on {found}, and the machine has {kind}", found, kind)


@points(0.25, "It says which device it chose")
@rests_on("prints the device that it chose")
def test_says_the_device(pretrained_model):
    """`load_model` prints the device that the model goes to, which is not always the best one."""
    for device in (CPU, META):
        try:
            load(pretrained_model, tiny_checkpoint(), device)
        except StudentError as error:
            if "meta" not in error.failure.message:
                raise
        if device.type not in pretrained_model.output().lower():
            raise Mismatch("it did not print the name of the device that it was given", None, None)


@points(0.25, "A folder without a model is an error that says so")
@rests_on("It is the library's own error, and says what it looked for.")
def test_no_model(pretrained_model):
    """Let the library's own error through: a `None` in place of a model fails later, where nobody knows why."""
    load(pretrained_model, tiny_checkpoint(), CPU)
    try:
        got = pretrained_model.load_model(f"{tiny_checkpoint()}/nothing", CPU)
    except StudentError as error:
        if "Exit" in error.failure.type_name or len(error.failure.message.split()) < 2:
            raise Mismatch(
                f"it raised {error.failure.type_name}, which does not say what is wrong", None, None
            ) from None
    else:
        raise Mismatch("it returned something although there is no model", got, None)


# --- Hidden states and logits ----------------------------------------------------------------------------------------

BATCHES = [
    torch.from_numpy(np.random.RandomState(sum(shape)).randint(0, 67, shape)) for shape in ((1, 1), (2, 3), (3, 7))
]


@points(0.25, "The hidden states are the decoder's last, after its final norm")
@rests_on("The decoder's last hidden states, after its final norm, `[B, T, C]`")
def test_hidden_states(pretrained_model):
    """The first result is the decoder's `last_hidden_state`, for every text and every position: [B, T, C]."""
    model, _ = There(pretrained_model).pair()
    for ids in BATCHES:
        with torch.no_grad():
            expected = here()[0].model(ids).last_hidden_state
        hidden, _ = pretrained_model.hidden_states_and_logits(model, ids)
        assert_close(hidden, expected, terms=TERMS)


@points(0.25, "The head turns every hidden state into scores for all tokens")
@rests_on("and the logits, `[B, T, V]`")
def test_logits(pretrained_model):
    """The second result is the head applied to the hidden states, for every text and every position: [B, T, V]."""
    model, _ = There(pretrained_model).pair()
    for ids in BATCHES:
        with torch.no_grad():
            expected = here()[0](ids, use_cache=False).logits
        _, logits = pretrained_model.hidden_states_and_logits(model, ids)
        assert_close(logits, expected, terms=TERMS)


# --- The next token --------------------------------------------------------------------------------------------------

NEXT = ((True, "a sat dog", 7), (True, "a sun mat", 3), (False, "a sat sun", 8), (False, "a song cold", 1))


@points(0.5, "The most probable next tokens, and how probable they are")
@rests_on("the most probable first")
def test_next_token(pretrained_model):
    """The last position's scores, through softmax over the whole vocabulary; the best first.

    Each comes with the text that `tokenizer.decode` gives for it alone. The prompt goes through the tokenizer as it is,
    with whatever special token that adds.
    """
    there = There(pretrained_model)
    for adds_start, prompt, top_k in NEXT:
        model, tokenizer = there.pair(adds_start)
        got = pretrained_model.next_token_probabilities(model, tokenizer, prompt, top_k=top_k)
        assert_pairs(got, best_next_here(prompt, top_k, adds_start))
    model, tokenizer = there.pair()
    got = pretrained_model.next_token_probabilities(model, tokenizer, NEXT[0][1])
    assert_pairs(got, best_next_here(NEXT[0][1], 5))
    vocabulary = here()[0].config.vocab_size
    everything = pretrained_model.next_token_probabilities(model, tokenizer, NEXT[0][1], vocabulary)
    probabilities = np.array([p for _, p in everything], np.float32)
    expected = torch.softmax(logits_here(here()[1](NEXT[0][1]).input_ids)[-1], -1).sort(descending=True).values
    assert_close(probabilities, expected.float().numpy(), terms=TERMS)


# --- Generation ------------------------------------------------------------------------------------------------------

# Does the tokenizer begin each text with a special token? And the prompt.
ORDINARY = ((True, " the mat sat"), (True, " the on the"), (False, " the sun on"))
ENDING = ((True, " the cat sat"), (True, " the on sat"), (False, " the sang sang"))
MARKED = ((True, f" the cat{END} the dog"), (False, f" the moon{END} the sat"))  # an end in the middle of the prompt
SPECIAL = ((True, " the song café"), (False, " the mat on"))  # special tokens in the answer
AWKWARD = ((True, "THE the sat"), (False, " the sang café"))  # letters that the tokenizer drops; é in two pieces


def assert_continues(pretrained_model, cases, lengths=(9,), **kwargs):
    """Passes when each prompt is continued as it should be, by as many tokens as asked for."""
    there = There(pretrained_model)
    for adds_start, prompt in cases:
        model, tokenizer = there.pair(adds_start)
        for length in lengths:
            got = pretrained_model.generate_greedy(model, tokenizer, prompt, length, **kwargs)
            expected = here(adds_start)[1].decode(greedy_here(prompt, length, adds_start), skip_special_tokens=True)
            assert_equal(got, expected)


@points(0.25, "The most probable token, again and again")
@rests_on("Take the most probable token, append it, and ask again")
def test_greedy(pretrained_model):
    """Each new token is the most probable one after all tokens before it: those of the prompt and the new ones."""
    assert_continues(pretrained_model, ORDINARY)


@points(0.25, "The same text without the cache")
@rests_on("The text is the same with and without.")
def test_greedy_without_cache(pretrained_model):
    """`use_cache=False` costs time and changes nothing in the text."""
    assert_continues(pretrained_model, ORDINARY[1:], use_cache=False)


@points(0.25, "With the cache only the newest token is fed, without it the whole text")
@rests_on("With it only the newest token, `[1, 1]`, goes through the 30 blocks.")
def test_what_is_fed(pretrained_model):
    """The cache knows all tokens that were fed, so each goes through the model once. Without it, all go, every time."""
    prompt, steps = ORDINARY[0][1], 8
    length = len(here()[1](prompt).input_ids)
    for use_cache in (True, False):
        # What goes through the embedding goes through the model; a mock that listens there counts it.
        model, tokenizer = There(pretrained_model).pair()
        listener = pretrained_model.library("unittest.mock").Mock(return_value=None)
        model.get_input_embeddings().register_forward_hook(listener)
        choice = {} if use_cache else {"use_cache": False}  # the cache is what one gets without asking
        got = pretrained_model.generate_greedy(model, tokenizer, prompt, steps, **choice)
        assert_equal(got, here()[1].decode(greedy_here(prompt, steps)))
        heard = attribute(pretrained_model, listener, "call_args_list")
        fed = [embedded.shape[-2] for (_, _, embedded), _ in heard]  # each [..., T, C]
        if use_cache and sum(fed) > length + steps:
            raise Mismatch("with the cache, tokens were fed that the cache knows already", None, None)
        if use_cache and sum(fed) < length + steps - 1:  # ids that go another way than through the embedding
            raise Mismatch("with the cache, fewer tokens were heard than the text has", None, None)
        if not use_cache and sum(fed) < sum(length + step for step in range(steps)):
            raise Mismatch("without the cache, less than the whole text was fed at some step", None, None)


@points(0.25, "It stops before the end-of-sequence token")
@rests_on("It ends before the end-of-sequence token.")
def test_stops(pretrained_model):
    """The end token that the model chooses ends the text, also if it is the first; one inside the prompt does not."""
    assert_continues(pretrained_model, (*ENDING, *MARKED))


@points(0.25, "At most as many tokens as asked for")
@rests_on("stop after this many tokens; 0 gives the empty text")
def test_max_new_tokens(pretrained_model):
    """`max_new_tokens` counts new tokens, not those of the prompt; none is allowed, too."""
    assert_continues(pretrained_model, ORDINARY[:1], lengths=(0, 1, 3, 10))


@points(0.25, "The continuation alone, without special tokens")
@rests_on("The continuation alone, without special tokens.")
def test_only_the_continuation(pretrained_model):
    """All new tokens are decoded together, without the prompt's, and with `skip_special_tokens=True`.

    Cutting as many letters as the prompt has off the text does not do: a tokenizer may drop some of them. Nor does
    decoding each token alone: a letter may take two.
    """
    assert_continues(pretrained_model, (*SPECIAL, *AWKWARD))


# --- Surprisals ------------------------------------------------------------------------------------------------------


def assert_surprises(pretrained_model, cases):
    """Passes when each completion's tokens surprise as much as they should, with both tokenizers."""
    there = There(pretrained_model)
    for adds_start in (True, False):
        model, tokenizer = there.pair(adds_start)
        for prompt, completion in cases:
            got = pretrained_model.token_surprisals(model, tokenizer, prompt, completion)
            assert_pairs(got, surprisals_here(prompt, completion, adds_start), scale=10.0)


@points(0.5, "How much each token of a completion surprises the model")
@rests_on("-ln p(c_i | prompt, c_1 ... c_{i-1}) for each token c_i of the completion")
def test_surprisals(pretrained_model):
    """-log p of each completion token, given all tokens before it. The scores for it stand at the position before."""
    cases = (
        (" the cat", " sat on the moon."),
        ("the dog, the", ", the cat"),
        (" the sun", " sang on mat"),
    )
    assert_surprises(pretrained_model, cases)


@points(0.25, "Prompt and completion are tokenized one by one")
@rests_on("Its tokens follow the prompt's, and get no special tokens of their own.")
def test_boundary(pretrained_model):
    """The completion's tokens are those that it has alone: no special ones, and none melted with the prompt's end."""
    assert_surprises(pretrained_model, ((" the ca", "t sat"), (" so", "ng"), ("caf", "é.")))


@points(0.25, "A surprise of hundreds of nats is a number, too")
@rests_on("a number however small the probability is")
def test_large_surprisals(pretrained_model):
    """A probability can be too small for a float, and its logarithm is still a number: take the log-softmax."""
    model, tokenizer = There(pretrained_model).pair()
    louder = {"weight": here()[0].lm_head.weight.detach() * 64}  # a power of two: all scores times 64, exactly
    model.get_output_embeddings().load_state_dict(louder)
    got = pretrained_model.token_surprisals(model, tokenizer, " the cat", " sang on, café")
    assert_pairs(got, surprisals_here(" the cat", " sang on, café", temperature=1 / 64), scale=640.0)


# --- Where the model is ----------------------------------------------------------------------------------------------


@points(0.25, "The ids go to the device that the model is on")
@rests_on("two tensors can only meet on the same one")
def test_ids_follow_the_model(pretrained_model):
    """A tokenizer gives ids on the CPU. On another device the model cannot read them: send them to `model.device`."""
    prompt = NEXT[0][1]
    calls = {
        "next_token_probabilities": (prompt, 3),
        "generate_greedy": (prompt, 2),
        "token_surprisals": (prompt, " cat"),
    }
    model, tokenizer = There(pretrained_model).pair()
    works = [name for name in calls if _returns(pretrained_model, name, model, tokenizer, *calls[name])]
    if not works:
        raise Mismatch("none of the functions that take a prompt works", None, None)
    model, _ = There(pretrained_model, META).pair()
    listener = pretrained_model.library("unittest.mock").Mock(return_value=None)
    model.get_input_embeddings().register_forward_pre_hook(listener)
    for name in works:
        listener.reset_mock()
        _returns(pretrained_model, name, model, tokenizer, *calls[name])  # it cannot: no numbers are on this device
        for (_, ids), _ in attribute(pretrained_model, listener, "call_args_list"):
            # A tensor without numbers does not travel; one that came here has some, and so was on the CPU.
            if ids and isinstance(ids[0], torch.Tensor):
                raise Mismatch(f"`{name}` left the ids on the CPU and the model is elsewhere", None, None)


def _returns(pretrained_model, name, *arguments):
    try:
        getattr(pretrained_model, name)(*arguments)
    except StudentError:
        return False
    return True
