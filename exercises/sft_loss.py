# %% [markdown]
# # Supervised fine-tuning
#
# A model that was trained on the whole internet continues text. Asked "What is the capital of France?", it may well go
# on with "And what is the capital of Italy?", for lists of questions are what it has seen. *Supervised fine-tuning*
# (SFT) makes it answer: show it prompts together with good answers, and let it learn to predict the answers. It is the
# first of the three steps that made InstructGPT (Ouyang et al. 2022), and most chat models since have begun with it.
#
# The loss is the one of pretraining, the mean of $-\log p$ of each next token, with one difference: only the tokens of
# the answer count. The model should learn to answer questions, not to ask them.
#
# $$\mathcal{L} = -\frac{1}{N} \sum_{t\ \text{counts}} \log p(y_t \mid y_{<t})$$
#
# *N* is the number of tokens that count, in all sequences of the batch together.
#
# **A worked example.** The prompt has the ids `[7, 3]` and the answer `[5, 1]`. The model reads `[7, 3, 5, 1]`, and the
# labels are `[-100, -100, 5, 1]`: the same, with −100 for "does not count". Suppose it finds the 5 after `[7, 3]` with
# probability 0.5, and the 1 after `[7, 3, 5]` with probability 0.25. Their losses are −log 0.5 = 0.693 and
# −log 0.25 = 1.386, and the loss is the mean, 1.040.
#
# **Shapes.** `B` sequences of `T` tokens, `V` words in the vocabulary: `logits [B, T, V]` and `labels [B, T]` become
# one number.

# %%
import torch

# %% [markdown]
# ## Step 1: labels
#
# The labels are the ids that the model reads, at the same places. A label that does not count holds a number that is
# no word's id instead; PyTorch's own losses skip −100, so nearly everyone writes that. (The sequences of a batch are
# padded to the same length later, and the labels of that padding are −100 as well.)
#
# Nothing is shifted here. The loss does that, once.


# %%
def build_labels(
    prompt_ids: list[int], completion_ids: list[int], ignore_index: int = -100
) -> tuple[list[int], list[int]]:
    """What the model reads, and what it should learn from it.

    Args:
        prompt_ids: the ids of the prompt's tokens.
        completion_ids: the ids of the answer's tokens.
        ignore_index: the label of a token that does not count.

    Returns:
        `(input_ids, labels)`, two new lists of equal length: the prompt and then the completion, and the same with
        every label of the prompt ignored.
    """
    # What the model reads.
    input_ids = ...  # FINISH ME
    # As long as the input: what each token is to be learned as.
    labels = ...  # FINISH ME
    return input_ids, labels


# %% [markdown]
# ## Step 2: the loss
#
# Three ideas, one after the other.
#
# **The shift.** The logits at place *t* are made after reading token *t*, so they predict the label at place *t + 1*.
# The last logits predict nothing that we know, and nothing predicts the first label.
#
# | place | 0 | 1 | 2 | 3 |
# | --- | --- | --- | --- | --- |
# | input | 7 | 3 | 5 | 1 |
# | label | −100 | −100 | 5 | 1 |
# | predicted by the logits at place | none | 0 | 1 | 2 |
#
# **A stand-in for −100.** There is no logit number −100 to look up. So look up number 0 in its place: what comes out
# is thrown away anyway.
#
# **The mean.** It is taken over the labels that count, and over those alone: neither prompts nor padding are in the
# sum, nor in the number that it is divided by. And it is one mean for the whole batch: each *token* weighs the same. A
# mean of each sequence's mean would let a token of a short answer weigh more than one of a long answer.


# %%
def sft_loss(logits: torch.Tensor, labels: torch.Tensor, ignore_index: int = -100) -> torch.Tensor:
    """The mean of -log p(label_t | tokens before t) over all labels that count (Ouyang et al. 2022, step 1).

    Args:
        logits: `[B, T, V]`, where `logits[:, t]` predict `labels[:, t + 1]`.
        labels: `[B, T]`, token ids from 0 to V - 1, or `ignore_index`. At least one after the first place counts.
        ignore_index: the label that does not count. It may be the id of a word, say of one that fills up sequences.

    Returns:
        A scalar in the dtype of `logits`, finite for logits up to ±1e4.
    """
    return ...  # FINISH ME: the whole function


