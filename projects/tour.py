# %% [markdown]
# # Inside a real model
#
# A tour through SmolLM2-135M-Instruct in nine steps, from the text that goes in to the text that comes out, and on to
# what a model costs and where it makes things up. Every step computes something, says in sentences what came out, and
# draws it. Where you have built the tool yourself, your own code does the work.
#
# The text around the code says what is measured and how; what the numbers are, the code says. So change a sentence, a
# word, a layer, and run a cell again: what it says will still be true.
#
# You need the model (`make model`) and the exercises that a step uses; a step says so if one is missing. Run it as a
# notebook, or as a script with `make tour`.

# %%
"""Inside a real model: nine steps, a picture each."""

import copy
import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from projects import tour_pictures as pictures
from projects.int8_model import to_int8
from projects.sentences import ProjectError
from projects.tour_guide import continue_text, start

tour = start()  # in a notebook, `start(folder="solutions")` takes the exercises from another folder
pretrained_model, softmax = tour.exercise("pretrained_model"), tour.exercise("softmax").softmax
model: Any
model, tokenizer = pretrained_model.load_model(str(tour.model))
model.set_attn_implementation("eager")  # the plain formula, which can show its attention weights
config = model.config


def ids_of(text: str) -> Tensor:
    """The text's tokens, `[1, T]`, where the model is."""
    ids: Tensor = tokenizer(text, return_tensors="pt").input_ids.to(model.device)
    return ids


def names(ids: Tensor) -> list[str]:
    """The texts of tokens."""
    return [tokenizer.decode([token]) for token in ids.flatten().tolist()]


def share(number: float) -> str:
    """A share as people write it."""
    return f"{number:.1%}" if number < 0.1 else f"{number:.0%}"


print(f"{sum(weight.numel() for weight in model.parameters()):,} weights in {config.num_hidden_layers} layers.")

# %% [markdown]
# ## 1. Tokens, and what they cost
#
# A model reads tokens, and its tokenizer has learned them by byte-pair encoding from the texts that it was given. What
# was frequent there became one token; what was rare stays in pieces, down to single bytes. A model's work, its memory
# and the price of a service are counted in tokens: so the same sentence does not cost the same in every language.

# %%
SENTENCES = {
    "English": "The cat sleeps on the warm roof and dreams of fish.",
    "Spanish": "El gato duerme en el tejado caliente y sueña con peces.",
    "German": "Die Katze schläft auf dem warmen Dach und träumt von Fischen.",
    "Finnish": "Kissa nukkuu lämpimällä katolla ja uneksii kaloista.",
    "Greek": "Η γάτα κοιμάται στη ζεστή στέγη και ονειρεύεται ψάρια.",
    "Russian": "Кошка спит на тёплой крыше и видит во сне рыбу.",
    "Chinese": "猫睡在温暖的屋顶上，梦见鱼。",
    "Japanese": "猫は暖かい屋根の上で眠り、魚の夢を見ている。",
    "Hindi": "बिल्ली गरम छत पर सोती है और मछली के सपने देखती है।",
}
# A byte-level token is written with one letter for each of its bytes.
bytes_of_tokens = {
    language: sizes
    for language, sentence in SENTENCES.items()
    if (sizes := [len(piece) for piece in tokenizer.tokenize(sentence)])  # a tiny tokenizer may know no letter of it
}
costs = {language: len(sizes) for language, sizes in bytes_of_tokens.items()}
cheapest, dearest = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
for language, sizes in bytes_of_tokens.items():
    single = sizes.count(1) / len(sizes)
    print(f"{language:>9}: {costs[language]:3} tokens, {share(single)} of them a single byte.")
whole = sum(tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text for text in SENTENCES.values())
print(f"Decoding the tokens gives {whole} of {len(SENTENCES)} sentences back, letter by letter.")
print(
    f"The same sentence in tokens: {costs[cheapest]} in {cheapest}, {costs[dearest]} in {dearest}, which is "
    f"{costs[dearest] / costs[cheapest]:.1f} times as many."
)
tour.show(pictures.draw_tokens(bytes_of_tokens, names(ids_of(SENTENCES["English"]))), "1-tokens")

