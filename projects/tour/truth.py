# %% [markdown]
# # Truth: what the model knows, and what it makes up
#
# How far the model's own opinion can be trusted.
#
# Every step computes something, says in sentences what came out, and draws it. Where you have built the tool yourself,
# your own code does the work. Change a sentence, a word or a layer, and run a cell again: what it says is still true.

# %%
"""How far the model's own opinion can be trusted."""

import math

import torch
from torch import Tensor

from projects.tour import draw_truth as pictures
from projects.tour.guide import continue_text, start

tour = start()  # in a notebook, `start(folder="solutions")` takes the exercises from another folder
model, tokenizer = tour.model, tour.tokenizer
ids_of, names = tour.ids_of, tour.names
pretrained_model, decoding = tour.exercise("pretrained_model"), tour.exercise("decoding")

# %% [markdown]
# ## 11. Where it makes things up
#
# A model goes on as fluently where it knows nothing. The *surprisal* of a token, your own `token_surprisals`, says how
# unexpected it was: a small one means that the model would have said so itself. First, facts: a true completion and a
# false one of the same kind. Where the false one surprises the model less, it would rather say what is not so. Then it
# writes on its own, and we see where it was guessing. Surprisal is the model's opinion: it finds guesses, and no errors
# of which the model is sure.

# %%
FACTS = [
    ("The capital of France is", " Paris", " London"),
    ("The capital of Australia is", " Canberra", " Sydney"),
    ("The largest planet of the solar system is", " Jupiter", " Mars"),
    ("Water is made of hydrogen and", " oxygen", " helium"),
    ("The author of Hamlet is William", " Shakespeare", " Wordsworth"),
    ("The chemical symbol of gold is", " Au", " Ag"),
    ("The Second World War ended in", " 1945", " 1918"),
    ("A spider has eight legs, and an insect has", " six", " ten"),
    ("The currency of Japan is the", " yen", " euro"),
    ("The longest river in Africa is the", " Nile", " Congo"),
    ("The first person on the Moon was Neil", " Armstrong", " Diamond"),
    ("The square root of 81 is", " 9", " 8"),
]
BEGINNING = "The first bridge over the river Thames was built in"


def surprisal(prompt: str, completion: str) -> float:
    """Of the whole completion, in nats."""
    return float(sum(nats for _, nats in pretrained_model.token_surprisals(model, tokenizer, prompt, completion)))


judged = [(prompt, true, false, surprisal(prompt, true), surprisal(prompt, false)) for prompt, true, false in FACTS]
wrong = [(prompt, true, false) for prompt, true, false, of_true, of_false in judged if of_false <= of_true]
print(f"In {len(judged) - len(wrong)} of {len(judged)} facts the truth surprises the model less.")
for prompt, true, false in wrong:
    print(f"  It would rather say “{prompt}{false}” than “{true}”.")

generator = torch.Generator().manual_seed(0)


def choose(logits: Tensor) -> Tensor:
    """Draws from all tokens but the one that would end the text."""
    logits[tokenizer.eos_token_id] = -math.inf
    token: Tensor = decoding.sample(logits, generator)
    return token


written = continue_text(model, tokenizer, BEGINNING, 70, choose)
guesses = pretrained_model.token_surprisals(model, tokenizer, BEGINNING, written)
unsure = [(token, nats) for token, nats in guesses if nats > math.log(20)]  # less probable than 1 in 20
print(f"It writes: {BEGINNING}{written}")
print(f"{len(unsure)} of {len(guesses)} tokens had a probability of less than 1 in 20.")
surprising = sorted(guesses, key=lambda guess: -guess[1])[:5]
print("The most surprising:", ", ".join(f"“{token}” ({nats:.1f} nats)" for token, nats in surprising) + ".")
tour.show(pictures.draw_surprisals(judged, BEGINNING, guesses), "11-made-up")

# %% [markdown]
# ## 12. Does it know what it knows?
#
# A list of statements, fixed and written for this course: each has one true ending and two false ones. Two questions.
#
# - **Calibration.** Among its three endings, the model takes the one that your own `choose` finds most probable. The
#   share of that ending's probability in the three is its confidence. Whoever is sure of three answers in four should
#   be right in three of four: your `expected_calibration_error` says how far the model is from that (Guo et al. 2017).
# - **Surprisal as an alarm.** Take a true and a false ending from anywhere in the list. How often is the false one the
#   more surprising? Where surprisal told nothing, it would be as often as not; where it told all, always. The same is
#   asked within each statement, where both endings follow the same words.
#
# **What this does not show.** The list is short, so that the standard error of the accuracy, which the code prints, is
# large. It was written in English, by people who find these facts easy, and asks for single words. Surprisal measures
# rare words as well as wrong ones, and confidence is among the endings that were offered: the model may hold a fourth
# one for better. And a model that has learned something false is sure of it: of that, neither measure says a word. So
# low surprisal is no proof, and a high one is a reason to look it up.

