"""Byte-pair encoding, hidden: training against a search over cuts, encoding against the `tokenizers` library.

The reference for training keeps no tokens at all. It keeps the places where the text is cut, and a merge takes cuts
out. It also says of each step whether a run of equal tokens was there. What is not about ties is judged by following
the merges that came back: so a wrong rule for ties costs the tests of ties alone, and a wrong rule for runs those of
runs.
"""

import random
from collections import Counter
from functools import cache
from itertools import pairwise, takewhile
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE

from autograder.suites import assert_equal, assert_raises_value_error, points, rests_on


class Step(NamedTuple):
    """One step of training: how often each pair occurs, which one is merged, and whether three equal tokens meet."""

    places: Counter
    pair: tuple[bytes, bytes]
    run: bool


def has_run(tokens):
    """Whether three equal tokens stand side by side, so that a pair overlaps with itself."""
    return any(a == b == c for a, b, c in zip(tokens, tokens[1:], tokens[2:], strict=False))


def follow(text, choose):
    """Merges what `choose(places)` says until it says None; gives the steps, and the tokens that are left."""
    data = text.encode("utf-8")
    cuts, steps = list(range(len(data) + 1)), []
    while True:
        tokens = [data[start:end] for start, end in pairwise(cuts)]
        places = Counter(pairwise(tokens))
        pair = choose(places)
        if pair is None:
            return steps, tokens
        steps.append(Step(places, pair, has_run(tokens)))
        kept, at = [], 0
        while at < len(cuts):
            kept.append(cuts[at])
            at += 2 if tuple(tokens[at : at + 2]) == pair else 1  # the cut between the two is left out
        cuts = kept


def best_pair(places):
    """The most frequent pair that occurs twice or more, of equals the greatest."""
    most = max(places.values(), default=0)
    return max(pair for pair in places if places[pair] == most) if most > 1 else None


@cache
def trained(text):
    """The steps of training to the end, and the tokens that are left."""
    return follow(text, best_pair)


def merges_of(text, allow_runs=True):
    """The merges that training makes; if runs are not allowed, those before the first step that had one."""
    return [step.pair for step in takewhile(lambda step: allow_runs or not step.run, trained(text)[0])]


def assert_most_frequent(merges, text, num_merges, with_runs=False):
    """Passes when each merge took a pair as frequent as any, and there are as many merges as were asked for, or can be.

    Where three equal tokens meet, it says no more, unless it is asked to go on with runs.
    """
    assert type(merges) is list, "the merges should be a list"
    assert len(merges) <= num_merges, "there are more merges than were asked for"
    for merge in merges:
        assert type(merge) is tuple, "a merge should be a tuple"
        assert [*map(type, merge)] == [bytes, bytes], "a merge should hold two bytes objects"
    queue = [*merges, None]
    steps, tokens = follow(text, lambda places: queue.pop(0))
    for number, step in enumerate(steps):
        if step.run and not with_runs:
            return
        most, count = max(step.places.values(), default=0), step.places[step.pair]
        assert count == most, f"merge {number} takes a pair that occurs {count} times; another occurs {most} times"
        assert count > 1, f"merge {number} takes a pair that occurs only once"
    if len(merges) < num_merges and (with_runs or not has_run(tokens)):
        most = max(Counter(pairwise(tokens)).values(), default=0)
        assert most < 2, f"training stopped after {len(merges)} merges, although a pair still occurs {most} times"


def library_ids(text, merges):
    """What the `tokenizers` library makes of the text's bytes, each byte being the character of its number."""
    pairs = [tuple(part.decode("latin-1") for part in pair) for pair in merges]
    ids = {chr(byte): byte for byte in range(256)} | {left + right: 256 + k for k, (left, right) in enumerate(pairs)}
    return Tokenizer(BPE(vocab=ids, merges=pairs)).encode(text.encode("utf-8").decode("latin-1")).ids


def ids_of(tokens, merges):
    """The numbers of tokens, for merges that make no bytes twice."""
    made = [left + right for left, right in merges]
    return [256 + made.index(token) if token in made else token[0] for token in tokens]


def sentence(seed):
    """A text with frequent words and rare ones, as in a language, with line ends, an accent and an emoji."""
    words = ["the", "sea", "a", "letter", "the", "waves", "the", "sand\n", "café", "wrote", "the", "🙂", "in", "other"]
    return " ".join(random.Random(seed).choices(words, range(len(words), 0, -1), k=18))


