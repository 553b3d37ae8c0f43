"""Byte-pair encoding, visible: the worked example, and the few properties that say what is meant."""

from hypothesis import given
from hypothesis import strategies as st

from autograder.suites import assert_equal, assert_raises_value_error, points

MERGES = [(b"a", b"n"), (b"b", b"an"), (b"an", b"a")]  # what `banana bandana` teaches
TEXTS = st.text(max_size=12) | st.text("ab nd", max_size=30)


@points(0.5, "The worked example trains as the text says")
def test_train_worked_example(tokenization):
    """`banana bandana`: first (a, n), at 4 places.

    Then (b, an) and (an, a) stand at 2 places each, and the greater pair goes first.
    """
    assert_equal(tokenization.train_bpe("banana bandana", 2), MERGES[:2])


@points(0.5, "Of equally frequent pairs, the greatest is merged")
def test_train_ties(tokenization):
    """(a, b), (z, c) and (c, d) all stand at 2 places: (z, c) is the greatest tuple, for its left token is.

    In the second text (ab, b) is greater than (a, c), for `ab` comes after `a` in a dictionary.
    """
    assert_equal(tokenization.train_bpe("ab1zc2cd3ab4zc5cd", 1), [(b"z", b"c")])
    assert_equal(tokenization.train_bpe("ab1ab2abb3abb4ac5ac", 2), [(b"a", b"b"), (b"ab", b"b")])


@points(0.25, "Every pair is counted, also one that overlaps another or holds a space")
def test_train_counts_overlaps(tokenization):
    """`aaaa` holds the pair (a, a) at 3 places, one more than `bc` has in `bcbc`.

    After the merge, (aa, aa) stands at one place only. And a space is a byte like any other.
    """
    assert_equal(tokenization.train_bpe("aaaa bcbc", 1), [(b"a", b"a")])
    assert_equal(tokenization.train_bpe("a b a b", 1), [(b"a", b" ")])


@points(0.25, "Training stops when no pair occurs twice")
def test_train_stops_early(tokenization):
    """A merge of a pair that occurs once saves nothing: then training ends, however many merges were asked for."""
    assert_equal(tokenization.train_bpe("banana bandana", 50), MERGES)
    assert_equal(tokenization.train_bpe("abcd", 3), [])
    assert_equal(tokenization.train_bpe("", 3), [])


@points(0.5, "Texts are encoded by the merges in their order, from left to right")
def test_encode_worked_example(tokenization):
    """Merge k makes token 256 + k: `ban`, `ana`, the space, `ban`, `d`, `ana`. Without merges, a text is its bytes.

    An earlier merge comes first, also where a later one would join more; and a merge joins its own two tokens only.
    """
    assert_equal(tokenization.encode("banana bandana", MERGES), [257, 258, 32, 257, 100, 258])
    assert_equal(tokenization.encode("né", []), [110, 195, 169])
    assert_equal(tokenization.encode("aaa", [(b"a", b"a")]), [256, 97])
    assert_equal(tokenization.encode("abc", [(b"b", b"c"), (b"a", b"b")]), [97, 256])
    assert_equal(tokenization.encode("cd", [(b"a", b"b"), (b"c", b"d")]), [257])
    assert_equal(tokenization.encode("abc", [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc")]), [256, 99])


@points(0.5, "Decoding what was encoded gives the text again")
@given(text=TEXTS)
def test_round_trip(tokenization, text):
    """Nothing may be lost on the way, in no language: not a space, not an accent, not an emoji."""
    assert_equal(tokenization.decode(tokenization.encode(text, MERGES), MERGES), text)


@points(0.5, "Any ids can be decoded, except such as no token has")
def test_decode_any_ids(tokenization):
    """A model may write bytes that are no UTF-8: they become U+FFFD, and the rest is still read.

    An id that belongs to no token is a ValueError that says so.
    """
    assert_equal(tokenization.decode([258, 255, 98], MERGES), "ana\ufffdb")
    assert_raises_value_error(tokenization.decode, [97, 259], MERGES)
    assert_raises_value_error(tokenization.decode, [97, -1], MERGES)
