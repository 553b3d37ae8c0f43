# %% [markdown]
# # Byte-pair encoding
#
# A language model reads numbers. A *tokenizer* turns text into numbers and numbers back into text, and it is a model
# of its own: it is trained, on text, before the language model is.
#
# What should a number stand for? A word, and every word that the training text did not hold is lost. A letter, and
# texts become very long. Byte-pair encoding (BPE) lies between: frequent words become one token, rare words a few, and
# nothing is ever lost. Gage (1994) invented it to compress data, Sennrich et al. (2016) brought it to language models,
# and GPT-2 (Radford et al. 2019) let it work on bytes. GPT-2's vocabulary has 50,257 tokens: the 256 bytes, 50,000
# merges, and one that ends a text.
#
# **Bytes.** UTF-8 writes every text of the world as bytes, numbers from 0 to 255: `a` is one byte, `é` is two, `🙂` is
# four. So 256 tokens are enough for any text, and what remains is to make texts shorter.
#
# **Training** repeats one step: count all pairs of neighboring tokens, take the most frequent pair, and merge it into
# one new token wherever it stands:
#
# $$(l^*, r^*) = \arg\max_{(l,\,r)} \; \#\{\, t : x_t = l,\; x_{t+1} = r \,\}$$
#
# **A worked example.** Take `banana bandana`, 14 bytes.
#
# 1. The pair `a n` stands at 4 places, more than any other. Merged: `b an an a ␣ b an d an a`.
# 2. Now `b an` and `an a` stand at 2 places each. Of equals, the greatest pair wins: `b` comes after `an` in the
#    dictionary, so it is `b an`. Merged: `ban an a ␣ ban d an a`.
# 3. `an a` is left, at 2 places. Merged: `ban ana ␣ ban d ana`.
# 4. No pair stands at two places any more: training stops.
#
# From 14 tokens to 6, and `ban` and `ana` are words of our new alphabet. Merge 0 has made token 256, merge 1 token
# 257, merge 2 token 258, so the text is now `[257, 258, 32, 257, 100, 258]`: 32 is the space and 100 is `d`, each its
# own byte.
#
# **Types.** A token is a `bytes` object, such as `b"an"`; a text being tokenized is a list of them. A merge is a pair
# of tokens, and what training learns is the list of merges, in order.

# %%
from collections import Counter
from itertools import pairwise

# %% [markdown]
# ## Step 1: a text as tokens
#
# At first each byte is a token. Beware of a trap in Python: `b"an"[0]` is the number 97, not `b"a"`. To make one token
# from one number, write `bytes([97])`.


# %%
def byte_tokens(text: str) -> list[bytes]:
    r"""The text's UTF-8 bytes, each as a token of its own: `"hé"` gives `[b"h", b"\xc3", b"\xa9"]`."""
    # One token for each byte.
    return [bytes([number]) for number in text.encode("utf-8")]  # FINISH ME


# %% [markdown]
# ## Step 2: counting and merging
#
# Every place counts, also where pairs overlap: `a a a` holds the pair `a a` twice, at the first place and at the
# second.
#
# Merging is different, for a token can be used only once. It goes from left to right: `a a a` becomes `aa a`.


# %%
def count_pairs(tokens: list[bytes]) -> Counter[tuple[bytes, bytes]]:
    """How often each pair of neighbors occurs: `[b"a", b"b", b"a", b"b"]` has (a, b) twice and (b, a) once."""
    # How often each pair of neighbors stands there.
    return Counter(pairwise(tokens))  # FINISH ME


