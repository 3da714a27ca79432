"""The secret of a link: what it is made of, that both ends have it, and that nothing said may be changed or dropped."""

from __future__ import annotations

import hashlib
import hmac
import pickle  # noqa: TID251  (that it refuses)
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from jmpc.runtime import pairing
from jmpc.runtime.pairing import CIPHERTEXT_BYTES, ENCAPSULATION_KEY_BYTES, Dialer, Half, answer

ABOUT = b"party 0 and party 1 of a study"
# RFC 7748, section 6.1.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def hkdf(salt: bytes, secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, one block."""
    first = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(first, info + b"\x01", hashlib.sha256).digest()


def dialed_with(monkeypatch: pytest.MonkeyPatch, kem: bool) -> tuple[Dialer, bytes]:
    """A dialer with the key of the RFC; its secret of ML-KEM is of a key of a fixed seed."""
    monkeypatch.setattr(pairing.X25519PrivateKey, "generate", lambda: X25519PrivateKey.from_private_bytes(ALICE))
    seed = bytes(range(64))
    monkeypatch.setattr(pairing.MLKEM768PrivateKey, "generate", lambda: MLKEM768PrivateKey.from_seed_bytes(seed))
    return Dialer(post_quantum=kem), seed


@pytest.mark.parametrize("kem", [True, False])
def test_the_secret_is_that_of_the_sources(monkeypatch: pytest.MonkeyPatch, kem: bool) -> None:
    dialer, seed = dialed_with(monkeypatch, kem)
    shared, ciphertext = MLKEM768PrivateKey.from_seed_bytes(seed).public_key().encapsulate() if kem else (b"", b"")
    theirs = Half(b"n" * 32, BOB_PUBLIC, ciphertext)
    said = b"".join(part for half in (dialer.half, theirs) for part in (half.nonce, half.x25519, half.kem))
    right = hkdf(ABOUT, dialer.half.nonce + theirs.nonce + SHARED + shared, b"jmpc link 1" + said)
    found = dialer.secret(theirs, ABOUT)
    assert found.post_quantum == kem
    of_purpose = hmac.new(right, b"jmpc link 1|frames" + b"\x01", hashlib.sha256).digest()
    assert found.key(b"frames") == of_purpose


@pytest.mark.parametrize("kem", [True, False])
def test_both_ends_have_it_and_it_is_new_each_time(kem: bool) -> None:
    seen = set()
    for _ in range(20):
        dialer = Dialer(post_quantum=kem)
        half, there = answer(dialer.half, ABOUT)
        here = dialer.secret(half, ABOUT)
        assert here.key(b"x") == there.key(b"x")
        assert here.post_quantum is there.post_quantum is kem
        seen |= {here.key(b"x"), here.key(b"y")}
    assert len(seen) == 40


CHANGES = {
    "nonce": lambda half: replace(half, nonce=half.nonce[:-1] + bytes([half.nonce[-1] ^ 1])),
    "x25519": lambda half: replace(half, x25519=X25519PrivateKey.generate().public_key().public_bytes_raw()),
    "kem": lambda half: replace(half, kem=half.kem[:-1] + bytes([half.kem[-1] ^ 1])),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_that_was_changed_makes_another_secret(change: str) -> None:
    dialer = Dialer(post_quantum=True)
    half, there = answer(dialer.half, ABOUT)
    assert dialer.secret(CHANGES[change](half), ABOUT).key(b"x") != there.key(b"x")


@pytest.mark.parametrize("change", ["nonce", "x25519"])
def test_a_question_that_was_changed_makes_another_secret(change: str) -> None:
    dialer = Dialer(post_quantum=True)
    half, there = answer(CHANGES[change](dialer.half), ABOUT)
    assert dialer.secret(half, ABOUT).key(b"x") != there.key(b"x")


def test_what_both_agree_on_is_part_of_it() -> None:
    dialer = Dialer(post_quantum=True)
    half, there = answer(dialer.half, ABOUT)
    assert dialer.secret(half, ABOUT + b".").key(b"x") != there.key(b"x")


def test_who_offers_ml_kem_takes_no_answer_without() -> None:
    dialer = Dialer(post_quantum=True)
    half, _ = answer(replace(dialer.half, kem=b""), ABOUT)  # somebody took the offer away
    assert half.kem == b""
    with pytest.raises(ValueError, match="ML-KEM"):
        dialer.secret(half, ABOUT)


@pytest.mark.parametrize("size", [0, 1, CIPHERTEXT_BYTES - 1, CIPHERTEXT_BYTES + 1, ENCAPSULATION_KEY_BYTES])
def test_an_answer_of_another_size_is_refused(size: int) -> None:
    dialer = Dialer(post_quantum=True)
    half, _ = answer(dialer.half, ABOUT)
    with pytest.raises(ValueError, match="ML-KEM"):
        dialer.secret(replace(half, kem=bytes(size)), ABOUT)


@pytest.mark.parametrize("size", [1, ENCAPSULATION_KEY_BYTES - 1, CIPHERTEXT_BYTES, 4096])
def test_a_question_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="ML-KEM"):
        answer(replace(Dialer(post_quantum=False).half, kem=bytes(size)), ABOUT)


def test_a_side_without_it_refuses_the_offer_and_makes_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Dialer(post_quantum=True).half
    monkeypatch.setattr(pairing, "has_mlkem", lambda: False)
    with pytest.raises(ValueError, match="ML-KEM-768, which is not here"):
        answer(offer, ABOUT)


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little")])
def test_a_point_of_small_order_is_refused(point: bytes) -> None:
    with pytest.raises(ValueError):
        answer(replace(Dialer(post_quantum=True).half, x25519=point), ABOUT)


def test_a_secret_neither_shows_nor_travels() -> None:
    half, secret = answer(Dialer(post_quantum=True).half, ABOUT)
    assert repr(secret) == "PairSecret(hidden)"
    assert half.nonce.hex() not in repr(half)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert secret.tag(b"a", b"b", b"c") != secret.tag(b"a", b"bc") != secret.tag(b"ab", b"c")
