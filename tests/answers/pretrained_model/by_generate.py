"""With the library's own `generate`, its own loss, and `torch.accelerator` for the device."""

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer


def best_device():
    names = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    return torch.device(names[0])


def best_dtype(device):
    return {"cpu": torch.float32}.get(torch.device(device).type, torch.float16)


def load_model(model_id, device=None):
    device = device or best_device()
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    model = AutoModelForCausalLM.from_pretrained(model_id)
    model = model.to(device=device, dtype=best_dtype(device))
    model.eval()
    print("Device:", str(device).upper())
    return model, tokenizer


def hidden_states_and_logits(model, input_ids):
    # For a causal model, the last of all hidden states is the one after the final norm.
    with torch.inference_mode():
        output = model(input_ids, output_hidden_states=True)
        hidden = output.hidden_states[-1].clone()
        return hidden, F.linear(hidden, model.lm_head.weight)


def next_token_probabilities(model, tokenizer, prompt, top_k=5):
    batch = tokenizer([prompt], return_tensors="pt").to(model.device)
    with torch.inference_mode():
        scores = model(**batch, logits_to_keep=1).logits.double().flatten()
    probabilities = F.softmax(scores, dim=0)
    order = torch.argsort(probabilities, descending=True)[:top_k]
    return [(tokenizer.decode(token), probabilities[token].item()) for token in order]


def generate_greedy(model, tokenizer, prompt, max_new_tokens, use_cache=True):
    if max_new_tokens == 0:
        return ""
    batch = tokenizer(prompt, return_tensors="pt").to(model.device)
    output = model.generate(
        **batch,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        use_cache=use_cache,
        pad_token_id=tokenizer.pad_token_id,
    )
    return tokenizer.decode(output[0][batch.input_ids.shape[1] :], skip_special_tokens=True)


def token_surprisals(model, tokenizer, prompt, completion):
    before = tokenizer(prompt, return_tensors="pt").input_ids
    after = tokenizer(completion, add_special_tokens=False, return_tensors="pt").input_ids
    ids = torch.cat([before, after], dim=1).to(model.device)
    with torch.inference_mode():
        logits = model(ids).logits
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2).float(), ids[:, 1:], reduction="none")[0]
    return [
        (tokenizer.decode([token]), float(loss))
        for token, loss in zip(after[0].tolist(), losses[before.shape[1] - 1 :], strict=False)
    ]
