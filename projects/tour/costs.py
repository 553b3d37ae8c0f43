# %% [markdown]
# # Costs: time, memory and bits
#
# What it takes to run the model, and what saving costs.
#
# Every step computes something, says in sentences what came out, and draws it. Where you have built the tool yourself,
# your own code does the work. Change a sentence, a word or a layer, and run a cell again: what it says is still true.

# %%
"""What it takes to run the model, and what saving costs."""

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch

from projects.int8_model import to_int8
from projects.tour import draw_costs as pictures
from projects.tour.guide import share, start

tour = start()  # in a notebook, `start(folder="solutions")` takes the exercises from another folder
model, tokenizer, config = tour.model, tour.tokenizer, tour.model.config
ids_of, names = tour.ids_of, tour.names
pretrained_model = tour.exercise("pretrained_model")

# %% [markdown]
# ## 8. The key-value cache, timed
#
# Your own `generate_greedy` writes the same text twice: reading everything anew for every token, and with the cache.
# A clock ticks whenever the model has read something. The cache is paid for in memory, which we count: a key and a
# value for every key-value head, layer and token.

# %%
STORY = (
    "A lighthouse is a tower with a lamp at its top. At night its light tells sailors where the coast is, and from the "
    "rhythm of the flashes they know which lighthouse they see. Before there was electricity, a keeper climbed the "
    "stairs every evening, filled the lamp with oil and lit it. Today most of them work by themselves."
)
NEW = 24


def timed(use_cache: bool) -> tuple[str, list[float]]:
    """A text, and the seconds that each of its tokens took."""
    ticks = [time.perf_counter()]
    clock = model.register_forward_hook(lambda *_: ticks.append(time.perf_counter()))
    try:
        text = pretrained_model.generate_greedy(model, tokenizer, STORY, NEW, use_cache=use_cache)
    finally:
        clock.remove()
    return text, [later - earlier for earlier, later in pairwise(ticks)]


pretrained_model.generate_greedy(model, tokenizer, STORY, 2)  # the first run of anything is slower
(anew, seconds_anew), (cached, seconds_cached) = timed(False), timed(True)
context = ids_of(STORY).shape[1]
width = config.hidden_size // config.num_attention_heads
per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * width * model.dtype.itemsize  # bytes
weights = sum(weight.nbytes for weight in model.parameters())
print(f"The texts are {'the same' if anew == cached else 'not the same'}: {cached!r}")
print(
    f"After {context} tokens of text, {len(seconds_anew)} more take {sum(seconds_anew):.1f} s anew and "
    f"{sum(seconds_cached):.1f} s with the cache: {sum(seconds_anew) / sum(seconds_cached):.1f} times as fast."
)
if len(seconds_cached) > 1:
    each = sum(seconds_cached[1:]) / len(seconds_cached[1:])
    print(f"With the cache, reading the text takes {seconds_cached[0]:.2f} s and each token after that {each:.2f} s.")
longest = config.max_position_embeddings
print(
    f"A token takes {per_token:,} bytes of cache. {longest:,} tokens, the most that this model is made for, take "
    f"{per_token * longest / 1e6:.3g} MB; its weights take {weights / 1e6:.3g} MB."
)
tour.show(pictures.draw_cache(seconds_anew, seconds_cached, context, per_token, weights, longest), "8-cache")

# %% [markdown]
# ## 9. Fewer bits
#
# The same weights in float32, in the two halves (float16, and bfloat16 with fewer digits and a wider range), and in
# int8 by your own `quantize_absmax`, with one scale for a matrix and with one for each row. In int8 a matrix lies in
# memory as bytes and is made floats again by your `dequantize` whenever it is used. We measure what that does to the
# size, to the speed, and to the loss on a text. On a short text a loss may also fall by chance. So we measure, too, how
# far the predictions move from those of float32: the Kullback-Leibler divergence, which is never negative, and
# is zero only where nothing has changed.

