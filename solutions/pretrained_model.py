# %% [markdown]
# # A pretrained model on the best device
#
# Everything that you built so far, somebody has trained. In this last exercise you load a real language model,
# SmolLM2-135M: 135 million weights, 30 blocks like your Llama block, a vocabulary of 49,152 tokens made by byte-pair
# encoding. You put it on the fastest device that you have, read its mind, let it speak, and catch it making things up.
#
# **What a causal language model computes.** Token ids go in, `[B, T]`. The *decoder* turns them into hidden states
# `h`, `[B, T, C]`; the *language-model head*, one matrix `W` of `[V, C]`, turns each hidden state into a score (logit)
# for each of the `V` tokens of the vocabulary, and softmax turns the scores into probabilities:
#
# $$p(\text{next} = v \mid x_1 \dots x_t) = \mathrm{softmax}(W h_t)_v$$
#
# Position $t$ knows $x_1 \dots x_t$ and predicts $x_{t+1}$: one pass predicts the token after *every* position.
#
# **A worked example.** After "The capital of France is", SmolLM2 gives " Paris" the probability 0.77, " the" 0.06 and
# " London" 0.01. (The space belongs to the token.) The *surprisal* of " Paris" is $-\ln 0.77 = 0.26$ nats. That of
# " Berlin", whose probability is 0.001, is 6.9. (These are the numbers of the weights rounded to 4 bits; with the
# originals they differ a little.)
#
# **Shapes.** `B` texts, `T` tokens, `C` features (576 in SmolLM2), `V` tokens in the vocabulary.
#
# The model is Ben Allal et al., *SmolLM2: When Smol Goes Big*, 2025; its architecture is that of Llama (Touvron et al.
# 2023). Run `make model` once to have it here. The tests of this exercise need no model: they bring a tiny one.

# %%
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

# %% [markdown]
# ## Step 1: the best device
#
# A graphics card does thousands of multiplications at once. PyTorch calls NVIDIA's cards (and AMD's) `cuda`, Apple's
# `mps`, and the processor that every computer has `cpu`. A tensor lives on one device, and two tensors can only meet on
# the same one.


# %%
def best_device() -> torch.device:
    """The fastest kind of device here: CUDA, else MPS, else the CPU.

    Returns:
        `torch.device("cuda")`, `torch.device("mps")` or `torch.device("cpu")`.
    """
    # The kind's name: "cuda", "mps" or "cpu".
    name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"  # FINISH ME
    return torch.device(name)


# %% [markdown]
# ## Step 2: the best dtype
#
# Writing one token means reading every weight once, so half the bytes is nearly twice the speed: 135 million weights
# are 538 MB in float32 and 269 MB in float16. Graphics cards compute in float16 at full speed. Most CPUs do not, so
# there float32 stays.


# %%
def best_dtype(device: torch.device) -> torch.dtype:
    """The dtype for a model's weights on a device: float16 off the CPU, float32 on it.

    Args:
        device: any device, with a number (`cuda:1`) or without.
    """
    # The dtype, whatever number the device has.
    return torch.float32 if device.type == "cpu" else torch.float16  # FINISH ME


# %% [markdown]
# ## Step 3: load the model
#
# `from_pretrained` takes a folder, or the name of a model on the Hugging Face hub, and finds out which architecture it
# is. The tokenizer comes from the same place: another model's tokenizer gives ids that mean nothing to this one.
#
# *Eval mode* switches off what is only for training, such as dropout. `from_pretrained` already returns models this
# way; calling `.eval()` makes sure.