SENTENCES = st.integers(0, 11).map(sentence)  # few, so that the reference trains on each only once
# Runs of equal letters among others; and texts of few letters, in which many pairs are equally frequent.
RUNS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 7)), min_size=2, max_size=9).map(
    lambda runs: "".join(letter * length for letter, length in runs)
)
WHOLE = [
    "é è ê é è é ë é é",
    "日本 日光 日 日本",
    "🙂🙃🙂🙃🙂",
    "o k\no k\no k\no j\no",
    "Ab aB AB Ab ab aB Ab",
    " \t\x00 \t\x00 \t\x00 ",
]
LETTERS = [bytes([number]) for number in b"abcdefghijklmnopqrstuvwxyz"]
MANY = [(left, right) for left in LETTERS for right in LETTERS]  # 676 merges: ids beyond two times 256
TIES = st.text("abcd", min_size=6, max_size=40)
ANY_TEXT = st.text(max_size=25) | SENTENCES | RUNS


@points(1, "Each step merges the pair that occurs most often")
@rests_on("each step merges the pair with the largest (count, pair)")
@given(text=SENTENCES, num_merges=st.integers(1, 10))
def test_train_most_frequent(tokenization, text, num_merges):
    """Count all pairs of neighbors, merge the most frequent one everywhere, and count again in what is left.

    Merged tokens take part in the next count like any others. Each merge is a tuple of two `bytes`, and there are as
    many as were asked for.
    """
    assert_most_frequent(tokenization.train_bpe(text, num_merges), text, num_merges)


@points(0.5, "Of equally frequent pairs, the greatest is merged")
@rests_on("the greatest pair wins, in the order that Python gives to tuples of bytes")
@given(text=TIES.filter(lambda text: len(merges_of(text, allow_runs=False)) >= 2))
@example(text="azbcazbc")
@example(text="acabacab cdcd ab ab")
def test_train_ties(tokenization, text):
    """Ties go to the greatest pair, in the order that Python gives to tuples of bytes.

    That is by the left token, and only if those are equal by the right one. Neither the order in the text, nor the
    order of the ids, nor the length of a token counts.
    """
    merges = merges_of(text, allow_runs=False)
    assert_equal(tokenization.train_bpe(text, len(merges)), merges)


@points(0.5, "In a run of equal tokens every place counts, and merging goes from left to right")
@rests_on("Every place counts, also where pairs overlap", "It goes from left to right: `a a a` becomes `aa a`.")
@given(text=RUNS, num_merges=st.integers(1, 6))
@example(text="aaaaabcbcbc", num_merges=1)
def test_train_runs(tokenization, text, num_merges):
    """The pair (a, a) stands at two places in `aaa`, for they may overlap.

    Tokens may not: from the left, `aaa` becomes `aa a`.
    """
    assert_most_frequent(tokenization.train_bpe(text, num_merges), text, num_merges, with_runs=True)


@points(0.5, "Training stops when no pair occurs twice, and not before")
@rests_on("fewer than `num_merges` if at some point no pair occurs twice")
@given(text=SENTENCES, length=st.integers(0, 40), spare=st.integers(0, 50))
def test_train_stops(tokenization, text, length, spare):
    """However many merges are asked for, the last one takes a pair that stands at two places.

    After it, none does. An empty text, a single letter, and no merges asked for give no merges.
    """
    text = text[:length]
    assert_most_frequent(tokenization.train_bpe(text, length + spare), text, length + spare)
    assert_equal(tokenization.train_bpe(text, 0), [])
    assert_equal(tokenization.train_bpe("aaa", 2), [(b"a", b"a")])  # the shortest text with a pair at two places


@points(0.5, "Training sees the bytes of the whole text")
@rests_on("all of it is one sequence of bytes, spaces and line ends too")
@given(text=st.sampled_from(WHOLE), num_merges=st.integers(1, 3))
def test_train_bytes(tokenization, text, num_merges):
    """A letter beyond ASCII is two to four bytes, and those are merged one by one.

    Spaces, line ends and capitals are bytes like any others: the text is neither split into words nor tidied up.
    """
    assert_most_frequent(tokenization.train_bpe(text, num_merges), text, num_merges)


