"""Everything token by token through the cache, from embeddings, with `torch.logsumexp`."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def best_device() -> torch.device:
    name = "cpu"
    if torch.backends.mps.is_available():
        name = "mps"
    if torch.cuda.device_count() > 0:
        name = "cuda"
    return torch.device(name)


def best_dtype(device: torch.device) -> torch.dtype:
    on_cpu = str(device).startswith("cpu")
    return (torch.float16, torch.float32)[on_cpu]


def load_model(model_id, device=None):
    chosen = best_device() if device is None else device
    print(f"chosen device: {chosen}")
    # Made where it belongs, not moved there afterwards.
    with torch.device(chosen):
        model = AutoModelForCausalLM.from_pretrained(model_id, dtype=best_dtype(chosen))
    return model.eval(), AutoTokenizer.from_pretrained(model_id)


@torch.no_grad()
def hidden_states_and_logits(model, input_ids):
    hidden = model.model(inputs_embeds=model.get_input_embeddings()(input_ids)).last_hidden_state
    logits = torch.stack([hidden[:, t] @ model.lm_head.weight.mT for t in range(hidden.shape[1])], dim=1)
    return hidden, logits


class Reader:
    """A model that reads a token at a time and remembers."""

    def __init__(self, model):
        self.model, self.past = model, None

    @torch.no_grad()
    def read(self, token):
        ids = torch.full((1, 1), token, device=self.model.device)
        output = self.model(input_ids=ids, cache=self.past, use_cache=True)
        self.past = output.cache
        scores = output.logits[0, 0].float()
        return scores - torch.logsumexp(scores, 0)


def _after(model, ids):
    reader = Reader(model)
    for token in ids:
        log_probs = reader.read(token)
    return reader, log_probs


def next_token_probabilities(model, tokenizer, prompt, top_k=5):
    _, log_probs = _after(model, tokenizer(prompt)["input_ids"])
    ranked = sorted(enumerate(log_probs.exp().tolist()), key=lambda pair: -pair[1])
    return [(tokenizer.decode([token]), probability) for token, probability in ranked[:top_k]]


def generate_greedy(model, tokenizer, prompt, max_new_tokens, use_cache=True):
    ids, new = tokenizer(prompt)["input_ids"], []
    reader, log_probs = _after(model, ids) if use_cache else (None, None)
    for _ in range(max_new_tokens):
        if reader is None:
            with torch.no_grad():
                log_probs = model(torch.tensor([ids + new]).to(model.device), use_cache=False).logits[0, -1]
        token = log_probs.argmax().item()
        if token == tokenizer.eos_token_id:
            break
        new += [token]
        if reader:
            log_probs = reader.read(token)
    return tokenizer.decode(new, skip_special_tokens=True)


def token_surprisals(model, tokenizer, prompt, completion):
    reader, log_probs = _after(model, tokenizer(prompt)["input_ids"])
    pairs = []
    for token in tokenizer(completion, add_special_tokens=False)["input_ids"]:
        pairs.append((tokenizer.decode([token]), -log_probs[token].item()))
        log_probs = reader.read(token)
    return pairs
