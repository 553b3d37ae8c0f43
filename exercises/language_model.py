# %% [markdown]
# # A small Llama of your own
#
# A language model answers one question: which token comes next? Here you stack the blocks that you built into a model that
# does, train it, and make it so like the original that the weights of SmolLM2-135M run in it unchanged.
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
# weights, a block holds 3,540,096, the last norm 576. That is 28,311,552 + 30 · 3,540,096 + 576 = 134,515,008: the "135M". The
# `lm_head` would need another 28 million, but the model *ties* it to the table: both are one and the same matrix
# (Press & Wolf 2017).

# %%
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from llama_block import LlamaBlock, RMSNorm

# %% [markdown]
# ## Step 1: the model
#
# The names of the parts are those of Llama's files. A file's keys begin with `model.` (all but `lm_head.weight`); without
# it they fit yours. So a real model runs in your class like this:
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
        # num_layers blocks, each with weights of its own, in an nn.ModuleList: only so are they found as parts.
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
            `[B, T, V]`: the logits at position t are about token t + 1, and know the tokens up to t.
        """
        x = self.embed_tokens(ids)  # [B, T, C]
        for block in self.layers:
            x = block(x)  # [B, T, C]
        # The blocks never norm the stream itself: one last norm, then the scores.
        return ...  # FINISH ME


# %% [markdown]
# ## Step 2: the loss
#
# How surprised is the model by the text? At each position we take minus the logarithm of the probability that it gave to
# the token that really came next, and then the mean:
#
# $$L = -\frac{1}{B (T - 1)} \sum_{b} \sum_{t=1}^{T-1} \log p(x_{b,t+1} \mid x_{b,1}, \dots, x_{b,t})$$
#
# There are T - 1 answers in T tokens: the last position has no next token, and nothing predicts the first.
#
# **A worked example.** V = 2 and `ids = [[0, 1, 1]]`. At position 0 the logits are `[0, log 3]`, so token 1 has probability 3/4;
# at position 1 they are `[0, 0]`, so it has 1/2; those at position 2 do not count. The loss is
# (0.2877 + 0.6931) / 2 = 0.4904. A model that knows nothing has the loss log V: 10.80 for SmolLM2's vocabulary.


# %%
def next_token_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """L = mean of -log p(ids[:, t + 1]), where logits[:, t] are the scores.

    Args:
        logits: `[B, T, V]`, with T of at least 2.
        ids: `[B, T]`, the tokens that the logits came from; the shift by one happens in here.

    Returns:
        `[]`, a scalar.
    """
    # All positions but the last predict something: [B, T - 1, V].
    predictions = ...  # FINISH ME
    # What they should have predicted, the tokens one later: [B, T - 1].
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
# All chance comes from `generator`: the same generator in the same state gives the same batch, whatever else the program does.


# %%
def sample_batch(
    data: torch.Tensor, batch_size: int, context_length: int, generator: torch.Generator
) -> torch.Tensor:
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
    # The starts: [batch_size]. torch.randint leaves its upper bound out, so the bound is the number of windows.
    starts = ...  # FINISH ME
    # Each start, plus 0, 1, ..., context_length - 1: [batch_size, 1] + [context_length], as places in the text.
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
    loss = next_token_loss(model(ids), ids)  # []
    # Three calls: the old gradients away, the new ones of this loss, and the optimizer's step.
    ...  # FINISH ME
    return loss.item()


# %% [markdown]
# ## What you have built
#
# A model that learns a rhyme, letter by letter. The dashed lines are what can be had without a model: knowing only which
# letters there are, how often each comes, and which one follows which. Below the last line the model uses what stands
# further back. The coloured letters show where it is still surprised at the end: where a new verse grows by a line that
# no letter before has announced.

# %%
if __name__ == "__main__":
    import math
    from collections import Counter

    import matplotlib.pyplot as plt

    from autograder.pictures import show

    LINKS = (
        *("the seed that Ada sowed", "the rain that woke", "the cloud that carried", "the wind that drove"),
        *("the hill that turned", "the goat that climbed", "the child that followed", "the song that called"),
    )
    TEXT = "\n".join(f"This is {' '.join(LINKS[k::-1])}." for k in range(len(LINKS))) + "\n\n"
    LETTERS = sorted(set(TEXT))
    CONTEXT = 64

    def entropy(counts: Counter[str]) -> float:
        """The loss of a model that knows how often each thing comes, and nothing else."""
        total = sum(counts.values())
        return -sum(count / total * math.log(count / total) for count in counts.values())

    @torch.no_grad()
    def write(model: MiniLlama, start: str, length: int, generator: torch.Generator) -> str:
        """Lets the model go on after `start`, one letter at a time, each drawn from its probabilities."""
        ids = [LETTERS.index(letter) for letter in start]
        for _ in range(length):
            logits = model(torch.tensor([ids[-CONTEXT:]]))[0, -1]  # [V]
            ids.append(int(torch.multinomial(logits.softmax(-1), 1, generator=generator)))
        return "".join(LETTERS[i] for i in ids).replace("\n", "¶")

    def draw() -> plt.Figure:
        """The loss while the model trains, what it writes on the way, and where it is still surprised."""
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        data = torch.tensor([LETTERS.index(letter) for letter in TEXT * 2])  # [N]
        model = MiniLlama(len(LETTERS), 48, num_heads=4, num_layers=2, hidden_dim=128, num_kv_heads=2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses, samples = [], {}
        for step in range(401):
            if step in (0, 25, 100, 400):
                samples[step] = write(model, "This is ", 70, generator)
            losses.append(train_step(model, optimizer, sample_batch(data, 16, CONTEXT, generator)))

        figure = plt.figure(figsize=(12, 7.5), layout="constrained")
        curve, page, verse = figure.subplot_mosaic([["curve", "page"], ["verse", "verse"]], height_ratios=[3, 1.1]).values()
        curve.plot(losses, color="tab:blue", linewidth=1.2)
        pairs, singles = Counter(zip(TEXT, TEXT[1:], strict=False)), Counter(TEXT[:-1])
        knowledge = {
            f"which letters there are: log {len(LETTERS)}": math.log(len(LETTERS)),
            "how often each letter comes": entropy(Counter(TEXT)),
            "which letter follows which": entropy(pairs) - entropy(singles),
        }
        for name, loss in knowledge.items():
            curve.axhline(loss, linestyle="--", color="0.5", linewidth=1)
            curve.annotate(name, (400, loss), va="bottom", ha="right", color="0.35")
        curve.set(xlabel="step", ylabel="loss (nats for each letter)", title="Learning", ylim=(0, 3.6), xlim=(0, 400))

        page.axis("off")
        page.set_title("What it writes")
        for row, (step, sample) in enumerate(samples.items()):
            top = 0.92 - 0.25 * row
            page.text(0, top, f"after {step} steps", color="tab:blue", weight="bold")
            page.text(0, top - 0.03, f"{sample[:39]}\n{sample[39:]}", family="monospace", fontsize=11, va="top")

        start = TEXT.index("This is the goat")
        shown = TEXT[start - CONTEXT : TEXT.index("\n", start)]
        ids = torch.tensor([[LETTERS.index(letter) for letter in shown]])  # [1, T]
        with torch.no_grad():
            surprise = -model(ids)[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]  # [T - 1]
        letters, heat = shown[CONTEXT:], surprise[CONTEXT - 1 :]
        verse.imshow(heat.clamp(max=3)[None], cmap="YlOrRd", vmin=0, vmax=3, aspect="auto")
        for place, letter in enumerate(letters):
            verse.text(place, 0, letter, family="monospace", fontsize=11, ha="center", va="center")
        verse.set(yticks=[], xticks=[], title="Where it is still surprised: the darker, the less expected")
        return figure

    show(draw)
