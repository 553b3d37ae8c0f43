"""What suites stand on: the tiny checkpoint, and examples that are drawn once."""

import numpy as np
import pytest
import torch

from autograder.suites.tiny_checkpoint import tiny_checkpoint, tiny_logits, tiny_tokenizer


@pytest.mark.parametrize("adds_start", [True, False])
def test_the_tiny_checkpoint_is_what_transformers_reads(adds_start):
    """transformers loads it; its logits and its tokens are those that the suites expect."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_checkpoint(adds_start)
    text = " the cat sat on café moon."
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text).input_ids
    assert ids == tiny_tokenizer(adds_start).encode(text).ids
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    logits = model(torch.tensor([ids])).logits[0].detach().numpy()
    np.testing.assert_allclose(tiny_logits(ids), logits, rtol=0, atol=1e-5)  # its angles are float32