# %%
MORE = (
    "Bread needs four things: flour, water, salt and time. The baker mixes the dough in the evening and lets it rest "
    "through the night, while the yeast turns sugar into small bubbles of gas. Early in the morning the loaves go into "
    "a hot oven. When they come out, the crust is brown and the whole street smells of them. A river begins as a small "
    "spring in the hills. Other streams join it on its way, it grows wider and slower, and at last it reaches the sea, "
    "where the sand that it carried sinks to the ground."
)
quantization, language_model = tour.exercise("quantization"), tour.exercise("language_model")
FORMATS: dict[str, Callable[[Any], Any]] = {
    "float32": lambda model: model,
    "bfloat16": lambda model: model.bfloat16(),
    "float16": lambda model: model.half(),
    "int8, one scale": lambda model: to_int8(model, quantization, per_row=False),
    "int8, one a row": lambda model: to_int8(model, quantization, per_row=True),
}
read_ids, paces = ids_of(f"{STORY} {MORE}").cpu(), 6
full = copy.deepcopy(model).cpu().float()
with torch.no_grad():
    before = full(read_ids).logits[0].log_softmax(dim=-1)  # [T, V]


@torch.no_grad()
def cost_of(small: Any, context: AbstractContextManager[object] | None = None) -> pictures.Cost:
    """What a model costs on the text, and how far its predictions are from those of float32."""
    with context or nullcontext():
        logits = small(read_ids).logits.float()  # [1, T, V]
        loss = float(language_model.next_token_loss(logits, read_ids))
        moved = float((before.exp() * (before - logits[0].log_softmax(dim=-1))).sum(dim=-1).mean())
        cache = small(read_ids[:, :8], use_cache=True).cache
        begin = time.perf_counter()
        for _ in range(paces):
            cache = small(read_ids[:, :1], cache=cache, use_cache=True).cache
        pace = paces / (time.perf_counter() - begin)
    held = {id(tensor): tensor.nbytes for tensor in (*small.parameters(), *small.buffers())}
    return pictures.Cost(sum(held.values()) / 1e6, pace, loss, abs(moved))


bill = {name: cost_of(convert(copy.deepcopy(full))) for name, convert in FORMATS.items()}
exact = bill["float32"]
print(f"On a text of {read_ids.shape[1]} tokens, on the CPU:")
for name, cost in bill.items():
    print(
        f"{name:>15}: {cost.size:6.3g} MB ({share(cost.size / exact.size)}), {cost.pace:6.1f} tokens/s, "
        f"loss {cost.loss:.4f} ({cost.loss - exact.loss:+.4f}), predictions moved by {cost.moved:.5f} nats"
    )
smallest, farthest = min(bill, key=lambda name: bill[name].size), max(bill, key=lambda name: bill[name].moved)
scales = bill["int8, one scale"].moved / bill["int8, one a row"].moved
print(
    f"The smallest is “{smallest}”; the predictions of “{farthest}” move most. With one scale for a matrix they move "
    f"{scales:.1f} times as far as with one for each row."
)
tour.show(pictures.draw_bill(bill), "9-fewer-bits")

# %% [markdown]
# ## 10. Half precision, and what must stay in float32
#
# The last step made every number of the model half as long. *Autocast* is more careful: the weights stay in float32,
# and each operation is done in the format that it can bear. Matrix products, where the work is, go into half precision;
# what sums many numbers up, or squares them, stays in float32. The code asks each kind of layer what came out of it.
#
# Why not everything? Three measurements with this model's own numbers, each with what you have built for it:
#
# - **Squares.** A norm squares its input, and float16 ends where float32 hardly begins. How large is the largest number
#   that runs through the model, and does its square still fit? Your `rms_norm_safe` computes in float32.
# - **Small gradients.** What is too small for float16 becomes zero. How many entries of a real gradient do, before your
#   `LossScaler` multiplies the loss, and after?
# - **Small steps.** A weight in half precision has neighbors far away; a step that is shorter than half the way to the
#   next one changes nothing. Which part of a step gets lost, by the learning rate, and what does your `master_step`
#   save by keeping the weights in float32?

# %%
mixed_precision = tour.exercise("mixed_precision")
WAYS: dict[str, tuple[torch.dtype, torch.dtype | None]] = {
    "float32": (torch.float32, None),
    "bfloat16": (torch.bfloat16, None),
    "float16": (torch.float16, None),
    "autocast, bfloat16": (torch.float32, torch.bfloat16),
    "autocast, float16": (torch.float32, torch.float16),
}
halves: dict[str, pictures.Cost] = {}
came_out: dict[str, set[str]] = {}  # under autocast, by the kind of layer


