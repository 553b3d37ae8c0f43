# %% [markdown]
# # Inside: attention and the residual stream
#
# What happens between the first layer and the last.
#
# Every step computes something, says in sentences what came out, and draws it. Where you have built the tool yourself,
# your own code does the work. Change a sentence, a word or a layer, and run a cell again: what it says is still true.

# %%
"""What happens between the first layer and the last."""

import torch
from torch import Tensor

from projects.sentences import ProjectError
from projects.tour import draw_inside as pictures
from projects.tour.guide import share, start

tour = start()  # in a notebook, `start(folder="solutions")` takes the exercises from another folder
model, tokenizer, config = tour.model, tour.tokenizer, tour.model.config
ids_of, names = tour.ids_of, tour.names
pretrained_model, softmax = tour.exercise("pretrained_model"), tour.exercise("softmax").softmax

# %% [markdown]
# ## 4. What looks where: attention maps
#
# In every layer each head gives every token a set of weights over itself and the tokens before it. We score all heads
# by three habits: how much of its attention goes to the token right *before*; to the very *first* token; and, in a text
# where words return, to what came *after the same word last time*. A head that does the last can copy (Olsson et al.
# 2022 call it an *induction head*). Then we look at the strongest head of each kind. Put your own layer and head into
# `chosen` and run the cell again.
#
# Do we see what really happens? Your own `rotate` and your own `scaled_dot_product_attention` compute the same maps
# from the queries and keys, and the code says how far the two are apart.

# %%
TEXT = "Seven yellow doors hide one old lamp under the river. Seven yellow doors hide one old lamp under the river."
attention, llama_block = tour.exercise("attention"), tour.exercise("llama_block")
ids = ids_of(TEXT)
T = ids.shape[1]
with torch.no_grad():
    output = model(ids, output_attentions=True, output_hidden_states=True)
maps = torch.cat(output.attentions).float().cpu()  # [layers, heads, T, T]

before = maps.diagonal(offset=-1, dim1=2, dim2=3).mean(dim=-1)  # [layers, heads]
first = maps[:, :, 1:, 0].mean(dim=-1)
tokens = ids[0].tolist()
repeats = [
    (now, max(then for then in range(now) if tokens[then] == tokens[now]) + 1)
    for now in range(1, T)
    if tokens[now] in tokens[:now]
]
repeats = [(now, after) for now, after in repeats if after < now]
if not repeats:
    raise ProjectError("No word of this text comes twice, and one has to.")
rows, columns = torch.tensor(repeats).T
copies = maps[:, :, rows, columns].mean(dim=-1)
scores = {"the token before": before, "the first token": first, "what came after the same word": copies}
chosen = {name: divmod(int(score.argmax()), maps.shape[1]) for name, score in scores.items()}


@torch.no_grad()
def recomputed(layer: int) -> Tensor:
    """All maps of a layer, `[heads, T, T]`, by the student's own attention."""
    block = model.base_model.layers[layer]
    x = block.input_layernorm(output.hidden_states[layer])  # [1, T, C]
    split = [
        projection(x).unflatten(-1, (heads, -1)).transpose(1, 2)  # [1, H, T, D]
        for projection, heads in (
            (block.self_attn.q_proj, config.num_attention_heads),
            (block.self_attn.k_proj, config.num_key_value_heads),
        )
    ]
    base, places = float(config.rope_parameters["rope_theta"]), torch.arange(T, device=model.device)
    query, key = (llama_block.rotate(each, places, base).float().cpu()[0].numpy() for each in split)
    key = key.repeat(config.num_attention_heads // config.num_key_value_heads, axis=0)
    _, weights = attention.scaled_dot_product_attention(query, key, key, attention.causal_mask(T))
    return torch.from_numpy(weights)


for name, (layer, head) in chosen.items():
    score = scores[name]
    print(
        f"Layer {layer}, head {head} gives {share(float(score[layer, head]))} of its attention to {name}; the average "
        f"head gives {share(float(score.mean()))}."
    )
off = max(float((recomputed(layer) - maps[layer]).abs().max()) for layer, _ in chosen.values())
print(f"Your own attention gives the same maps: no weight is further off than {off:.1e}.")
print(f"And every row sums to 1: the worst is off by {float((maps.sum(dim=-1) - 1).abs().max()):.1e}.")
tour.show(pictures.draw_attention(scores, chosen, maps, names(ids)), "4-attention")

# %% [markdown]
# ## 5. Reading the residual stream
#
# Every layer adds to the vector that runs through a position: the *residual stream*. After the last layer, a norm and
# the language-model head turn it into predictions. But nothing keeps us from applying both earlier: after every layer
# we ask what the model would say if it had to stop there (the *logit lens*, nostalgebraist 2020). The probabilities
# are made by your own `softmax`.

# %%
PROMPT = "The capital of France is"
ids = ids_of(PROMPT)
with torch.no_grad():
    streams = list(model(ids, output_hidden_states=True).hidden_states)  # layers + 1 times [1, T, C]
    hidden, logits = pretrained_model.hidden_states_and_logits(model, ids)
    norm, head = model.base_model.norm, model.get_output_embeddings()
    # The last one went through the norm already.
    read = torch.cat([*(head(norm(stream)) for stream in streams[:-1]), head(streams[-1])])  # [layers + 1, T, V]
lens = torch.from_numpy(softmax(read.float().cpu().numpy()))  # [layers + 1, T, V]
best = lens.max(dim=-1)  # values and indices [layers + 1, T]
answers = best.indices[:, -1].tolist()
final = answers[-1]
settled = next(depth for depth in range(len(answers)) if all(token == final for token in answers[depth:]))
answer = tokenizer.decode([final])
print(f"The last row is what the model says: it is {float((read[-1] - logits[0]).abs().max()):.1e} from its logits.")
print(f"After “{PROMPT}” the model says “{answer}”, with probability {share(float(lens[-1, -1, final]))}.")
print(f"It is the first choice from layer {settled} of {len(answers) - 1} on, and stays it.")
if settled:
    print(f"One layer earlier it would have said “{tokenizer.decode([answers[settled - 1]])}”.")
tour.show(
    pictures.draw_lens(
        best.values, [names(row) for row in best.indices], names(ids), lens[:, -1, final].tolist(), answer
    ),
    "5-residual-stream",
)