# %% [markdown]
# ## What you have built
#
# The picture shows a little network learning five answers with your loss. Each cell is a token; its color is how badly
# it was predicted. Prompts are gray: nobody asked the network to predict them, and the gray curve shows that it does
# not learn to.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    DIALOGS = [
        ("capital of France ?", "Paris ."),
        ("capital of Peru ?", "Lima ."),
        ("two plus two ?", "four of course ."),
        ("color of grass ?", "green ."),
        ("who are you ?", "a language model ."),
    ]
    WORDS = sorted({word for dialog in DIALOGS for part in dialog for word in part.split()})
    PADDING = len(WORDS)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        """All dialogs, padded to the same length: ids and labels, `[B, T]` each."""
        pairs = [[[WORDS.index(word) for word in part.split()] for part in dialog] for dialog in DIALOGS]
        rows = [build_labels(prompt, completion) for prompt, completion in pairs]
        length = max(len(ids) for ids, _ in rows)
        ids = [ids + [PADDING] * (length - len(ids)) for ids, _ in rows]
        labels = [labels + [-100] * (length - len(labels)) for _, labels in rows]
        return torch.tensor(ids), torch.tensor(labels)

    class Reader(torch.nn.Module):
        """A small recurrent network that reads words and predicts the next one."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(PADDING + 1, 16)
            self.read = torch.nn.GRU(16, 32, batch_first=True)
            self.predict = torch.nn.Linear(32, PADDING + 1)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            """`[B, T]` → logits `[B, T, V]`."""
            return self.predict(self.read(self.embed(ids))[0])

    def losses_by_token(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The loss of each token by itself, `[B, T]`: `sft_loss` with all other labels ignored."""
        losses = torch.full(ids.shape, torch.nan)
        for row in range(ids.shape[0]):
            for place in range(1, ids.shape[1]):
                labels = torch.full_like(ids, -100)
                labels[row, place] = ids[row, place]
                losses[row, place] = sft_loss(logits, labels)
        return losses

    def draw_tokens(axes: plt.Axes, losses: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor) -> object:
        """A table of words: answers in the color of their losses, prompts in gray, padding left out."""
        shown = torch.where(labels != -100, losses, torch.nan)
        colors = axes.imshow(shown, cmap="YlOrRd", vmin=0, vmax=4, aspect="auto")
        for row, place in (ids != PADDING).nonzero().tolist():
            answer = labels[row, place] != -100
            if not answer:
                axes.add_patch(plt.Rectangle((place - 0.5, row - 0.5), 1, 1, color="0.88"))
            color = "white" if answer and losses[row, place] > 2.4 else "black"
            axes.text(place, row, WORDS[ids[row, place]], ha="center", va="center", color=color, fontsize=9)
        axes.set_xticks(torch.arange(0.5, ids.shape[1] - 1).tolist(), [])
        axes.set_yticks(torch.arange(0.5, len(ids) - 1).tolist(), [])
        axes.grid(color="white", lw=3)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return colors

    def draw() -> plt.Figure:
        """Every token's loss at three points of the training, and the losses on the way."""
        torch.manual_seed(0)
        ids, labels = batch()
        prompts = torch.where((labels == -100) & (ids != PADDING), ids, -100)
        network = Reader()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        history, tables = [], {}
        for step in range(41):
            logits = network(ids)
            loss = sft_loss(logits, labels)
            history.append((loss.item(), sft_loss(logits.detach(), prompts).item()))
            if step in (0, 6, 40):
                tables[step] = losses_by_token(logits.detach(), ids)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        figure, axes = plt.subplots(2, 2, figsize=(13, 6.6), layout="constrained")
        for panel, (step, losses) in zip(axes.flat, tables.items(), strict=False):
            colors = draw_tokens(panel, losses, ids, labels)
            panel.set_title(f"After {step} steps" if step else "Before: every word of an answer is a surprise")
        figure.colorbar(colors, ax=axes[:, 0], label="−log p of the token", location="left", shrink=0.7)
        curves = axes[1, 1]
        answers, questions = zip(*history, strict=True)
        curves.plot(questions, color="0.6", lw=2, label="prompts (ignored)")
        curves.plot(answers, color="#d7301f", lw=2, label="answers")
        curves.plot(list(tables), [answers[step] for step in tables], "o", color="#d7301f", ms=7)
        curves.axhline(torch.tensor(PADDING + 1.0).log(), color="0.4", ls=":", lw=1)
        curves.text(40, 2.95, "log V: pure guessing", color="0.4", ha="right", va="top", fontsize=9)
        curves.set(xlabel="step", ylabel="loss", ylim=(0, None), title="Only what counts is learned")
        curves.legend(loc="upper left")
        return figure

    show(draw)