def note(layer: Any, _: Any, output: Any) -> None:
    """Notes what came out of a layer."""
    if isinstance(output, torch.Tensor):
        came_out.setdefault(type(layer).__name__, set()).add(str(output.dtype).removeprefix("torch."))


for name, (kind, inside) in WAYS.items():
    small = copy.deepcopy(full).to(kind)
    layers = [module for module in small.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers if inside is torch.bfloat16]
    halves[name] = cost_of(small, torch.autocast("cpu", dtype=inside) if inside else None)
    for hook in hooks:
        hook.remove()
plain = halves["float32"]
for name, cost in halves.items():
    print(
        f"{name:>18}: {cost.size:6.3g} MB, {cost.pace:6.1f} tokens/s, loss {cost.loss:.4f} "
        f"({cost.loss - plain.loss:+.4f}), predictions moved by {cost.moved:.5f} nats"
    )
for layer, dtypes in came_out.items():
    print(f"  Under autocast, {layer} gives {' and '.join(sorted(dtypes))}.")
number = sum(weight.numel() for weight in full.parameters())
taken = {kind: mixed_precision.training_bytes(number, kind) / 1e6 for kind in ("float32", "float16")}
print(
    f"To train it, weights, gradients and moments take {taken['float32']:,.4g} MB in float32, and "
    f"{taken['float16']:,.4g} MB in float16 with a master. What can be saved are activations and time."
)

# Squares.
with torch.no_grad():
    streams = full(read_ids, output_hidden_states=True).hidden_states[:-1]
depth = max(range(len(streams)), key=lambda place: float(streams[place].abs().max()))
stream, gain = streams[depth], full.base_model.layers[min(depth, config.num_hidden_layers - 1)].input_layernorm.weight
eps, top = config.rms_norm_eps, torch.finfo(torch.float16).max
largest = float(stream.abs().max())
exact_norm = mixed_precision.rms_norm_safe(stream, gain.detach(), eps)
in_half, gain_in_half = stream.half(), gain.detach().half()
squares = in_half * in_half
naive = in_half * torch.rsqrt(squares.mean(dim=-1, keepdim=True) + eps) * gain_in_half
safe = mixed_precision.rms_norm_safe(in_half, gain_in_half, eps)
wrong = {
    name: float((norm.float() - exact_norm).norm() / exact_norm.norm())
    for name, norm in (("naive", naive), ("safe", safe))
}
print(
    f"The largest number in the stream is {largest:.4g}, before layer {depth}; its square is {largest**2:.3g}, and "
    f"float16 ends at {top:,.0f}: {int(squares.isinf().sum())} squares are infinite."
)
print(f"A norm in float16 throughout is off by {share(wrong['naive'])}, your rms_norm_safe by {wrong['safe']:.2%}.")

# Small gradients.
trained = full.base_model.layers[0].mlp.gate_proj.weight
full.zero_grad()
language_model.next_token_loss(full(read_ids).logits, read_ids).backward()
gradient, scale = trained.grad.clone(), mixed_precision.LossScaler().scale
full.zero_grad()
lost = {
    name: float(((gradient * factor).half() == 0)[gradient != 0].float().mean())
    for name, factor in (("as it is", 1.0), ("times the scale", scale))
}
print(
    f"Of a real gradient, {lost['as it is']:.2%} of the entries are 0 in float16; with a loss {scale:,.0f} times as "
    f"large, {lost['times the scale']:.2%}."
)

# Small steps.
RATES = [10.0**power for power in range(-5, 2)]
unmoved: dict[str, list[float]] = {}
for kind in (torch.float16, torch.bfloat16):
    narrow = trained.detach().to(kind)
    moving = (gradient != 0) & (narrow != 0)
    unmoved[str(kind).removeprefix("torch.")] = [
        float(((narrow - (rate * gradient).to(kind)) == narrow)[moving].float().mean()) for rate in RATES
    ]
unmoved["float32, your master"] = [
    float((mixed_precision.master_step(trained.detach(), gradient, rate)[0] == trained)[gradient != 0].float().mean())
    for rate in RATES
]
for name, shares in unmoved.items():
    print(
        f"Weights that a step leaves where they are, {name}: "
        + ", ".join(f"{share(part)} at {rate:g}" for rate, part in zip(RATES, shares, strict=True))
        + "."
    )
tour.show(pictures.draw_halves(halves, wrong, lost, RATES, unmoved), "10-half-precision")