# %% [markdown]
# ## 2. The space of words, and why order is lost there
#
# The first thing that happens to a token: it is replaced by its row of a large table, its *embedding*. The rows were
# learned, and words that are used alike should lie in like directions. To see a space of so many dimensions on paper,
# we take the two directions in which the chosen words differ most: principal component analysis (PCA), by the singular
# value decomposition.
#
# Is the order of words in there? A row depends on the token alone. So we take two sentences of the same words that mean
# different things, and compare the mean of their vectors after every layer: the mean does not change when the words
# change places, so what differs comes from somewhere else. And we follow one word that stands in both.

# %%
GROUPS = {
    "animals": ["cat", "dog", "horse", "lion", "mouse", "cow"],
    "countries": ["France", "Germany", "Italy", "Spain", "China", "Japan"],
    "numbers": ["two", "three", "four", "five", "six", "seven"],
    "colors": ["red", "green", "blue", "yellow", "black", "white"],
    "verbs": ["eat", "drink", "run", "walk", "sleep", "sing"],
}
ONE_WAY, OTHER_WAY, WORD = "the dog sat on the cat", "the cat sat on the dog", " dog"

table = model.get_input_embeddings().weight.detach().float().cpu()  # [V, C]
words = [word for group in GROUPS.values() for word in group]
group_of = [name for name, group in GROUPS.items() for _ in group]
# A word with a space before it, as it stands in a text. Should it be of several tokens, we take their mean.
pieces = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in words]
vectors = torch.stack([table[piece].mean(dim=0) for piece in pieces])  # [n, C]


def principal_components(x: Tensor) -> tuple[Tensor, float]:
    """The places of the rows of x along the two directions of largest spread, `[n, 2]`, and the share of both."""
    centered = x - x.mean(dim=0)
    left, sizes, _ = torch.linalg.svd(centered, full_matrices=False)
    signs = left.gather(0, left.abs().argmax(dim=0)[None]).sign()  # either sign would be right: take one for good
    return (left * signs * sizes)[:, :2], float((sizes[:2] ** 2).sum() / (sizes**2).sum())


places, kept = principal_components(vectors)
unit = vectors / vectors.norm(dim=1, keepdim=True)
cosines = unit @ unit.T  # [n, n]
same = torch.tensor([[one == other for other in group_of] for one in group_of])
others = ~torch.eye(len(words), dtype=torch.bool)
nearest = (cosines - 2 * torch.eye(len(words))).argmax(dim=1)
in_group = sum(group_of[place] == group_of[near] for place, near in enumerate(nearest.tolist()))
print(f"{sum(len(piece) == 1 for piece in pieces)} of {len(words)} words are one token.")
print(f"Two of {table.shape[1]} directions hold {share(kept)} of how these words differ.")
print(
    f"The cosine of two words is {cosines[same & others].mean():.2f} on average within a group, and "
    f"{cosines[~same].mean():.2f} between groups; for {in_group} of {len(words)} words the nearest is of its group."
)

with torch.no_grad():
    one, other = (model(ids_of(text), output_hidden_states=True).hidden_states for text in (ONE_WAY, OTHER_WAY))
pair = [names(ids_of(text)) for text in (ONE_WAY, OTHER_WAY)]
if sorted(pair[0]) != sorted(pair[1]) or pair[0][0] != pair[1][0] or WORD not in pair[0]:
    raise ProjectError(f"Both sentences need the same tokens, the same first one, and “{WORD}” in them.")
at = [tokens.index(WORD) for tokens in pair]


def apart(x: Tensor, y: Tensor) -> float:
    """How far two vectors are from each other, in relation to their size."""
    return float((x - y).float().norm() / (x.float().norm() * y.float().norm()).sqrt())


# Both sentences begin with the same token, and nothing before it can tell them apart: it is left out of the means.
mean_apart = [apart(x[0, 1:].mean(dim=0), y[0, 1:].mean(dim=0)) for x, y in zip(one, other, strict=True)]
word_apart = [apart(x[0, at[0]], y[0, at[1]]) for x, y in zip(one, other, strict=True)]
print(
    f"“{ONE_WAY}” and “{OTHER_WAY}”: as embeddings, their means differ by {mean_apart[0]:.1e} of their size and the "
    f"two vectors of “{WORD.strip()}” by {word_apart[0]:.1e}."
)
print(
    f"After the first layer the means differ by {share(mean_apart[1])}, and the two “{WORD.strip()}” by "
    f"{share(word_apart[1])}; after the last, by {share(mean_apart[-1])} and {share(word_apart[-1])}."
)
tour.show(
    pictures.draw_space(places, words, group_of, cosines, mean_apart, word_apart, (ONE_WAY, OTHER_WAY, WORD.strip())),
    "2-space",
)

