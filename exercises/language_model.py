# %% [markdown]
# # A small Llama of your own
#
# A language model answers one question: which token comes next? Here you stack the blocks that you built into a model
# that does, train it, and make it so like the original that the weights of SmolLM2-135M run in it unchanged.
#
# $$p(x_1, \dots, x_T) = \prod_{t} p(x_{t+1} \mid x_1, \dots, x_t)$$
#
# All T questions of a text are asked at once, for no position sees a later one. The way through (Touvron et al. 2023):
#
# | step | shape |
# | --- | --- |
# | `ids`, whole numbers from 0 to V - 1 | `[B, T]` |
# | `embed_tokens`: each id picks its row of a table | `[B, T, C]` |
# | `layers`: one block after the other | `[B, T, C]` |
# | `norm`: a last RMSNorm | `[B, T, C]` |
# | `lm_head`: one score for each token of the vocabulary | `[B, T, V]` |
#
# **A worked example.** SmolLM2-135M has V = 49,152, C = 576 and 30 blocks. Its table holds 49,152 · 576 = 28,311,552
# weights, a block holds 3,540,096, the last norm 576. That is 28,311,552 + 30 · 3,540,096 + 576 = 134,515,008: the
# "135M". The `lm_head` would need another 28 million, but the model *ties* it to the table: both are one and the same
# matrix (Press & Wolf 2017).

# %%
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from llama_block import LlamaBlock, RMSNorm

# %% [markdown]
# ## Step 1: the model
#
# The names of the parts are those of Llama's files. A file's keys begin with `model.` (all but `lm_head.weight`);
# without it they fit yours. So a real model runs in your class like this:
#
#     from transformers import AutoModelForCausalLM
#
#     original = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M", dtype=torch.float32)
#     mine = MiniLlama(49152, 576, 9, 30, 1536, num_kv_heads=3, base=100000.0, eps=1e-5, tie_embeddings=True)
#     mine.load_state_dict({key.removeprefix("model."): value for key, value in original.state_dict().items()})
#
# and `mine(ids)` gives what `original(ids).logits` gives.


# %%
class MiniLlama(nn.Module):
    """logits = lm_head(norm(layers(embed_tokens(ids))))   (Touvron et al. 2023).

    Args:
        vocab_size: V, how many tokens there are.
        dim: C, the channels.
        num_heads: the query heads of each block.
        num_layers: how many blocks there are.
        hidden_dim: the hidden units of each block's SwiGLU.
        num_kv_heads: the key-value heads of each block; as many as query heads by default.
        base: the base of the rotary embedding.
        eps: the eps of all norms.
        tie_embeddings: whether `lm_head` and `embed_tokens` share one weight.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        num_heads: int,
        num_layers: int,
        hidden_dim: int,
        num_kv_heads: int | None = None,
        base: float = 10000.0,
        eps: float = 1e-6,
        tie_embeddings: bool = False,
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, dim)  # weight: [V, C]
        # num_layers blocks, each with weights of its own, and found as parts of the model.
        arguments = (dim, num_heads, hidden_dim, num_kv_heads, base, eps)
        self.layers = ...  # FINISH ME
        self.norm = RMSNorm(dim, eps)
        self.lm_head = nn.Linear(dim, vocab_size, bias=False)  # weight: [V, C]
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)  # small, so that a new model is undecided
        if tie_embeddings:
            # Not a copy: from here on both names must mean the same parameter, so that training moves one matrix.
            self.lm_head.weight = ...  # FINISH ME

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores of all tokens to come next, at every position.

        Args:
            ids: `[B, T]`, token ids from 0 to V - 1.

        Returns:
            `[B, T, V]`, in the dtype of the weights: the logits at position t are about token t + 1, and know the
            tokens up to t.
        """
        x = self.embed_tokens(ids)  # [B, T, C]
        for block in self.layers:
            x = block(x)  # [B, T, C]
        # From the last block's vectors to the scores: [B, T, V].
        return ...  # FINISH ME


# %% [markdown]
# ## Step 2: the loss
#
# How surprised is the model by the text? At each position we take minus the logarithm of the probability that it gave
# to the token that really came next, and then the mean:
#
# $$L = -\frac{1}{B (T - 1)} \sum_{b} \sum_{t=1}^{T-1} \log p(x_{b,t+1} \mid x_{b,1}, \dots, x_{b,t})$$
#
# There are T - 1 answers in T tokens: the last position has no next token, and nothing predicts the first.
#
# **A worked example.** V = 2 and `ids = [[0, 1, 1]]`. At position 0 the logits are `[0, log 3]`, so token 1 has the
# probability 3/4; at position 1 they are `[0, 0]`, so it has 1/2; those at position 2 do not count. The loss is
# (0.2877 + 0.6931) / 2 = 0.4904. A model that knows nothing has the loss log V: 10.80 for SmolLM2's vocabulary.