# %%
evaluation = tour.exercise("evaluation")
STATEMENTS = [
    ("The capital of Italy is", " Rome", " Milan", " Naples"),
    ("The capital of Canada is", " Ottawa", " Toronto", " Montreal"),
    ("The capital of Turkey is", " Ankara", " Istanbul", " Athens"),
    ("The capital of Brazil is", " Brasilia", " Rio", " Lima"),
    ("The capital of Egypt is", " Cairo", " Alexandria", " Tunis"),
    ("The largest ocean of the Earth is the", " Pacific", " Atlantic", " Arctic"),
    ("The highest mountain in the world is Mount", " Everest", " Fuji", " Etna"),
    ("The planet closest to the Sun is", " Mercury", " Venus", " Mars"),
    ("The planet with the famous rings is", " Saturn", " Mercury", " Mars"),
    ("The Earth goes around the", " Sun", " Moon", " stars"),
    ("At sea level, water boils at a temperature of 100 degrees", " Celsius", " Fahrenheit", " Kelvin"),
    ("Plants take up carbon dioxide and give off", " oxygen", " helium", " methane"),
    ("The chemical symbol of iron is", " Fe", " Ir", " In"),
    ("Table salt is made of sodium and", " chlorine", " carbon", " calcium"),
    ("The hardest natural material is", " diamond", " gold", " marble"),
    ("The human heart pumps", " blood", " air", " water"),
    ("Bees make", " honey", " milk", " silk"),
    ("A whale is a", " mammal", " fish", " reptile"),
    ("A young dog is called a", " puppy", " kitten", " calf"),
    ("The animal with the longest neck is the", " giraffe", " elephant", " camel"),
    ("A triangle has three", " sides", " wheels", " circles"),
    ("Seven plus five is", " twelve", " eleven", " thirteen"),
    ("A dozen is", " twelve", " ten", " twenty"),
    ("There are sixty minutes in an", " hour", " evening", " instant"),
    ("The month after June is", " July", " August", " May"),
    ("The day before Monday is", " Sunday", " Tuesday", " Friday"),
    ("Romeo and Juliet was written by William", " Shakespeare", " Blake", " Wordsworth"),
    ("The theory of relativity was developed by Albert", " Einstein", " Newton", " Darwin"),
    ("The telephone was invented by Alexander Graham", " Bell", " Edison", " Watt"),
    ("The Mona Lisa was painted by Leonardo da", " Vinci", " Rome", " Gama"),
    ("The language spoken in Austria is", " German", " French", " Polish"),
    ("The language spoken in Brazil is", " Portuguese", " Spanish", " Italian"),
    ("The currency of the United Kingdom is the", " pound", " euro", " dollar"),
    ("The opposite of hot is", " cold", " warm", " wet"),
    ("The color of a ripe banana is", " yellow", " blue", " purple"),
    ("Ice is frozen", " water", " oil", " milk"),
]
endings = [
    [surprisal(prompt, ending) for ending in offered] for prompt, *offered in STATEMENTS
]  # nats, the truth first
lengths = [
    [len(tokenizer(ending, add_special_tokens=False).input_ids) for ending in offered] for _, *offered in STATEMENTS
]
chosen = [evaluation.choose([torch.tensor([-nats]) for nats in row]) for row in endings]
confidence = torch.tensor(
    [float((-torch.tensor(row)).softmax(dim=0)[pick]) for row, pick in zip(endings, chosen, strict=True)]
)
right = torch.tensor(chosen) == 0
accuracy, count = float(right.float().mean()), len(STATEMENTS)
error = math.sqrt(accuracy * (1 - accuracy) / count)
gap = evaluation.expected_calibration_error(confidence, right, num_bins=5)
print(f"It is right in {int(right.sum())} of {count} statements: {accuracy:.0%}, with a standard error of {error:.0%}.")
print(
    f"Its confidence is {float(confidence.mean()):.0%} on average"
    + (f", {float(confidence[right].mean()):.0%} where it is right" if right.any() else "")
    + (f", {float(confidence[~right].mean()):.0%} where it is wrong." if not right.all() else ".")
)
print(f"The expected calibration error is {gap:.1%}, in five bins.")
of_truths, of_others = torch.tensor([row[0] for row in endings]), torch.tensor([row[1:] for row in endings])
anywhere = float((of_others.flatten()[:, None] > of_truths).float().mean())
within = float((of_others > of_truths[:, None]).float().mean())
print(
    f"A false ending surprises it more than a true one in {within:.0%} of the pairs within a statement, and in "
    f"{anywhere:.0%} of the pairs from anywhere."
)
single = [row == [1, 1, 1] for row in lengths]
print(f"In {sum(single)} of {count} statements all three endings are one token, so that their lengths decide nothing.")
sure = sorted((pair for pair in zip(confidence.tolist(), STATEMENTS, chosen, strict=True) if pair[2]), reverse=True)
for how, (prompt, *offered), pick in sure[:5]:
    print(f"  With {how:.0%} confidence it says: {prompt}{offered[pick]} (and not{offered[0]}).")
tour.show(pictures.draw_calibration(confidence, right, of_truths, of_others.flatten()), "12-calibration")
