"""Plain Python loops over numbers, characters and bins; pass@k by a walk of single draws."""

import math
import string


def perplexity(logits, ids, mask=None):
    surprises = []
    for b, row in enumerate(ids.tolist()):
        for t in range(1, len(row)):
            if mask is None or mask[b][t]:
                scores = logits[b, t - 1].double().tolist()
                top = max(scores)
                surprises.append(top + math.log(sum(math.exp(s - top) for s in scores)) - scores[row[t]])
    if not surprises:
        raise ValueError("there is no token to be surprised by")
    return math.exp(math.fsum(surprises) / len(surprises))


def bits_per_byte(total_nats, text):
    if text == "":
        raise ValueError("the text is empty")
    return float(total_nats * math.log2(math.e) / len(bytes(text, "utf8")))


def choose(choice_log_probs, lengths=None):
    best, best_score = 0, None
    for place, log_probs in enumerate(choice_log_probs):
        score = math.fsum(log_probs.tolist())
        if lengths is not None:
            score = score / lengths[place]
        if best_score is None or score > best_score:
            best, best_score = place, score
    return best


def normalize(answer):
    text = ""
    for character in answer.lower():
        if character not in string.punctuation:
            text += character
    words, word = [], ""
    for character in text + " ":
        if character.isalnum():
            word += character
            continue
        words.append(" " if word in {"a", "an", "the"} else word)
        words.append(character)
        word = ""
    return " ".join("".join(words).split())


def exact_match(prediction, reference):
    return normalize(prediction) == normalize(reference)


def token_f1(prediction, reference):
    mine, theirs = normalize(prediction).split(), normalize(reference).split()
    if len(mine) == 0 and len(theirs) == 0:
        return 1.0
    shared, left = 0, list(theirs)
    for word in mine:
        if word in left:
            left.remove(word)
            shared += 1
    if shared == 0:
        return 0.0
    precision, recall = shared / len(mine), shared / len(theirs)
    return 2 * precision * recall / (precision + recall)


def pass_at_k(num_samples, num_correct, k):
    if num_correct < 0 or num_correct > num_samples:
        raise ValueError("the number of correct programs is impossible")
    if k < 1 or k > num_samples:
        raise ValueError("so many programs cannot be picked")
    nothing = 1.0
    for drawn in range(k):  # one draw after the other, each of them a program that fails
        nothing *= max(num_samples - num_correct - drawn, 0) / (num_samples - drawn)
    return 1.0 - nothing


def expected_calibration_error(confidences, correct, num_bins=10):
    filled = {}
    for confidence, right in zip(confidences.tolist(), correct.tolist(), strict=True):
        number = 0
        while confidence > (number + 1) / num_bins:
            number += 1
        filled.setdefault(number, []).append((confidence, float(right)))
    error = 0.0
    for answers in filled.values():
        confidence = sum(pair[0] for pair in answers) / len(answers)
        accuracy = sum(pair[1] for pair in answers) / len(answers)
        error += len(answers) / len(confidences) * abs(accuracy - confidence)
    return error
