# %% [markdown]
# # Choosing: the next token, and a conversation
#
# From probabilities to a text.
#
# Every step computes something, says in sentences what came out, and draws it. Where you have built the tool yourself,
# your own code does the work. Change a sentence, a word or a layer, and run a cell again: what it says is still true.

# %%
"""From probabilities to a text."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from projects.tour import draw_choosing as pictures
from projects.tour.guide import share, start

tour = start()  # in a notebook, `start(folder="solutions")` takes the exercises from another folder
model, tokenizer = tour.model, tour.tokenizer
ids_of, names = tour.ids_of, tour.names
pretrained_model, softmax = tour.exercise("pretrained_model"), tour.exercise("softmax").softmax

# %% [markdown]
# ## 6. The next token: temperature, top-k, top-p
#
# The model gives every token of its vocabulary a probability; what is written depends on how one is chosen. Two
# prompts, one where the next word should be clear and one where many would do, under your own `apply_temperature`,
# `top_k_filter` and `top_p_filter`. The *entropy* says how open the choice is: no bits when it is made, and one bit
# more for each doubling of equally probable tokens.

# %%
decoding = tour.exercise("decoding")
PROMPTS = ("The capital of France is", "My favorite thing to eat is")
SETTINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "temperature 0.5": lambda x: decoding.apply_temperature(x, 0.5),
    "temperature 2": lambda x: decoding.apply_temperature(x, 2.0),
    "top-k, k = 5": lambda x: decoding.top_k_filter(x, 5),
    "top-p, p = 0.9": lambda x: decoding.top_p_filter(x, 0.9),
}
choices: dict[str, dict[str, Tensor]] = {}
for prompt in PROMPTS:
    with torch.no_grad():
        logits = model(ids_of(prompt)).logits[0, -1].float().cpu()  # [V]
    choices[prompt] = {name: torch.from_numpy(softmax(change(logits).numpy())) for name, change in SETTINGS.items()}


def entropy(probabilities: Tensor) -> float:
    """In bits."""
    return float(torch.special.entr(probabilities.double()).sum() / math.log(2))


for prompt, settings in choices.items():
    plain, nucleus = settings["as it is"], settings["top-p, p = 0.9"]
    kept_tokens = int((nucleus > 0).sum())
    print(
        f"“{prompt} …”: {entropy(plain):.1f} bits; {entropy(settings['temperature 0.5']):.1f} at temperature 0.5, "
        f"{entropy(settings['temperature 2']):.1f} at 2."
    )
    print(
        f"  Top-p keeps {kept_tokens} of {len(plain):,} tokens, which hold {share(float(plain[nucleus > 0].sum()))}; "
        f"top-k keeps 5, which hold {share(float(plain.topk(5).values.sum()))}."
    )
tour.show(pictures.draw_choices(choices, tokenizer), "6-choices")

# %% [markdown]
# ## 7. The chat template
#
# To chat is to continue a text, too: one in which a user and an assistant take turns. The *chat template* writes it,
# with tokens of its own at the beginning and the end of every turn, and the model was taught by such texts. We ask the
# same question with the template and without, and let your own `generate_greedy` answer.

# %%
QUESTION = "Why is the sky blue?"
if not tokenizer.chat_template:
    print("This model has no chat template: it was not taught to chat. A line for each turn stands in its place.")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
chat = tokenizer.apply_chat_template(
    [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
)
chat_ids = ids_of(chat)
special = set(tokenizer.all_special_ids)
control = sum(token in special for token in chat_ids[0].tolist())
asked = {"with the template": chat, "without": QUESTION}
replies = {name: pretrained_model.generate_greedy(model, tokenizer, text, 32) for name, text in asked.items()}
next_tokens = {
    name: pretrained_model.next_token_probabilities(model, tokenizer, text, 6) for name, text in asked.items()
}
print(chat)
print(
    f"The question is {len(ids_of(QUESTION)[0])} tokens, and {len(chat_ids[0])} in the template; {control} of them "
    "stand for no text."
)
for name, reply in replies.items():
    print(f"{name}: {reply!r}")
tour.show(
    pictures.draw_chat(names(chat_ids), [token in special for token in chat_ids[0].tolist()], next_tokens, replies),
    "7-chat",
)