# %% [markdown]
# ## 3. What looks where: attention maps
#
# In every layer each head gives every token a set of weights over itself and the tokens before it. We score all heads
# by three habits: how much of its attention goes to the token right *before*; to the very *first* token; and, in a text
# where words return, to what came *after the same word last time*. A head that does the last can copy (Olsson et al.
# 2022 call it an *induction head*). Then we look at the strongest head of each kind. Put your own layer and head into
# `chosen` and run the cell again.
#
# Do we see what really happens? Your own `rotate` and your own `scaled_dot_product_attention` compute the same maps
# from the queries and keys, and the code says how far the two are apart.

# %%
TEXT = "Seven yellow doors hide one old lamp under the river. Seven yellow doors hide one old lamp under the river."
attention, llama_block = tour.exercise("attention"), tour.exercise("llama_block")
ids = ids_of(TEXT)
T = ids.shape[1]
with torch.no_grad():
    output = model(ids, output_attentions=True, output_hidden_states=True)
maps = torch.cat(output.attentions).float().cpu()  # [layers, heads, T, T]

before = maps.diagonal(offset=-1, dim1=2, dim2=3).mean(dim=-1)  # [layers, heads]
first = maps[:, :, 1:, 0].mean(dim=-1)
tokens = ids[0].tolist()
repeats = [
    (now, max(then for then in range(now) if tokens[then] == tokens[now]) + 1)
    for now in range(1, T)
    if tokens[now] in tokens[:now]
]
repeats = [(now, after) for now, after in repeats if after < now]
if not repeats:
    raise ProjectError("No word of this text comes twice, and one has to.")
rows, columns = torch.tensor(repeats).T
copies = maps[:, :, rows, columns].mean(dim=-1)
scores = {"the token before": before, "the first token": first, "what came after the same word": copies}
chosen = {name: divmod(int(score.argmax()), maps.shape[1]) for name, score in scores.items()}


@torch.no_grad()
def recomputed(layer: int) -> Tensor:
    """All maps of a layer, `[heads, T, T]`, by the student's own attention."""
    block = model.base_model.layers[layer]
    x = block.input_layernorm(output.hidden_states[layer])  # [1, T, C]
    split = [
        projection(x).unflatten(-1, (heads, -1)).transpose(1, 2)  # [1, H, T, D]
        for projection, heads in (
            (block.self_attn.q_proj, config.num_attention_heads),
            (block.self_attn.k_proj, config.num_key_value_heads),
        )
    ]
    base, places = float(config.rope_parameters["rope_theta"]), torch.arange(T, device=model.device)
    query, key = (llama_block.rotate(each, places, base).float().cpu()[0].numpy() for each in split)
    key = key.repeat(config.num_attention_heads // config.num_key_value_heads, axis=0)
    _, weights = attention.scaled_dot_product_attention(query, key, key, attention.causal_mask(T))
    return torch.from_numpy(weights)


for name, (layer, head) in chosen.items():
    score = scores[name]
    print(
        f"Layer {layer}, head {head} gives {share(float(score[layer, head]))} of its attention to {name}; the average "
        f"head gives {share(float(score.mean()))}."
    )
off = max(float((recomputed(layer) - maps[layer]).abs().max()) for layer, _ in chosen.values())
print(f"Your own attention gives the same maps: no weight is further off than {off:.1e}.")
print(f"And every row sums to 1: the worst is off by {float((maps.sum(dim=-1) - 1).abs().max()):.1e}.")
tour.show(pictures.draw_attention(scores, chosen, maps, names(ids)), "3-attention")

# %% [markdown]
# ## 4. Reading the residual stream
#
# Every layer adds to the vector that runs through a position: the *residual stream*. After the last layer, a norm and
# the language-model head turn it into predictions. But nothing keeps us from applying both earlier: after every layer
# we ask what the model would say if it had to stop there (the *logit lens*, nostalgebraist 2020). The probabilities
# are made by your own `softmax`.

# %%
PROMPT = "The capital of France is"
ids = ids_of(PROMPT)
with torch.no_grad():
    streams = list(model(ids, output_hidden_states=True).hidden_states)  # layers + 1 times [1, T, C]
    hidden, logits = pretrained_model.hidden_states_and_logits(model, ids)
    norm, head = model.base_model.norm, model.get_output_embeddings()
    # The last one went through the norm already.
    read = torch.cat([*(head(norm(stream)) for stream in streams[:-1]), head(streams[-1])])  # [layers + 1, T, V]
lens = torch.from_numpy(softmax(read.float().cpu().numpy()))  # [layers + 1, T, V]
best = lens.max(dim=-1)  # values and indices [layers + 1, T]
answers = best.indices[:, -1].tolist()
final = answers[-1]
settled = next(depth for depth in range(len(answers)) if all(token == final for token in answers[depth:]))
answer = tokenizer.decode([final])
print(f"The last row is what the model says: it is {float((read[-1] - logits[0]).abs().max()):.1e} from its logits.")
print(f"After “{PROMPT}” the model says “{answer}”, with probability {share(float(lens[-1, -1, final]))}.")
print(f"It is the first choice from layer {settled} of {len(answers) - 1} on, and stays it.")
if settled:
    print(f"One layer earlier it would have said “{tokenizer.decode([answers[settled - 1]])}”.")
tour.show(
    pictures.draw_lens(
        best.values, [names(row) for row in best.indices], names(ids), lens[:, -1, final].tolist(), answer
    ),
    "4-residual-stream",
)

# %% [markdown]
# ## 5. The next token: temperature, top-k, top-p
#
# The model gives every token of its vocabulary a probability; what is written depends on how one is chosen. Two
# prompts, one where the next word should be clear and one where many would do, under your own `apply_temperature`,
# `top_k_filter` and `top_p_filter`. The *entropy* says how open the choice is: no bits when it is made, and one bit
# more for each doubling of equally probable tokens.

# %%
decoding = tour.exercise("decoding")
PROMPTS = ("The capital of France is", "My favorite thing to eat is")
SETTINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "temperature 0.5": lambda x: decoding.apply_temperature(x, 0.5),
    "temperature 2": lambda x: decoding.apply_temperature(x, 2.0),
    "top-k, k = 5": lambda x: decoding.top_k_filter(x, 5),
    "top-p, p = 0.9": lambda x: decoding.top_p_filter(x, 0.9),
}
choices: dict[str, dict[str, Tensor]] = {}
for prompt in PROMPTS:
    with torch.no_grad():
        logits = model(ids_of(prompt)).logits[0, -1].float().cpu()  # [V]
    choices[prompt] = {name: torch.from_numpy(softmax(change(logits).numpy())) for name, change in SETTINGS.items()}


