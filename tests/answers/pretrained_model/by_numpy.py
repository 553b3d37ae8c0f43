"""The model gives scores, and NumPy does the rest in float64; the cache is made by hand and grows inside the model."""

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache


def best_device():
    if torch.cuda.is_available():
        return torch.device("cuda:0")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def best_dtype(device):
    if device.type != "cpu":
        return torch.half
    return torch.float


def load_model(model_id, device=None):
    if device is None:
        device = best_device()
    model = AutoModelForCausalLM.from_pretrained(model_id, dtype=best_dtype(device))
    model.requires_grad_(False)
    model = model.eval().to(device)
    print(f"using {model.device.type}", flush=True)
    return model, AutoTokenizer.from_pretrained(model_id)


def hidden_states_and_logits(model, input_ids):
    hidden = model.get_decoder()(input_ids=input_ids, use_cache=False)[0]
    head = model.get_output_embeddings().weight  # [V, C]
    return hidden, torch.einsum("btc,vc->btv", hidden, head)


def _scores(model, ids, cache=None):
    device = next(model.parameters()).device
    with torch.no_grad():
        output = model(torch.tensor([ids], device=device), cache=cache, use_cache=cache is not None)
    return output.logits[0].float().cpu().numpy().astype(np.float64)  # [T, V]


def _log_softmax(scores):
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def next_token_probabilities(model, tokenizer, prompt, top_k=5):
    probabilities = np.exp(_log_softmax(_scores(model, tokenizer.encode(prompt))[-1]))
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return [(tokenizer.decode([int(token)]), float(probabilities[token])) for token in order]


def generate_greedy(model, tokenizer, prompt, max_new_tokens, use_cache=True):
    prompt_ids = tokenizer.encode(prompt)
    new = []
    cache = DynamicCache(config=model.config) if use_cache else None
    if use_cache and len(prompt_ids) > 1:
        _scores(model, prompt_ids[:-1], cache)  # all but the last, so that every step feeds one token
    while len(new) < max_new_tokens:
        everything = prompt_ids + new
        token = int(_scores(model, everything[-1:] if use_cache else everything, cache)[-1].argmax())
        if token == tokenizer.eos_token_id:
            break
        new.append(token)
    return tokenizer.decode(new, skip_special_tokens=True)


def token_surprisals(model, tokenizer, prompt, completion):
    before, after = tokenizer.encode(prompt), tokenizer.encode(completion, add_special_tokens=False)
    log_probs = _log_softmax(_scores(model, before + after))
    return [(tokenizer.decode([t]), float(-log_probs[len(before) + i - 1, t])) for i, t in enumerate(after)]
