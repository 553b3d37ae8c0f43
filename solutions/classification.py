# %% [markdown]
# # Text classification
#
# A language model reads a text and says what comes next. A *classifier* reads it and says what it is: spam or not,
# praise or complaint, comedy or tragedy. Only the last layer differs. The model that has read half the internet stays,
# its matrix for 50,000 tokens goes, and a small one for K classes, the *head*, takes its place (Radford et al. 2018).
#
# | what | shape |
# | --- | --- |
# | token ids, attention mask | `[B, T]`, `[B, T]`: True or 1 for a real token, False or 0 for padding |
# | states of the last layer | `[B, T, C]` |
# | one state for each text | `[B, C]` |
# | logits | `[B, K]` |
#
# Then come two questions that every classifier meets: what if most texts are of one class, and how good is it?

# %%
import torch
from torch import nn

# %% [markdown]
# ## Step 1: one state for a whole text
#
# A causal model's token sees itself and what stands before it. So a single one has seen the whole text, the last, and
# its state has to speak for all. The texts of a batch differ in length, and are padded to the longest: on the right, on
# the left, or on both sides. The real tokens stand together. Where is the last one?
#
# **A worked example.** T = 4, and three texts of two tokens each:
#
# | mask | last real token |
# | --- | --- |
# | `1 1 0 0` | at position 1 |
# | `0 0 1 1` | at position 3 |
# | `0 1 1 0` | at position 2 |
#
# The number of real tokens, minus one, is 1 in all three rows, and right for the first alone. The largest *position*
# that holds a real token is always right.