# %%
def next_token_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """L = mean of -log p(ids[:, t + 1]), where logits[:, t] are the scores.

    Args:
        logits: `[B, T, V]`, with T of at least 2.
        ids: `[B, T]`, the tokens that the logits came from; the shift by one happens in here.

    Returns:
        `[]`, a scalar in the dtype of the logits.
    """
    # The logits that predict something: [B, T - 1, V].
    predictions = ...  # FINISH ME
    # What they should have predicted: [B, T - 1].
    targets = ...  # FINISH ME
    return cross_entropy(predictions.flatten(0, 1), targets.flatten())  # [B * (T - 1), V] and [B * (T - 1)]


# %% [markdown]
# ## Step 3: a batch
#
# The text is one long row of N tokens. A batch is a few windows of it, each beginning anywhere, every start as probable
# as any other.
#
# **A worked example.** In 10 tokens there are 7 windows of length 4: the first starts at 0, the last at 6 and ends with
# the text's last token. With the starts `[6, 0]` and the text `[0, 10, 20, ..., 90]` the batch is
# `[[60, 70, 80, 90], [0, 10, 20, 30]]`.
#
# All chance comes from `generator`: in the same state it gives the same batch, whatever else the program does.


# %%
def sample_batch(data: torch.Tensor, batch_size: int, context_length: int, generator: torch.Generator) -> torch.Tensor:
    """Windows data[s : s + context_length], the starts s uniform over 0, ..., N - context_length.

    Args:
        data: `[N]`, token ids.
        batch_size: how many windows.
        context_length: how long each is; at most N.
        generator: where the randomness comes from, all of it.

    Returns:
        `[batch_size, context_length]`, in the dtype of `data`. A start may come more than once.

    Raises:
        ValueError: the text is shorter than one window.
    """
    if len(data) < context_length:
        raise ValueError(f"a text of {len(data)} tokens has no window of {context_length}")
    # The starts: [batch_size].
    starts = ...  # FINISH ME
    # The windows that begin there: [batch_size, context_length].
    return ...  # FINISH ME


# %% [markdown]
# ## Step 4: one step of training
#
# The loss, its gradient by every weight, and one step of the optimizer against it. PyTorch *adds* gradients to those
# that are already there: clear them first.


# %%
def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, ids: torch.Tensor) -> float:
    """One update of the model on one batch.

    Args:
        model: maps ids `[B, T]` to logits `[B, T, V]`.
        optimizer: holds the model's parameters.
        ids: `[B, T]`.

    Returns:
        The loss on `ids` as a plain number: the one whose gradient was used, from before the update.
    """
    return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# A model that learns a rhyme, letter by letter. The dashed lines are what can be had without a model: by knowing which
# letters there are, how often each comes, and which one follows which. Below the last line, the model uses what stands
# further back. The letters of one verse are colored by their surprise, -log p: first it learns how words go on, then
# which word follows. The "goat" stays a surprise: the 64 letters that the model sees do not tell which verse this is.

