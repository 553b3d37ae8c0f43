"""The loop that textbooks have: an index that steps by one or by two."""


def merge(tokens, left, right):
    result = []
    i = 0
    while i < len(tokens):
        if i + 1 < len(tokens) and tokens[i] == left and tokens[i + 1] == right:
            result.append(left + right)
            i += 2
        else:
            result.append(tokens[i])
            i += 1
    return result


def train_bpe(text, num_merges):
    tokens = []
    for value in bytearray(text, "utf8"):
        tokens.append(value.to_bytes(1, "big"))
    merges = []
    while len(merges) < num_merges:
        counts = {}
        for i in range(len(tokens) - 1):
            pair = (tokens[i], tokens[i + 1])
            counts[pair] = counts.get(pair, 0) + 1
        best, best_count = None, 1
        for pair, count in counts.items():
            if count > best_count or (count == best_count and best is not None and pair > best):
                best, best_count = pair, count
        if best is None:
            return merges
        merges.append(best)
        tokens = merge(tokens, *best)
    return merges


def encode(text, merges):
    tokens = [bytes((value,)) for value in text.encode()]
    for left, right in merges:
        tokens = merge(tokens, left, right)
    made = [left + right for left, right in merges]
    return [token[0] if len(token) == 1 else 256 + made.index(token) for token in tokens]


def decode(ids, merges):
    data = bytearray()
    for number in ids:
        if number < 0 or number >= 256 + len(merges):
            raise ValueError(f"no token has the id {number}")
        if number < 256:
            data.append(number)
        else:
            for part in merges[number - 256]:
                data.extend(part)
    return str(data, "utf-8", "replace")