# %%
def last_token(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Each text's state at its last real token.

    Args:
        hidden: `[B, T, C]`, in any floating dtype.
        attention_mask: `[B, T]`, bool, or whole numbers 0 and 1. In each row the real tokens stand together, with
            padding on the right of them, on the left, on both sides, or none.

    Returns:
        `[B, C]`, in the dtype of `hidden`.

    Raises:
        ValueError: a row has no real token.
    """
    real = attention_mask.bool()
    if not real.any(dim=1).all():
        raise ValueError("a text without a real token has no last one")
    positions = torch.arange(hidden.shape[1], device=hidden.device)  # [T]
    # The largest position of a real token in each row, [B].
    last = (positions * real).argmax(dim=1)  # FINISH ME
    # From each row the state at that position, [B, C].
    return hidden[torch.arange(len(hidden), device=hidden.device), last]  # FINISH ME


# %% [markdown]
# ## Step 2: a backbone and a head
#
# $$\text{logits} = W h_{\text{last}} + b \qquad W: [K, C]$$
#
# The *backbone* is any module that makes states of ids. To train the head alone is the cheapest way to use it:
# C · K + K numbers learn, 1,731 for C = 576 and K = 3, and all else is frozen. (Between that and training everything
# lies LoRA.)


# %%
class TextClassifier(nn.Module):
    """head(last_token(backbone(ids), attention_mask)).

    Args:
        backbone: a module that makes states `[B, T, C]` of ids `[B, T]`. It is kept as the part `backbone`.
        dim: C.
        num_classes: K. The part `head` is an `nn.Linear` from C to K, with a bias.
    """

    def __init__(self, backbone: nn.Module, dim: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        # The head, from a state to a number for each class.
        self.head = nn.Linear(dim, num_classes)  # FINISH ME

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The logits of every class, before any softmax.

        Args:
            ids: `[B, T]`.
            attention_mask: `[B, T]`, as for `last_token`.

        Returns:
            `[B, num_classes]`. Gradients reach the head and the backbone.
        """
        return self.head(last_token(self.backbone(ids), attention_mask))  # FINISH ME


def freeze_backbone(classifier: TextClassifier) -> None:
    """Leaves the head alone trainable, in place.

    Args:
        classifier: its backbone learns nothing any more. Its head does, even if it was frozen before.
    """
    # Who learns, and who does not.
    # BEGIN SOLUTION
    classifier.requires_grad_(False)
    classifier.head.requires_grad_(True)
    # END SOLUTION


# %% [markdown]
# ## Step 3: a loss that rare classes take part in
#
# If nine letters in ten are spam, a classifier that always says spam is right nine times in ten, and the plain loss is
# nearly content. So each text may count with a weight that its class has:
#
# $$L = \frac{\sum_n w_{y_n} \cdot \bigl(-\log p(y_n)\bigr)}{\sum_n w_{y_n}} \qquad
# w_k = \frac{N}{K \cdot N_k} \text{ (balanced)}$$
#
# $y_n$ is the label of text n, and $N_k$ says how many of the N texts have the label k. The division is by the weights
# that were counted, not by N: so twice the weights give the same loss. With balanced weights (King & Zeng 2001) every
# class that occurs has the same total weight, N / K.
#
# **A worked example.** Logits `[[2, 0], [0, 0]]` and labels `[0, 1]`: −log p is 0.1269 and 0.6931, and the plain mean
# 0.4100. With the weights `[1, 3]` it is (1 · 0.1269 + 3 · 0.6931) / 4 = 0.5516.
#
# The labels `[0, 0, 0, 1]` with K = 3 have the balanced weights 4 / (3 · 3) = 0.4444, 4 / (3 · 1) = 1.3333, and 0 for
# the class that does not occur.


# %%
def weighted_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """sum(w[y] · -log p(y)) / sum(w[y]).

    Args:
        logits: `[B, K]`, in any floating dtype and of any size: 1e4 must not overflow.
        labels: `[B]`, int64, from 0 to K - 1.
        class_weights: `[K]`, not negative, in any floating dtype; their sum over the labels is positive. None for equal
            weights.

    Returns:
        A scalar, in the dtype of the logits; its gradient follows the formula.
    """
    # The logarithm of every class's probability, [B, K], for logits of any size.
    log_p = torch.log_softmax(logits, dim=1)  # FINISH ME
    # -log p of each text's own class, [B].
    surprise = -log_p.gather(1, labels[:, None]).squeeze(1)  # FINISH ME
    if class_weights is None:
        return surprise.mean()
    # The weight of each text's class, [B], in the dtype of the logits.
    weights = class_weights.to(logits.dtype)[labels]  # FINISH ME
    # The weighted mean.
    return (weights * surprise).sum() / weights.sum()  # FINISH ME


def balanced_weights(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """N / (K · N_k) for each class k.

    Args:
        labels: `[N]`, int64, from 0 to K - 1.
        num_classes: K.

    Returns:
        `[K]`, float32; 0 for a class that does not occur.
    """
    # How often each class occurs, [K].
    counts = torch.bincount(labels, minlength=num_classes)  # FINISH ME
    # N / (K · N_k); what the division by 0 gives is replaced below.
    weights = len(labels) / (num_classes * counts)  # FINISH ME
    return torch.where(counts > 0, weights, 0.0)


# %% [markdown]
# ## Step 4: how good is it?
#
# The *confusion matrix* shows everything: row i, column j says how many texts of class i were taken for class j. What
# is right stands on the diagonal. *Accuracy*, the diagonal's part of all, lets a frequent class drown the others. F1
# looks at one class k: its true positives TP are the diagonal's entry, its row sums to all texts of the class, its
# column to all that were taken for it.
#
# $$F_1(k) = \frac{2\, \text{TP}_k}{\text{row}_k + \text{column}_k} \qquad
# \text{macro } F_1 = \frac1K \sum_k F_1(k)$$
#
# That is the harmonic mean of precision TP / column and recall TP / row, without their zero denominators. A class that
# is never predicted and never occurs has 0. *Macro F1* is the plain mean over all K classes. (Some take the means of
# precision and recall first, and then F1 of these two: another number, and a worse one; see Opitz & Burst 2019.)
#
# **A worked example.** Labels `[0, 0, 0, 1, 2]`, predictions `[0, 0, 1, 1, 1]`:
#
# | | taken for 0 | for 1 | for 2 | F1 |
# | --- | --- | --- | --- | --- |
# | class 0 | 2 | 1 | 0 | 2 · 2 / (3 + 2) = 0.8 |
# | class 1 | 0 | 1 | 0 | 2 · 1 / (1 + 3) = 0.5 |
# | class 2 | 0 | 1 | 0 | 0 / (1 + 0) = 0 |
#
# Macro F1 is (0.8 + 0.5 + 0) / 3 = 0.4333; the accuracy, 3 / 5, looks better than it is.


# %%
def confusion_matrix(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Row i, column j: how many texts of class i were taken for class j.

    Args:
        predictions: `[N]`, int64, from 0 to K - 1.
        labels: `[N]`, the same.
        num_classes: K.

    Returns:
        `[K, K]`, int64.
    """
    # One number for each pair of a label and a prediction, [N]: its place in the matrix, read row by row.
    places = labels * num_classes + predictions  # FINISH ME
    # The matrix of the counts, [K, K].
    return torch.bincount(places, minlength=num_classes**2).view(num_classes, num_classes)  # FINISH ME


def macro_f1(predictions: torch.Tensor, labels: torch.Tensor, num_classes: int) -> float:
    """The mean of 2 TP / (row + column) over all K classes.

    Args:
        predictions: `[N]`, int64, from 0 to K - 1.
        labels: `[N]`, the same.
        num_classes: K.

    Returns:
        A float from 0.0 to 1.0. A class with no prediction and no label counts 0.
    """
    matrix = confusion_matrix(predictions, labels, num_classes)
    # Row sums plus column sums, [K].
    both = matrix.sum(dim=1) + matrix.sum(dim=0)  # FINISH ME
    # F1 of each class, [K]; where `both` is 0, so is the diagonal.
    scores = 2 * matrix.diagonal() / both.clamp(min=1)  # FINISH ME
    return scores.mean().item()


# %% [markdown]
# ## What you have built
#
# Short texts in an alphabet of twelve letters, of three kinds: 300, 45 and 15 of them. The backbone is as simple as
# can be: a letter is a point on a circle, and the state at a position is the mean of the points so far. Your head is
# trained twice on the same texts, with equal and with balanced weights. Above, where it draws its borders; below, your
# confusion matrices of new texts, as many of each kind. With equal weights about half of the texts of the rare kinds
# are taken for the frequent one.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    KINDS, LETTERS, LENGTH = 3, 12, 10
    COLORS = ("#2a6f97", "#e08e2b", "#3f8f5b")

    class MeanSoFar(nn.Module):
        """Letters are points on a circle; a state is the mean of those so far."""

        def __init__(self) -> None:
            super().__init__()
            angles = torch.arange(LETTERS) * 2 * torch.pi / LETTERS
            self.points = nn.Parameter(torch.stack([angles.cos(), angles.sin()], dim=1))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            """`[B, T]` to `[B, T, 2]`."""
            return self.points[ids].cumsum(dim=1) / torch.arange(1, ids.shape[1] + 1)[:, None]

    def texts(counts: tuple[int, ...], generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, masks and labels: each kind prefers its own letters, and texts have 4 to 10 of them."""
        labels = torch.repeat_interleave(torch.arange(KINDS), torch.tensor(counts))
        spread = torch.randn(len(labels), LENGTH, generator=generator) * 2.8
        ids = (4 * labels[:, None] + spread).round().long() % LETTERS
        lengths = torch.randint(4, LENGTH + 1, (len(labels),), generator=generator)
        return ids, torch.arange(LENGTH) < lengths[:, None], labels

    def draw() -> plt.Figure:
        """Borders and confusion matrices of two heads, trained with equal and with balanced weights."""
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(1)
        ids, mask, labels = texts((300, 45, 15), generator)
        new_ids, new_mask, new_labels = texts((200, 200, 200), generator)
        figure, rows = plt.subplots(2, 2, figsize=(8.6, 8.4), layout="constrained")
        x, y = torch.meshgrid(torch.linspace(-1, 1.1, 240), torch.linspace(-1.1, 1.1, 240), indexing="xy")
        plane = torch.stack([x, y], dim=-1).reshape(-1, 2)
        balanced = balanced_weights(labels, KINDS)
        for column, (name, weights) in enumerate((("Equal weights", None), ("Balanced weights", balanced))):
            classifier = TextClassifier(MeanSoFar(), 2, KINDS)
            freeze_backbone(classifier)
            optimizer = torch.optim.Adam(classifier.head.parameters(), lr=0.1)
            for _ in range(200):
                optimizer.zero_grad()
                weighted_cross_entropy(classifier(ids, mask), labels, weights).backward()
                optimizer.step()
            with torch.no_grad():
                guesses = classifier(new_ids, new_mask).argmax(dim=1)
                regions = classifier.head(plane).argmax(dim=1).view(x.shape)
                states = last_token(classifier.backbone(ids), mask)
            borders, grid = rows[0, column], rows[1, column]
            borders.contourf(x, y, regions, levels=[-0.5, 0.5, 1.5, 2.5], colors=COLORS, alpha=0.22)
            for kind, color in enumerate(COLORS):
                borders.scatter(*states[labels == kind].T, s=14, color=color, edgecolor="white", linewidth=0.4)
            matrix = confusion_matrix(guesses, new_labels, KINDS)
            grid.imshow(matrix, cmap="Blues", vmin=0, vmax=200)
            for i in range(KINDS):
                for j in range(KINDS):
                    shade = "white" if matrix[i, j] > 110 else "0.2"
                    grid.annotate(int(matrix[i, j]), (j, i), ha="center", va="center", color=shade, size=13)
            accuracy, f1 = matrix.diagonal().sum() / matrix.sum(), macro_f1(guesses, new_labels, KINDS)
            borders.set(title=name, xticks=[], yticks=[])
            grid.set(xlabel="taken for", ylabel="kind", xticks=range(KINDS), yticks=range(KINDS))
            grid.set_title(f"New texts: accuracy {accuracy:.2f}, macro F1 {f1:.2f}")
        return figure

    show(draw)