# %%
def load_model(model_id: str, device: torch.device | str | None = None) -> tuple[nn.Module, Any]:
    """Loads a causal language model and its tokenizer, ready to answer, and prints the device that it chose.

    Args:
        model_id: a local folder, or a name on the Hugging Face hub such as `HuggingFaceTB/SmolLM2-135M-Instruct`.
        device: where to put the model; `best_device()` if None.

    Returns:
        The model (in eval mode, in `best_dtype(device)`, on `device`) and its tokenizer.

    Raises:
        OSError: there is no model of this name. It is the library's own error, and says what it looked for.
    """
    device = best_device() if device is None else torch.device(device)
    print(f"Loading {model_id} on {device}, in {best_dtype(device)}.")
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    # The model: in the right dtype, on the device, in eval mode.
    model = AutoModelForCausalLM.from_pretrained(model_id, dtype=best_dtype(device)).to(device).eval()  # FINISH ME
    return model, tokenizer


# %% [markdown]
# ## Step 4: hidden states, and the head by hand
#
# `print(model)` shows two parts: the decoder, `model.base_model` (in a Llama it is also called `model.model`), and the
# head, `model.get_output_embeddings()` (in a Llama, `model.lm_head`). Call them one after the other, and you have done
# by hand what `model(input_ids).logits` does.
#
# `@torch.no_grad()` tells PyTorch not to remember the way for gradients: nobody trains here, and that saves memory.


# %%
@torch.no_grad()
def hidden_states_and_logits(model: nn.Module, input_ids: Tensor) -> tuple[Tensor, Tensor]:
    """`h = decoder(x)` and `logits = W h`

    Args:
        model: a causal language model.
        input_ids: `[B, T]`, integers.

    Returns:
        The decoder's last hidden states, after its final norm, `[B, T, C]`, and the logits, `[B, T, V]`.
    """
    # What the decoder gives, after its final norm: [B, T, C].
    hidden = model.base_model(input_ids).last_hidden_state  # FINISH ME
    # The head's scores at every position: [B, T, V].
    logits = model.get_output_embeddings()(hidden)  # FINISH ME
    return hidden, logits


# %% [markdown]
# ## Step 5: what comes next?
#
# The row of the *last* position predicts the token that does not exist yet. Its softmax runs over the whole vocabulary;
# only then do we look at the best few. In float16 small probabilities lose their digits, so make the scores float32
# first.


# %%
@torch.no_grad()
def next_token_probabilities(model: nn.Module, tokenizer: Any, prompt: str, top_k: int = 5) -> list[tuple[str, float]]:
    """The `top_k` most probable next tokens, p(v) = softmax(logits at the last position)_v

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompt: the text so far. The tokenizer may begin it with a special token; some models expect that.
        top_k: how many tokens to return.

    Returns:
        Pairs of a token's text, `tokenizer.decode([id])`, and its probability, the most probable first.
    """
    input_ids = tokenizer(prompt, return_tensors="pt").input_ids.to(model.device)  # [1, T], where the model is
    logits = model(input_ids).logits  # [1, T, V]
    # The probabilities of what comes after the text: [V].
    probabilities = logits[0, -1].float().softmax(dim=-1)  # FINISH ME
    best = probabilities.topk(top_k)  # the largest, in order: values [top_k] and indices [top_k]
    texts = [tokenizer.decode([token]) for token in best.indices.tolist()]
    return list(zip(texts, best.values.tolist(), strict=True))


# %% [markdown]
# ## Step 6: let it speak
#
# Take the most probable token, append it, and ask again: *greedy decoding*. Models end a text with a token of its own,
# the end-of-sequence token, and there we stop.
#
# At each step, attention needs the keys and values of all tokens so far, and those of the old tokens are the same as
# at the step before. So the model can keep them: `cache`, the *key-value cache*, which has an exercise of its own.
# (Programs older than transformers 5.24 call it `past_key_values`.) With it only the newest token, `[1, 1]`, goes
# through the 30 blocks. Without it all go, at each step anew.