# %%
if __name__ == "__main__":
    import math
    from collections import Counter
    from itertools import pairwise

    import matplotlib.pyplot as plt

    from autograder.pictures import show

    LINKS = (
        *("the seed that Ada sowed", "the rain that woke", "the cloud that carried", "the wind that drove"),
        *("the hill that turned", "the goat that climbed", "the child that followed", "the song that called"),
    )
    TEXT = "\n".join(f"This is {' '.join(LINKS[k::-1])}." for k in range(len(LINKS))) + "\n\n"
    LETTERS = sorted(set(TEXT))
    STEPS, CONTEXT = 400, 64

    def as_ids(text: str) -> torch.Tensor:
        """The numbers of the letters: `[N]`."""
        return torch.tensor([LETTERS.index(letter) for letter in text])

    def entropy(things: list) -> float:
        """The loss of a model that knows how often each thing comes, and nothing else."""
        counts = Counter(things).values()
        return -sum(count / len(things) * math.log(count / len(things)) for count in counts)

    @torch.no_grad()
    def write(model: MiniLlama, text: str, length: int, generator: torch.Generator) -> str:
        """Lets the model go on after `text`, each letter drawn from its probabilities."""
        for _ in range(length):
            logits = model(as_ids(text[-CONTEXT:])[None])[0, -1]  # [V]
            text += LETTERS[torch.multinomial(logits.softmax(-1), 1, generator=generator)]
        return text.replace("\n", "¶")

    @torch.no_grad()
    def surprises(model: MiniLlama, text: str) -> torch.Tensor:
        """-log p of each letter of `text` but the first CONTEXT, given the CONTEXT letters before it."""
        windows = as_ids(text).unfold(0, CONTEXT + 1, 1)  # [N - CONTEXT, CONTEXT + 1]
        logits = model(windows[:, :-1])[:, -1]  # [N - CONTEXT, V]
        return -logits.log_softmax(-1).gather(1, windows[:, -1:])[:, 0]  # [N - CONTEXT]

    def draw_learning(axes: plt.Axes, losses: list[float]) -> None:
        """The loss of each step, beside what three simpler kinds of knowledge reach."""
        axes.plot(losses, color="tab:blue", linewidth=1.5)
        known = {
            "which letters there are": math.log(len(LETTERS)),
            "how often each comes": entropy(list(TEXT)),
            "which follows which": entropy(list(pairwise(TEXT))) - entropy(list(TEXT[:-1])),
        }
        for name, loss in known.items():
            axes.axhline(loss, linestyle="--", color="0.6", linewidth=1)
            axes.annotate(name, (STEPS - 5, loss + 0.03), ha="right", color="0.35")
        axes.set(xlabel="step", ylabel="loss (nats a letter)", title="It learns", xlim=(0, STEPS), ylim=(0, 3.6))

    def draw_page(axes: plt.Axes, samples: dict[int, str]) -> None:
        """What the model wrote on the way."""
        for row, (step, sample) in enumerate(samples.items()):
            top = 0.95 - 0.25 * row
            axes.text(0, top, f"after {step} steps", color="tab:blue", weight="bold")
            axes.text(0, top - 0.03, f"{sample[:42]}\n{sample[42:]}", family="monospace", fontsize=11, va="top")
        axes.set_title("What it writes after “This is”")
        axes.axis("off")

    def draw_verse(axes: plt.Axes, letters: str, surprise: torch.Tensor) -> None:
        """One verse, each letter on the color of its surprise."""
        image = axes.imshow(surprise[None], cmap="Oranges", vmin=0, vmax=2, aspect="auto")
        for place, letter in enumerate(letters):
            ink = "white" if surprise[place] > 1 else "black"
            axes.text(place, 0, letter, color=ink, family="monospace", fontsize=11, ha="center", va="center")
        axes.set(yticks=[], xticks=[])
        axes.figure.colorbar(image, ax=axes, label="-log p", pad=0.01)

    def draw() -> plt.Figure:
        """The loss while the model trains, what it writes on the way, and where a verse surprises it early and late."""
        torch.manual_seed(0)
        torch.set_num_threads(1)  # for matrices as small as these, a second thread would only be waited for
        generator = torch.Generator().manual_seed(0)
        model = MiniLlama(len(LETTERS), 48, num_heads=4, num_layers=2, hidden_dim=128, num_kv_heads=2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        data = as_ids(TEXT * 2)  # [N]
        start = TEXT.index("This is the goat")
        verse = TEXT[start - CONTEXT : TEXT.index("\n", start)]
        losses, samples, heats = [], {}, {}
        for step in range(STEPS + 1):
            if step in (0, 25, 100, STEPS):
                samples[step] = write(model, "This is ", 76, generator)
                heats[step] = surprises(model, verse)
            losses.append(train_step(model, optimizer, sample_batch(data, 16, CONTEXT, generator)))
        figure = plt.figure(figsize=(12, 7), layout="constrained")
        rows = [["curve", "page"], ["early", "early"], ["late", "late"]]
        places = figure.subplot_mosaic(rows, height_ratios=[8, 1, 1])
        draw_learning(places["curve"], losses)
        draw_page(places["page"], samples)
        draw_verse(places["early"], verse[CONTEXT:], heats[100])
        draw_verse(places["late"], verse[CONTEXT:], heats[STEPS])
        places["early"].set_title("Where it is surprised after 100 steps")
        places["late"].set_title(f"... and after {STEPS}")
        return figure

    show(draw)