def entropy(probabilities: Tensor) -> float:
    """In bits."""
    return float(torch.special.entr(probabilities.double()).sum() / math.log(2))


for prompt, settings in choices.items():
    plain, nucleus = settings["as it is"], settings["top-p, p = 0.9"]
    kept_tokens = int((nucleus > 0).sum())
    print(
        f"“{prompt} …”: {entropy(plain):.1f} bits; {entropy(settings['temperature 0.5']):.1f} at temperature 0.5, "
        f"{entropy(settings['temperature 2']):.1f} at 2."
    )
    print(
        f"  Top-p keeps {kept_tokens} of {len(plain):,} tokens, which hold {share(float(plain[nucleus > 0].sum()))}; "
        f"top-k keeps 5, which hold {share(float(plain.topk(5).values.sum()))}."
    )
tour.show(pictures.draw_choices(choices, tokenizer), "5-choices")

# %% [markdown]
# ## 6. The chat template
#
# To chat is to continue a text, too: one in which a user and an assistant take turns. The *chat template* writes it,
# with tokens of its own at the beginning and the end of every turn, and the model was taught by such texts. We ask the
# same question with the template and without, and let your own `generate_greedy` answer.

# %%
QUESTION = "Why is the sky blue?"
if not tokenizer.chat_template:
    print("This model has no chat template: it was not taught to chat. A line for each turn stands in its place.")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
