# %% [markdown]
# # Softmax
#
# A language model ends with one number per word of its vocabulary: a *score* (or *logit*), anything from minus to plus
# infinity. To choose a word we need *probabilities*: not negative, and together 1. Softmax makes the one from the other:
#
# $$\mathrm{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}}$$
#
# It goes back to Boltzmann (1868), and Bridle (1990) gave it its name. You will meet it again in every exercise:
# attention is a softmax over words, and every loss takes the logarithm of one.
#
# **A worked example.** The scores `[1, 2, 3]` become `[2.718, 7.389, 20.086]` under exp; their sum is `30.193`, so the
# probabilities are `[0.090, 0.245, 0.665]`. A score that is larger by 1 makes a word *e* times as probable.
#
# **The catch.** A real model has scores of 1000 now and then, and `np.exp(1000)` is `inf`; `inf / inf` is `nan`. The way
# out is one idea: softmax does not change when the same number is subtracted from all scores,
#
# $$\frac{e^{z_i - c}}{\sum_j e^{z_j - c}} = \frac{e^{z_i} e^{-c}}{\sum_j e^{z_j} e^{-c}} = \mathrm{softmax}(z)_i$$
#
# so choose *c* well and no exponential can overflow.
#
# **Shapes.** `scores` may have any number of axes, `[..., V]`; each slice along `axis` is one distribution of its own.

# %%
import numpy as np

# %% [markdown]
# ## Step 1: softmax
#
# `-inf` as a score means "never": its probability is exactly 0. That comes for free, for `np.exp(-np.inf)` is `0.0`.


# %%
def softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """softmax(z)_i = exp(z_i) / sum_j exp(z_j)   (Bridle 1990)

    Args:
        scores: `[...]`, any numbers up to ±1e6, or -inf, with a finite one in every slice along `axis`.
        axis: the axis along which the results sum to 1.

    Returns:
        Probabilities in the shape of `scores`. Floating dtypes are kept; integers are computed as floats.
    """
    # The largest score of each slice is the number to subtract: then the largest exponent is 0.
    # With keepdims=True the result keeps its axes, here [..., 1], and so broadcasts against the scores.
    largest = ...  # FINISH ME
    # exp of what is left, all between 0 and 1.
    exponentials = ...  # FINISH ME
    # Each slice divided by its own sum.
    return ...  # FINISH ME


# %% [markdown]
# ## Step 2: its logarithm
#
# Losses need log-probabilities. `np.log(softmax(z))` fails where a probability is too small for a float: the scores
# `[0, 1000]` have probabilities `[0, 1]`, and `log(0)` is `-inf`. But the logarithm can be taken by hand:
#
# $$\log \mathrm{softmax}(z)_i = z_i - c - \log \sum_j e^{z_j - c}$$
#
# which gives `[-1000, 0]`, as it should.


# %%
def log_softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """log softmax(z)_i = z_i - log sum_j exp(z_j)

    Args:
        scores: `[...]` as for `softmax`.
        axis: the axis along which the probabilities sum to 1.

    Returns:
        Log-probabilities in the shape of `scores`, finite wherever the scores are.
    """
    # As before: subtract each slice's largest score.
    shifted = ...  # FINISH ME
    # From each, subtract the logarithm of its slice's sum of exponentials.
    return ...  # FINISH ME


# %% [markdown]
# ## What you have built
#
# Temperature divides the scores before the softmax: cold makes the best word nearly certain, hot makes all words alike.

# %%
if __name__ == "__main__":
    import matplotlib.pyplot as plt

    from autograder.pictures import show

    def draw() -> plt.Figure:
        """The same five scores at three temperatures, and how close softmax comes to choosing the largest."""
        words, scores = ["Paris", "London", "a", "the", "blue"], np.array([4.0, 2.5, 2.0, 1.5, -1.0])
        temperatures = [0.5, 1.0, 3.0]
        figure, (bars, curves) = plt.subplots(1, 2, figsize=(11, 4))
        for offset, temperature in enumerate(temperatures):
            bars.bar(np.arange(5) + 0.27 * (offset - 1), softmax(scores / temperature), 0.26, label=f"T = {temperature}")
        bars.set_xticks(np.arange(5), words)
        bars.set_ylabel("probability")
        bars.set_title("The same scores at three temperatures")
        bars.legend()
        sweep = np.geomspace(0.1, 20, 200)  # [200]
        rows = softmax(scores / sweep[:, None])  # [200, 5]
        curves.semilogx(sweep, rows, label=words)
        curves.set_xlabel("temperature")
        curves.set_title("From certain to undecided")
        curves.legend()
        return figure

    show(draw)
