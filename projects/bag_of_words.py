"""The baseline that knows only which words a text has, and in no order: scikit-learn's, in a second or two."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor

from projects.passages import Passages


@dataclass(frozen=True)
class Counted:
    """What it said, and what it took.

    predictions: `[N]`.
    learned: how many numbers.
    seconds: on the clock.
    """

    predictions: Tensor
    learned: int
    seconds: float


def bag_of_words(train: Passages, judged: Passages) -> Counted:
    """Logistic regression on the words' frequencies (tf-idf), with balanced weights."""
    began = time.perf_counter()
    counts = TfidfVectorizer(sublinear_tf=True)
    regression = LogisticRegression(class_weight="balanced", max_iter=1000, C=10.0)
    pipeline = make_pipeline(counts, regression).fit(train.texts, train.labels.numpy())
    predictions = torch.from_numpy(pipeline.predict(judged.texts))
    learned = regression.coef_.size + regression.intercept_.size
    return Counted(predictions, learned, time.perf_counter() - began)
