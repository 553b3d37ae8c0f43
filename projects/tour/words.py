# %% [markdown]
# # Words: tokens and embeddings
#
# A tour through SmolLM2-135M-Instruct begins here, with what goes into the model: tokens, and what is known of a word
# before anything else is read. The other themes are the files beside this one: inside, choosing, costs and truth.
#
# You need the model (`make model`) and the exercises that a step uses; a step says so if one is missing. Run a file as
# a notebook, or all of them with `make tour`.
#
# Every step computes something, says in sentences what came out, and draws it. Where you have built the tool yourself,
# your own code does the work. Change a sentence, a word or a layer, and run a cell again: what it says is still true.

# %%
"""What goes into the model: tokens, and what is known of a word before anything else is read."""

import torch
from torch import Tensor

from projects.sentences import ProjectError
from projects.tour import draw_words as pictures
from projects.tour.guide import share, start

tour = start()  # in a notebook, `start(folder="solutions")` takes the exercises from another folder
model, tokenizer = tour.model, tour.tokenizer
ids_of, names = tour.ids_of, tour.names

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
# ## 3. Attention among single words
#
# Attention needs no layers: it can be tried on the embeddings alone. Seven words, each both asking and answering: your
# own `dot_product_attention` makes a row of weights for each, and every row sums to one. The scores are plain dot
# products, so a long vector scores high with everybody, and a word finds itself first of all. On the left, the words as
# they are. On the right, every vector is shifted by the mean of the whole table and brought to one and the same length,
# so that only directions count; the length says how sharply the softmax decides.
#
# What to look for: do the royal words look at each other, and the fruits at each other and at food? Which word has
# nobody? Then change the words.

# %%
attention = tour.exercise("attention")
SINGLE = ["king", "queen", "royalty", "food", "apple", "pear", "computers"]
LENGTH = 2.0

pieces = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in SINGLE]
alone = torch.stack([table[piece].mean(dim=0) for piece in pieces])  # [n, C]
directions = alone - table.mean(dim=0)
directions = LENGTH * directions / directions.norm(dim=1, keepdim=True)
looks = {}
for name, seen in (("as they are", alone), ("directions alone", directions)):
    weights, _ = attention.dot_product_attention(seen.numpy(), seen.numpy())
    looks[name] = torch.from_numpy(weights)  # [n, n]
    off = max(abs(float(row.sum()) - 1) for row in looks[name])
    print(f"Embeddings {name}: every row sums to 1, the worst is off by {off:.1e}.")
    for place, row in enumerate(looks[name]):
        at_others = row.clone()
        at_others[place] = -1
        most = int(at_others.argmax())
        print(
            f"  {SINGLE[place]:>10} looks at itself with {share(float(row[place]))}, then at {SINGLE[most]} "
            f"with {share(float(row[most]))}"
        )
tour.show(pictures.draw_single_words(looks, SINGLE), "3-single-words")
