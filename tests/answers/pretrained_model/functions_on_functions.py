"""Each function on the one before: the logits by hand, then everything from them, without a cache object in sight.

Better: one function makes the logits and all others stand on it, so that nothing can be wrong twice.
"""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def best_device():
    if torch.accelerator.is_available():
        return torch.device(torch.accelerator.current_accelerator().type)
    return torch.device("cpu")


def best_dtype(device):
    return torch.float16 if device.type != "cpu" else torch.float32


def load_model(model_id, device=None):
    device = torch.device(device) if device is not None else best_device()
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    model = AutoModelForCausalLM.from_pretrained(model_id, torch_dtype=best_dtype(device))
    model.to(device)
    print(f"The model is on the {device}.")
    return (model.train(False), tokenizer)


def hidden_states_and_logits(model, input_ids):
    hidden = model.base_model(input_ids, attention_mask=torch.ones_like(input_ids)).last_hidden_state
    return hidden.detach(), model.lm_head(hidden).detach()


def _ids(model, tokenizer, text, **kwargs):
    return tokenizer(text, return_tensors="pt", **kwargs)["input_ids"].to(model.device)


def _probabilities(model, ids):
    return hidden_states_and_logits(model, ids)[1].float().softmax(-1)[0]


def next_token_probabilities(model, tokenizer, prompt, top_k=5):
    values, indices = torch.sort(_probabilities(model, _ids(model, tokenizer, prompt))[-1], descending=True)
    return [(tokenizer.decode([i]), v) for v, i in list(zip(values.tolist(), indices.tolist(), strict=False))[:top_k]]


@torch.no_grad()
def generate_greedy(model, tokenizer, prompt, max_new_tokens, use_cache=True):
    ids = _ids(model, tokenizer, prompt)
    start = ids.shape[-1]
    past = None
    fed = ids
    while ids.shape[-1] - start < max_new_tokens:
        if use_cache:
            output = model.base_model(fed, cache=past, use_cache=True)
            past = output.cache
            scores = model.lm_head(output.last_hidden_state[:, -1])
        else:
            scores = hidden_states_and_logits(model, ids)[1][:, -1]
        fed = torch.topk(scores, 1).indices
        if fed == tokenizer.eos_token_id:
            break
        ids = torch.hstack((ids, fed))
    return tokenizer.batch_decode(ids[:, start:], skip_special_tokens=True)[0]


def token_surprisals(model, tokenizer, prompt, completion):
    before = _ids(model, tokenizer, prompt)
    after = _ids(model, tokenizer, completion, add_special_tokens=False)
    scores = hidden_states_and_logits(model, torch.cat((before, after), 1))[1][0].float()
    log_probs = torch.nn.functional.log_softmax(scores, dim=1)[before.shape[1] - 1 : -1]
    picked = log_probs.gather(1, after.T).neg().squeeze(1)
    return [
        (tokenizer.decode([token]), value) for token, value in zip(after[0].tolist(), picked.tolist(), strict=False)
    ]