def merge_pair(tokens: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """The tokens with every occurrence of the pair, from left to right, merged into one token.

    Args:
        tokens: n tokens; they are left as they are.
        pair: the two neighbors to merge.

    Returns:
        A new list of at most n tokens that holds the same bytes.
    """
    merged: list[bytes] = []
    for token in tokens:
        # Does this token complete the pair, together with the token that was put down last, if there is one?
        completes = (*merged[-1:], token) == pair  # FINISH ME
        if completes:
            merged[-1] = merged[-1] + token
        else:
            merged.append(token)
    return merged


# %% [markdown]
# ## Step 3: training
#
# The step from above, over and over: count, choose, merge. When no pair occurs twice, a merge would save nothing, and
# so it stops.
#
# Ties happen all the time, and two programs that break them differently learn different tokens. The rule here is that
# the greatest pair wins, in the order that Python gives to tuples of bytes: first compare the left tokens, and if they
# are equal the right ones.


# %%
def train_bpe(text: str, num_merges: int) -> list[tuple[bytes, bytes]]:
    """Learns merges: each step merges the pair with the largest (count, pair)   (Sennrich et al. 2016)

    Args:
        text: what to learn from; all of it is one sequence of bytes, spaces and line ends too.
        num_merges: how many merges to learn at most.

    Returns:
        The merged pairs in the order of training; fewer than `num_merges` if at some point no pair occurs twice.
    """
    tokens = byte_tokens(text)
    merges: list[tuple[bytes, bytes]] = []
    for _ in range(num_merges):
        counts = count_pairs(tokens)
        if max(counts.values(), default=0) < 2:
            break
        # The most frequent pair, and of equals the greatest.
        best = max(counts, key=lambda pair: (counts[pair], pair))  # FINISH ME
        # From here on the pair is one token, everywhere.
        tokens = merge_pair(tokens, best)  # FINISH ME
        merges.append(best)
    return merges


# %% [markdown]
# ## Step 4: encoding
#
# To encode a new text, do to it what training did to its own: the same merges in the same order. The order matters,
# for later merges are made of earlier ones. It is *not* the same as always taking the longest token that fits.
#
# Then each token becomes its number. Numbers 0 to 255 are the single bytes, and merge *k* makes number 256 + *k*. A
# token is its bytes, whatever way it was made: should two merges make the same bytes, the first one's number counts.


# %%
def token_ids(merges: list[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """The number of every token: byte b has b, and what merge k makes has 256 + k (the first such k)."""
    ids = {bytes([number]): number for number in range(256)}
    for k, (left, right) in enumerate(merges):
        # The number of what this merge makes.
        ids.setdefault(left + right, 256 + k)  # FINISH ME
    return ids


def encode(text: str, merges: list[tuple[bytes, bytes]]) -> list[int]:
    """The text's token ids: its bytes, with the merges applied in the order of training.

    Args:
        text: any text.
        merges: as `train_bpe` returns them.

    Returns:
        One id per token; `decode` makes the text of them again.
    """
    tokens = byte_tokens(text)
    for pair in merges:
        # One merge after the other, each on the output of the one before.
        tokens = merge_pair(tokens, pair)  # FINISH ME
    ids = token_ids(merges)
    return [ids[token] for token in tokens]


# %% [markdown]
# ## Step 5: decoding
#
# Back again: put the bytes of all tokens in a row, and read them as UTF-8. Only then: the two bytes of an `é` may lie
# in two tokens, and neither is a letter alone. A model is free to write any tokens, also such as are no valid UTF-8
# together. Python puts `�` (U+FFFD) in place of what cannot be read if you ask it to with `errors="replace"`.


# %%
def decode(ids: list[int], merges: list[tuple[bytes, bytes]]) -> str:
    """The text of the token ids; bytes that are no UTF-8 become U+FFFD.

    Args:
        ids: as `encode` returns them, or as a model has written them.
        merges: as `train_bpe` returns them.

    Returns:
        The text: `decode(encode(text, merges), merges) == text` for every text.

    Raises:
        ValueError: an id belongs to no token.
    """
    tokens = {number: token for token, number in token_ids(merges).items()}  # the same table, read backwards
    for number in ids:
        if number not in tokens:
            raise ValueError(f"{number} is no token's id: there are 256 bytes and {len(merges)} merges")
    # The text of all tokens together.
    return b"".join(tokens[number] for number in ids).decode("utf-8", errors="replace")  # FINISH ME


# %% [markdown]
# ## What you have built
#
# The picture shows one sentence while a tokenizer learns: every box is a token, and with each row it knows more
# merges. Below, what that is worth: how many bytes a token holds on average, in the text that it learned from and in
# texts it has never seen. This is why a model that was trained on English needs more tokens, and so more time and
# money, for the same sentence in another language.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    STORY = """
    The lighthouse keeper read the letters of the sea. Every evening the waves wrote a line on the sand, and every
    morning the keeper walked along the beach and read what the waves had written. Some of the letters were short, and
    some of the lines were long; most of the words came again and again. So the keeper made a list. The words that came
    most often got a sign of their own, and the other words were written with the signs of their parts. In the first
    year the list was short, and the reading was slow. In the second year the list was longer, and the reading was
    faster. In the tenth year the keeper read a whole storm in one evening, and when the others asked what the sea had
    said, the keeper answered: the same as ever, but it is saying it in fewer and fewer letters, and the more often it
    says a thing, the shorter the sign that I need for it.
    """
    OTHERS = {
        "new English text": "The keeper wrote another list for the ships, and the ships read it in the evening.",
        "German": "Der Leuchtturmwärter las jeden Abend die Briefe des Meeres, und seine Liste wurde länger.",
        "Greek": "Ο φαροφύλακας διάβαζε κάθε βράδυ τα γράμματα της θάλασσας.",
    }

    def draw() -> plt.Figure:
        """A sentence's tokens after more and more merges, and how many bytes a token holds, for four texts."""
        story = " ".join(STORY.split())
        sentence = "Every morning the sea wrote another café"
        merges = train_bpe(story, 1000)
        figure = plt.figure(figsize=(12, 8), layout="constrained")
        boxes, curves = figure.subplots(2, 1, height_ratios=[1.15, 1])

        colors = plt.get_cmap("Set3").colors  # 12 of them
        end = len(sentence.encode("utf-8"))
        for row, known in enumerate([0, 5, 20, 80, len(merges)]):
            ids = encode(sentence, merges[:known])
            at = 0  # how many bytes of the sentence stand to the left
            for number in ids:
                token = b"".join(merges[number - 256]) if number > 255 else bytes([number])
                boxes.barh(row, len(token) - 0.1, left=at, height=0.72, color=colors[number * 7 % 12], alpha=0.75)
                text, size = (token.decode().replace(" ", "␣"), 11) if token.isascii() else (token.hex().upper(), 8)
                center = at + (len(token) - 0.1) / 2
                boxes.text(center, row, text, size=size, ha="center", va="center", family="monospace")
                at += len(token)
            boxes.text(-0.6, row, f"{known} merges", ha="right", va="center")
            boxes.text(end + 0.4, row, f"{len(ids)} tokens", ha="left", va="center", color="0.35")
        boxes.set(title=f"“{sentence}”, and what a tokenizer makes of it while it learns", xlim=(-5, end + 5))
        boxes.invert_yaxis()
        boxes.axis("off")

        steps = [*range(0, len(merges), 5), len(merges)]
        texts = {"the training text": story, **OTHERS}
        for (name, text), color in zip(texts.items(), ["#1b3a5d", "#2a7fb8", "#e07b39", "#b5323e"], strict=True):
            size = len(text.encode("utf-8"))
            held = [size / len(encode(text, merges[:known])) for known in steps]
            curves.plot(steps, held, linewidth=2.2, color=color)
            curves.annotate(name, (steps[-1], held[-1]), (8, 0), textcoords="offset points", va="center", color=color)
        curves.set(title="How much a token holds", xlabel="merges", ylabel="bytes per token", ylim=(0.9, None))
        curves.set_xlim(0, 1.17 * len(merges))
        curves.spines[["top", "right"]].set_visible(False)
        curves.grid(alpha=0.25)
        return figure

    show(draw)