# %%
@torch.no_grad()
def generate_greedy(model: nn.Module, tokenizer: Any, prompt: str, max_new_tokens: int, use_cache: bool = True) -> str:
    """x_{t+1} = argmax_v p(v | x_1 ... x_t), again and again

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompt: the text to continue.
        max_new_tokens: stop after this many tokens; 0 gives the empty text.
        use_cache: whether to keep keys and values. The text is the same with and without.

    Returns:
        The continuation alone, without special tokens. It ends before the end-of-sequence token.
    """
    ids = tokenizer(prompt, return_tensors="pt").input_ids.to(model.device)  # [1, T]
    prompt_length = ids.shape[1]
    cache = None  # the keys and values of every token that was fed
    for _ in range(max_new_tokens):
        # What the model does not know yet.
        fed = ids if cache is None else ids[:, -1:]  # FINISH ME
        output = model(fed, cache=cache, use_cache=use_cache)
        cache = output.cache if use_cache else None
        newest = output.logits[:, -1].argmax(dim=-1, keepdim=True)  # [1, 1]
        if newest.item() == tokenizer.eos_token_id:
            break
        ids = torch.cat([ids, newest], dim=1)  # [1, T + 1]
    return tokenizer.decode(ids[0, prompt_length:], skip_special_tokens=True)


# %% [markdown]
# ## Step 7: where does it make things up?
#
# How much did a text surprise the model? The *surprisal* of a token is $-\ln p(\text{token} \mid \text{all before})$,
# in nats: 0 for what had to come, $\ln V$ = 10.8 for a blind guess among SmolLM2's tokens. It is the cross-entropy
# loss of that one token.
#
# A date or a name with a large surprisal is one that the model would not have said itself. That helps to spot what it
# makes up. But it is the model's opinion, not the truth: "Water is made of hydrogen and" surprises SmolLM2 more with
# " oxygen" (1.76 nats) than with " helium" (0.85).
#
# The tokens of the prompt come first, then those of the completion. Row `t` of the logits predicts token `t + 1`:
#
# | position | 0 | 1 | 2 | 3 | 4 | 5 | 6 |
# | --- | --- | --- | --- | --- | --- | --- | --- |
# | token | The | capital | of | France | is | Paris | . |
# | its row predicts | capital | of | France | is | **Paris** | **.** | ? |
#
# So the two tokens of the completion are predicted by rows 4 and 5: from the prompt's last row to the last row but one.


# %%
@torch.no_grad()
def token_surprisals(model: nn.Module, tokenizer: Any, prompt: str, completion: str) -> list[tuple[str, float]]:
    """-ln p(c_i | prompt, c_1 ... c_{i-1}) for each token c_i of the completion

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompt: the text before, at least one token.
        completion: the text to judge. Its tokens follow the prompt's, and get no special tokens of their own.

    Returns:
        Pairs of a token's text, `tokenizer.decode([id])`, and its surprisal in nats, a number however small the
        probability is, in the completion's order.
    """
    prompt_ids = tokenizer(prompt).input_ids  # P integers
    completion_ids = tokenizer(completion, add_special_tokens=False).input_ids  # N integers
    input_ids = torch.tensor([prompt_ids + completion_ids], device=model.device)  # [1, P + N]
    log_probs = model(input_ids).logits[0].float().log_softmax(dim=-1)  # [P + N, V]
    # The rows that predict the completion's tokens: [N, V].
    rows = log_probs[len(prompt_ids) - 1 : -1]  # FINISH ME
    # In each row, minus the entry of the token that came.
    surprisals = [-row[token].item() for row, token in zip(rows, completion_ids, strict=True)]
    return list(zip([tokenizer.decode([token]) for token in completion_ids], surprisals, strict=True))


# %% [markdown]
# ## What you have built
#
# A real model on your device, that says what it thinks and how sure it is. Read the picture from left to right: what
# SmolLM2 expects after a prompt; how much each token of a true and of a false sentence surprises it; and what the cache
# is worth. The text that it prints is worth a look, too: fluent, sure of itself, and soon made up.

