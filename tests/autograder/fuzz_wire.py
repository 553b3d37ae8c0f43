"""Coverage-guided fuzzing of the decoder, `make fuzz`: any bytes are a value, the same again, or a `WireError`."""

import sys

import atheris

with atheris.instrument_imports(include=["autograder.isolation.between.wire"]):
    from autograder.isolation.between.wire import WireError, decode, encode


def one(data: bytes) -> None:
    """Decodes; what can be decoded must encode and decode to the same bytes."""
    try:
        value = decode(data)
    except WireError:
        return
    try:
        again = encode(value)
    except WireError:
        return
    assert encode(decode(again)) == again


atheris.Setup(sys.argv, one)
atheris.Fuzz()