chat = tokenizer.apply_chat_template(
    [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
)
chat_ids = ids_of(chat)
special = set(tokenizer.all_special_ids)
control = sum(token in special for token in chat_ids[0].tolist())
asked = {"with the template": chat, "without": QUESTION}
replies = {name: pretrained_model.generate_greedy(model, tokenizer, text, 32) for name, text in asked.items()}
next_tokens = {
    name: pretrained_model.next_token_probabilities(model, tokenizer, text, 6) for name, text in asked.items()
}
print(chat)
print(
    f"The question is {len(ids_of(QUESTION)[0])} tokens, and {len(chat_ids[0])} in the template; {control} of them "
    "stand for no text."
)
for name, reply in replies.items():
    print(f"{name}: {reply!r}")
tour.show(
    pictures.draw_chat(names(chat_ids), [token in special for token in chat_ids[0].tolist()], next_tokens, replies),
    "6-chat",
)

# %% [markdown]
# ## 7. The key-value cache, timed
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
tour.show(pictures.draw_cache(seconds_anew, seconds_cached, context, per_token, weights, longest), "7-cache")

# %% [markdown]
# ## 8. Fewer bits
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
bill: dict[str, pictures.Cost] = {}
for name, convert in FORMATS.items():
    small = convert(copy.deepcopy(full))
    with torch.no_grad():
        logits = small(read_ids).logits.float()  # [1, T, V]
        loss = float(language_model.next_token_loss(logits, read_ids))
        moved = float((before.exp() * (before - logits[0].log_softmax(dim=-1))).sum(dim=-1).mean())
        cache = small(read_ids[:, :8], use_cache=True).cache
        begin = time.perf_counter()
        for _ in range(paces):
            cache = small(read_ids[:, :1], cache=cache, use_cache=True).cache
        pace = paces / (time.perf_counter() - begin)
    held = {id(tensor): tensor.nbytes for tensor in (*small.parameters(), *small.buffers())}
    bill[name] = pictures.Cost(sum(held.values()) / 1e6, pace, loss, abs(moved))
    del small, cache
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
tour.show(pictures.draw_bill(bill), "8-fewer-bits")

# %% [markdown]
# ## 9. Where it makes things up
#
# A model goes on as fluently where it knows nothing. The *surprisal* of a token, your own `token_surprisals`, says how
# unexpected it was: a small one means that the model would have said so itself. First, facts: a true completion and a
# false one of the same kind. Where the false one surprises the model less, it would rather say what is not so. Then it
# writes on its own, and we see where it was guessing. Surprisal is the model's opinion: it finds guesses, and no errors
# of which the model is sure.

# %%
FACTS = [
    ("The capital of France is", " Paris", " London"),
    ("The capital of Australia is", " Canberra", " Sydney"),
    ("The largest planet of the solar system is", " Jupiter", " Mars"),
    ("Water is made of hydrogen and", " oxygen", " helium"),
    ("The author of Hamlet is William", " Shakespeare", " Wordsworth"),
    ("The chemical symbol of gold is", " Au", " Ag"),
    ("The Second World War ended in", " 1945", " 1918"),
    ("A spider has eight legs, and an insect has", " six", " ten"),
    ("The currency of Japan is the", " yen", " euro"),
    ("The longest river in Africa is the", " Nile", " Congo"),
    ("The first person on the Moon was Neil", " Armstrong", " Diamond"),
    ("The square root of 81 is", " 9", " 8"),
]
BEGINNING = "The first bridge over the river Thames was built in"


def surprisal(prompt: str, completion: str) -> float:
    """Of the whole completion, in nats."""
    return float(sum(nats for _, nats in pretrained_model.token_surprisals(model, tokenizer, prompt, completion)))


judged = [(prompt, true, false, surprisal(prompt, true), surprisal(prompt, false)) for prompt, true, false in FACTS]
wrong = [(prompt, true, false) for prompt, true, false, of_true, of_false in judged if of_false <= of_true]
print(f"In {len(judged) - len(wrong)} of {len(judged)} facts the truth surprises the model less.")
for prompt, true, false in wrong:
    print(f"  It would rather say “{prompt}{false}” than “{true}”.")

generator = torch.Generator().manual_seed(0)


def choose(logits: Tensor) -> Tensor:
    """Draws from all tokens but the one that would end the text."""
    logits[tokenizer.eos_token_id] = -math.inf
    token: Tensor = decoding.sample(logits, generator)
    return token


written = continue_text(model, tokenizer, BEGINNING, 70, choose)
guesses = pretrained_model.token_surprisals(model, tokenizer, BEGINNING, written)
unsure = [(token, nats) for token, nats in guesses if nats > math.log(20)]  # less probable than 1 in 20
print(f"It writes: {BEGINNING}{written}")
print(f"{len(unsure)} of {len(guesses)} tokens had a probability of less than 1 in 20.")
surprising = sorted(guesses, key=lambda guess: -guess[1])[:5]
print("The most surprising:", ", ".join(f"“{token}” ({nats:.1f} nats)" for token, nats in surprising) + ".")
tour.show(pictures.draw_surprisals(judged, BEGINNING, guesses), "9-made-up")