# %%
if __name__ == "__main__":
    import time

    import matplotlib.pyplot as plt

    from autograder.pictures import show
    from projects.smollm2 import model_folder

    PROMPT = "The capital of France is"
    CLAIM, TRUE, FALSE = (
        "The theory of evolution by natural selection was published by",
        " Charles Darwin in 1859.",
        " Isaac Newton in 1659.",
    )

    def visible(text: str) -> str:
        """A token's text with its spaces and line ends drawn, and no formula made of a dollar sign."""
        return text.replace(" ", "␣").replace("\n", "↵").replace("$", r"\$")

    def draw_next_tokens(axes: plt.Axes, best: list[tuple[str, float]]) -> None:
        """The most probable next tokens. On a logarithmic axis, the long tail is there to see."""
        texts, probabilities = zip(*best, strict=True)
        places = range(len(best))
        bars = axes.barh(places, probabilities, color=["#2a6f97"] + ["#a9c6d8"] * (len(best) - 1))
        axes.bar_label(bars, [f"{p:.1%}" for p in probabilities], padding=3, fontsize=8)
        axes.set_yticks(places, [visible(text) for text in texts])
        axes.set_ylim(len(best) - 0.4, -0.6)
        axes.set_xscale("log")
        axes.set_xlim(min(probabilities) / 3, 3)
        axes.set_xlabel("probability")
        axes.set_title(f"“{PROMPT} …”", fontsize=10)

    def draw_surprisals(axes: plt.Axes, model: nn.Module, tokenizer: Any) -> None:
        """A true and a false completion, token beside token."""
        pairs = [token_surprisals(model, tokenizer, CLAIM, completion) for completion in (TRUE, FALSE)]
        for side, (pair, name, color) in enumerate(zip(pairs, ("true", "false"), ("#2a6f97", "#e07a5f"), strict=True)):
            surprisals = [surprisal for _, surprisal in pair]
            label = f"{name}: {sum(surprisals):.1f} nats in all"
            axes.bar(
                [place + 0.42 * side - 0.21 for place in range(len(pair))], surprisals, 0.4, color=color, label=label
            )
        columns = zip(*([visible(text) for text, _ in pair] for pair in pairs), strict=True)
        axes.set_xticks(range(len(pairs[0])), ["\n".join(column) for column in columns], fontsize=9)
        axes.set_ylabel("surprisal (nats)")
        axes.set_title(f"“{CLAIM} …”", fontsize=10)
        axes.legend(frameon=False)

    def draw_times(axes: plt.Axes, model: nn.Module, tokenizer: Any, max_new_tokens: int = 24) -> None:
        """How long the same text takes with and without the cache: a clock that ticks at every pass of the model."""
        for use_cache, color in ((False, "#e07a5f"), (True, "#2a6f97")):
            ticks = [time.perf_counter()]
            clock = model.register_forward_hook(lambda *_, ticks=ticks: ticks.append(time.perf_counter()))
            generate_greedy(model, tokenizer, "Once upon a time", max_new_tokens, use_cache=use_cache)
            clock.remove()
            seconds = [tick - ticks[0] for tick in ticks]
            label = f"{'with' if use_cache else 'without'} the cache: {seconds[-1]:.1f} s"
            axes.plot(range(len(ticks)), seconds, color=color, marker=".", label=label)
        axes.set_xlabel("tokens written")
        axes.set_ylabel("seconds")
        axes.set_title(f"The same text, written on {model.device}", fontsize=10)
        axes.legend(frameon=False)

    def draw() -> plt.Figure:
        """What the model expects next, what surprises it, and what the cache is worth."""
        model, tokenizer = load_model(str(model_folder()))
        print(f"{PROMPT}{generate_greedy(model, tokenizer, PROMPT, 30)}")
        figure = plt.figure(figsize=(12, 7), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=[2, 3])
        draw_next_tokens(left.subplots(), next_token_probabilities(model, tokenizer, PROMPT, top_k=20))
        top, bottom = right.subplots(2, 1)
        draw_surprisals(top, model, tokenizer)
        draw_times(bottom, model, tokenizer)
        for axes in figure.get_axes():
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    if model_folder() is None:
        print("The real model is not here yet. Run `make model` once, then this again, and it draws a picture.")
    else:
        show(draw)
