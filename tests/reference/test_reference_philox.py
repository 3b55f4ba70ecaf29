"""Known answers of the cipher, and the address scheme against a direct evaluation."""

import numpy as np
import pytest

from pymdm.reference import philox

KNOWN = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize("counter,key,expected", KNOWN)
def test_known_answers(counter, key, expected):
    assert " ".join(f"{w:08x}" for w in philox.philox4x32(counter, key)) == expected


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
@pytest.mark.parametrize("sequence", [0, 3, 2**32, 2**56 - 1])
@pytest.mark.parametrize("event,purpose,index", [(0, 1, 0), (5, 3, 6), (2**32 - 1, 9, 2**34 - 1)])
def test_address_is_the_documented_counter(seed, sequence, event, purpose, index):
    words = []
    for half in (0, 1):
        last = ((2 * purpose + half) << 24) | (sequence >> 32)
        counter = (index // 4, event, sequence % 2**32, last)
        words.append(int(philox.philox4x32(counter, (seed % 2**32, seed // 2**32))[index % 4]))
    assert int(philox.bits(seed, sequence, event, purpose, index)) == words[0] * 2**32 + words[1]


def test_rows_and_broadcast_agree_with_single_draws():
    sequence, base = np.array([0, 7, 2**40]), np.array([0, 8, 400])
    rows = philox.bits_row(11, sequence, 2, philox.TOKEN, base, 6)
    single = philox.bits(11, sequence[:, None], 2, philox.TOKEN, base[:, None] + np.arange(6))
    assert rows.shape == (3, 6) and np.array_equal(rows, single)


def test_bad_input():
    with pytest.raises(ValueError, match="philox: seed"):
        philox.bits(-1, 0, 0, 1, 0)
    with pytest.raises(ValueError, match="philox4x32: counter"):
        philox.philox4x32([0, 0, 0], (0, 0))