@points(1, "Texts are encoded as the tokenizers library encodes them")
@rests_on("its bytes, with the merges applied in the order of training")
@given(training=SENTENCES, text=ANY_TEXT, share=st.sampled_from([0.0, 0.3, 0.7, 1.0]))
@example(training=sentence(1), text="the the other the letter the sea", share=1.0)
def test_encode_values(tokenization, training, text, share):
    """Start from single bytes and apply the merges one after the other, each everywhere, in the order of training.

    The bytes that merge k makes have the id 256 + k. Looking for the longest token that fits gives something else.
    """
    assert_equal(tokenization.encode("zzba", MANY), [256 + 675, 256 + 26])
    assert_equal(tokenization.decode([256 + 675, 256 + 26], MANY), "zzba")
    merges = merges_of("aaaabbbb abab aaaa " + training)
    merges = merges[: round(share * len(merges))]
    for sample in (text, training[::-1]):
        assert_equal(tokenization.encode(sample, merges), library_ids(sample, merges))


@points(0.5, "Encoding the training text gives the tokens that training ended with")
@rests_on("do to it what training did to its own")
@given(text=TIES | RUNS)
def test_encode_training_text(tokenization, text):
    """Encoding does to a text what training did to its own: so on that one it must end where training ended."""
    merges, (_, tokens) = merges_of(text), trained(text)
    assert_equal(tokenization.encode(text, merges), ids_of(tokens, merges))


@points(0.25, "A token is its bytes, however it was made")
@rests_on("should two merges make the same bytes, the first one's number counts")
def test_encode_duplicates(tokenization):
    """If two merges make the same bytes, such tokens have the id of the first, and it decodes to those bytes.

    But a merge joins its own two tokens, and not any two that are the same bytes together.
    """
    merges = [(b"b", b"c"), (b"a", b"bc"), (b"a", b"b"), (b"ab", b"c"), (b"ab", b"d")]
    assert_equal(tokenization.encode("abcbcabdab", merges), [257, 256, 260, 258])
    assert_equal(tokenization.decode([257, 256, 260, 258], merges), "abcbcabdab")
    assert_equal(tokenization.encode("abc", [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc")]), [256, 99])
    # A merge that stands there twice still takes a number each time.
    assert_equal(tokenization.encode("abc", [(b"a", b"b"), (b"a", b"b"), (b"ab", b"c")]), [258])


@points(0.5, "Decoding what was encoded gives the text again, for every text")
@rests_on("`decode(encode(text, merges), merges) == text` for every text")
@given(training=SENTENCES, text=ANY_TEXT)
@example(training=sentence(2), text="")
@example(training=sentence(2), text="\ufeff two  spaces\r\nÅ A\u030a \x00\u2028 \ufffd \U0010ffff ")
def test_round_trip(tokenization, training, text):
    """Whatever a text holds comes back unchanged.

    Spaces at its ends, line ends of every kind, letters that the training text did not have: all of it.
    """
    merges = merges_of(training)
    assert_equal(tokenization.decode(tokenization.encode(text, merges), merges), text)


@points(0.5, "Decoding joins all bytes before it reads them, and replaces what is no UTF-8")
@rests_on("bytes that are no UTF-8 become U+FFFD")
@given(places=st.lists(st.integers(0, 100), max_size=12))
def test_decode_bytes(tokenization, places):
    """The bytes of one letter may lie in several tokens: decode all bytes at once, not token by token.

    What cannot be read becomes U+FFFD, and is neither left out nor an error.
    """
    merges = merges_of("é è ê 日本 日光 🙂🙂 é é 日本 e e")
    made = [bytes([number]) for number in range(256)] + [left + right for left, right in merges]
    few = [*"é日🙂e ".encode(), 0xFF, 0x80, *range(256, len(made))]
    ids = [few[place % len(few)] for place in places]
    letters = list("日é🙂".encode())
    for sample in (ids, letters, letters[:2] + letters):
        expected = b"".join(made[number] for number in sample).decode("utf-8", errors="replace")
        assert_equal(tokenization.decode(sample, merges), expected)


@points(0.25, "Unknown ids are refused")
@rests_on("ValueError: an id belongs to no token.")
@given(unknown=st.sampled_from([0, 1, 1000, 10**12]), before=st.lists(st.integers(0, 257), max_size=3))
@example(unknown=1000, before=[97])
def test_decode_unknown(tokenization, unknown, before):
    """With n merges the ids end at 255 + n, and none is negative.

    Any other raises a ValueError that says so; Python's own negative indices must not slip through.
    """
    merges = [(b"a", b"b"), (b"ab", b"c")]
    assert_raises_value_error(tokenization.decode, [*before, 258 + unknown, 97], merges)
    assert_raises_value_error(tokenization.decode, [*before, -1 - unknown], merges)
