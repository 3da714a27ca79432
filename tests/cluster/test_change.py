"""Identities are made, signed, exchanged and revoked, and what asks for more than it may is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jmpc.cluster import Identity, Roster, change, check, keys, make
from jmpc.cluster.authority import Authority
from jmpc.cluster.request import keygen
from jmpc.errors import ConfigError
from jmpc.runtime.certificates import CLOCK_SKEW, DIALS, SERVES, leaf_certificate, new_key

from .planted import CLIENTS, DAY, HOSTS, NOW, authority_of, key_of, signing

PARTY_1 = "jmpc://study/party/1"


def sound(folder: Path) -> bool:
    return check(folder, now=NOW, resolve=None).faults == ()


@pytest.fixture
def keyless(tmp_path: Path) -> Path:
    """A cluster whose members make their own keys."""
    make.create(tmp_path / "study", make.Order(HOSTS, CLIENTS, with_keys=False), NOW)
    return tmp_path / "study"


@pytest.fixture
def there(keyless: Path, tmp_path: Path) -> Path:
    """The folder of party 1, on its own machine."""
    (tmp_path / "there").mkdir()
    shutil.copy(keyless / "cluster.toml", tmp_path / "there")
    return tmp_path / "there"


def sign(folder: Path, content: bytes, **how: object) -> tuple[Roster, str, Path]:
    return change.sign(folder, content, signing(), where="request.pem", **how)  # type: ignore[arg-type]


def test_certificates_say_what_they_are_for_and_nothing_else(study: Path) -> None:
    roster = Roster.read(study / "cluster.toml")
    authority = roster.certificate.extensions
    assert authority.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    for name in ("party/0", "client/hospital-a"):
        folder = study / name.replace("/", "-")
        leaf = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
        found = leaf.extensions
        assert list(found.get_extension_for_class(x509.SubjectAlternativeName).value) == [
            x509.UniformResourceIdentifier(roster.uri(name))
        ]
        purposes = {ExtendedKeyUsageOID.CLIENT_AUTH} | ({ExtendedKeyUsageOID.SERVER_AUTH} if "party" in name else set())
        assert set(found.get_extension_for_class(x509.ExtendedKeyUsage).value) == purposes
        usage = found.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.digital_signature
        assert not any((usage.value.key_cert_sign, usage.value.key_encipherment, usage.value.key_agreement))
        assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
        assert leaf.not_valid_after_utc == NOW + 90 * DAY
        assert leaf.not_valid_before_utc == NOW - CLOCK_SKEW


def test_a_key_stays_where_it_is_made(keyless: Path, there: Path) -> None:
    request, key = keygen(there, "party/1")
    made, name, certificate = sign(keyless, request.read_bytes(), expected=key)
    assert (name, made.member(name).key) == ("party/1", key)
    assert not list(keyless.rglob("party-*/key.pem"))
    with pytest.raises(ConfigError, match="no key for who holds the certificate"):
        change.accept(there, certificate.read_bytes(), NOW, where="c")  # with the file of before
    change.update(there, made, "new")
    change.accept(there, certificate.read_bytes(), NOW, where="c")
    identity = Identity.read(there / "party-1", made, now=NOW)
    assert (identity.name, identity.key, identity.ends) == ("party/1", key, NOW + 90 * DAY)
    assert not (there / "party-1" / "request.pem").exists()
    assert (there / "party-1" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_new_key_is_used_from_its_certificate_on(keyless: Path, there: Path) -> None:
    made, _, certificate = sign(keyless, keygen(there, "party/1")[0].read_bytes())
    change.update(there, made, "new")
    change.accept(there, certificate.read_bytes(), NOW, where="c")
    before = Identity.read(there / "party-1", made, now=NOW)
    with pytest.raises(ConfigError, match="there is a key already"):
        keygen(there, "party/1")

    request, key = keygen(there, "party/1", renew=True)
    assert Identity.read(there / "party-1", made, now=NOW) == before
    with pytest.raises(ConfigError, match="party/1 has another key"):
        sign(keyless, request.read_bytes())
    made, _, certificate = sign(keyless, request.read_bytes(), replaces=True)
    change.update(there, made, "new")
    change.accept(there, certificate.read_bytes(), NOW, where="c")
    after = Identity.read(there / "party-1", made, now=NOW)
    assert after.key == key != before.key
    assert sorted(os.listdir(there / "party-1")) == ["certificate.pem", "key.pem"]
    old = x509.load_pem_x509_certificate(before.credentials.certificate).public_bytes(Encoding.DER)
    assert "revoked" in made.refusal(PARTY_1, old)


def test_a_certificate_is_renewed_with_its_key(keyless: Path, there: Path) -> None:
    made, _, first = sign(keyless, keygen(there, "party/1")[0].read_bytes())
    before = x509.load_pem_x509_certificate(first.read_bytes()).public_bytes(Encoding.DER)
    change.update(there, made, "new")
    change.accept(there, first.read_bytes(), NOW, where="c")
    request, key = keygen(there, "party/1", same_key=True)
    made, _, second = sign(keyless, request.read_bytes())
    change.update(there, made, "new")
    change.accept(there, second.read_bytes(), NOW, where="c")
    assert Identity.read(there / "party-1", made, now=NOW).key == key
    assert "revoked" in made.refusal(PARTY_1, before)


def request_of(
    uri: str = PARTY_1, key: object = None, more: tuple[x509.ExtensionType, ...] = (), names: tuple[str, ...] = ()
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "party/0")]))
    every = [x509.UniformResourceIdentifier(uri), *map(x509.DNSName, names)]
    builder = builder.add_extension(x509.SubjectAlternativeName(every), critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    signer = key or new_key()
    how = None if isinstance(signer, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(signer, how).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def forged() -> bytes:
    """A request whose key is not that of who signed it."""
    request = x509.load_pem_x509_csr(request_of())
    der = bytearray(request.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


REQUESTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "no request": (lambda: b"-----BEGIN NOTHING-----", "no signing request"),
    "a stranger": (lambda: request_of("jmpc://study/party/7"), "nobody of this cluster"),
    "another cluster": (lambda: request_of("jmpc://other/party/1"), "nobody of this cluster"),
    "a host too": (lambda: request_of(names=("example.org",)), "other alternative names"),
    "an authority": (lambda: request_of(more=(x509.BasicConstraints(True, None),)), "other extensions"),
    "a usage": (lambda: request_of(more=(x509.ExtendedKeyUsage([SERVES, DIALS]),)), "other extensions"),
    "not its key": (forged, "does not hold its key"),
    "another curve": (lambda: request_of(key=ec.generate_private_key(ec.SECP384R1())), "not of P-256"),
    "RSA": (lambda: request_of(key=rsa.generate_private_key(65537, 2048)), "not of P-256"),
    "Ed25519": (lambda: request_of(key=ed25519.Ed25519PrivateKey.generate()), "not of P-256"),
}


@pytest.mark.parametrize("bad", REQUESTS)
def test_a_request_that_asks_for_something_else_is_refused(bad: str, keyless: Path) -> None:
    make_request, word = REQUESTS[bad]
    before = (keyless / "cluster.toml").read_bytes()
    with pytest.raises(ConfigError, match="the request is refused") as caught:
        sign(keyless, make_request())
    assert word in caught.value.why
    assert (keyless / "cluster.toml").read_bytes() == before
    assert not (keyless / "signed").exists()


def test_a_request_with_an_unexpected_a_foreign_or_a_revoked_key_is_refused(keyless: Path) -> None:
    key = new_key()
    with pytest.raises(ConfigError, match="somebody may have put another one there"):
        sign(keyless, request_of(key=key), expected=f"sha256:{'0' * 64}")
    sign(keyless, request_of(key=key))
    with pytest.raises(ConfigError, match="its key is another member's"):
        sign(keyless, request_of("jmpc://study/party/2", key=key))
    change.revoke(keyless, "party/1", NOW)
    with pytest.raises(ConfigError, match="its key was revoked"):
        sign(keyless, request_of(key=key), replaces=True)


def test_what_the_request_is_called_does_not_matter(keyless: Path) -> None:
    _, name, path = sign(keyless, request_of())
    leaf = x509.load_pem_x509_certificate(path.read_bytes())
    assert name == "party/1"
    assert "party/0" not in leaf.subject.rfc4514_string()


def test_an_authority_of_ones_own_signs(tmp_path: Path) -> None:
    root = Authority.new("company", NOW, 900)
    pem = keys.certificate_pem(root.certificate)
    folder = tmp_path / "study"
    made = make.create(folder, make.Order(HOSTS, authority_certificate=pem), NOW)
    assert not (folder / "authority").exists()
    for index in range(3):
        request, _ = keygen(folder, f"party/{index}")
        public = x509.load_pem_x509_csr(request.read_bytes()).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)

        def leaf(uri: str, key: ec.EllipticCurvePublicKey = public) -> bytes:
            span = NOW - DAY, NOW + 40 * DAY
            return keys.certificate_pem(leaf_certificate(uri, key, root.certificate, root.key, *span)).encode()

        with pytest.raises(ConfigError, match="nobody's of this cluster"):
            change.accept(folder, leaf(f"jmpc://other/party/{index}"), NOW, where="c", record=True)
        made, name = change.accept(folder, leaf(made.uri(f"party/{index}")), NOW, where="c", record=True)
        assert name == f"party/{index}"
        with pytest.raises(ConfigError, match="not the one in the cluster's file"):
            change.accept(folder, leaf(made.uri(name), new_key().public_key()), NOW, where="c", record=True)
    assert sound(folder)
    assert made.revision == 4
    with pytest.raises(ConfigError, match="the authority's key is not here"):
        change.rotate(folder, "party/0", signing())


def test_a_certificate_of_another_authority_is_not_accepted(study: Path) -> None:
    other, key = Authority.new("study", NOW, 90), new_key()
    span = NOW - DAY, NOW + DAY
    leaf = leaf_certificate(PARTY_1, key.public_key(), other.certificate, other.key, *span)
    with pytest.raises(ConfigError, match="of another authority"):
        change.accept(study, keys.certificate_pem(leaf).encode(), NOW, where="c", record=True, replaces=True)
    assert sound(study)


def test_rotating_makes_the_old_one_count_no_more(study: Path) -> None:
    before = Identity.read(study / "party-0", Roster.read(study / "cluster.toml"), now=NOW)
    old = x509.load_pem_x509_certificate(before.credentials.certificate).public_bytes(Encoding.DER)
    assert Roster.read(study / "cluster.toml").refusal("jmpc://study/party/0", old) == ""
    made = change.rotate(study, "party/0", signing())
    assert sound(study)
    assert "revoked" in made.refusal("jmpc://study/party/0", old)
    assert made.revision == 2
    assert key_of(study, "party/0") != before.key
    for name in ("party/1", "client/hospital-a"):
        assert Identity.read(study / name.replace("/", "-"), made, now=NOW).name == name


def test_an_expired_certificate_is_renewed(study: Path) -> None:
    late = NOW + 100 * DAY
    change.rotate(study, "party/0", signing(late), same_key=True)
    report = check(study, name="party/0", now=late, resolve=None)
    assert report.faults == ()


def test_a_revoked_member_gets_a_new_key(study: Path) -> None:
    change.revoke(study, "client/hospital-a", NOW)
    with pytest.raises(ConfigError, match="has no key to revoke"):
        change.revoke(study, "client/hospital-a", NOW)
    assert not sound(study)
    change.rotate(study, "client/hospital-a", signing())
    assert sound(study)


def test_a_client_is_added_once(study: Path) -> None:
    change.add_client(study, "bank", signing())
    assert sound(study)
    for name in ("bank", "BANK", "client/bank", "hospital-a"):
        with pytest.raises(ConfigError, match="in the cluster already"):
            change.add_client(study, name, signing())
    change.add_client(study, "other", signing(), with_key_here=False)
    assert key_of(study, "client/other") == ""
    assert not (study / "client-other").exists()


def test_an_older_or_foreign_file_is_not_taken(study: Path, tmp_path: Path) -> None:
    first = Roster.read(study / "cluster.toml")
    second = change.rotate(study, "party/0", signing())
    with pytest.raises(ConfigError, match="it is older"):
        change.update(study, first, "old")
    shutil.copytree(study, tmp_path / "fork")
    left, right = change.revoke(study, "party/1", NOW), change.revoke(tmp_path / "fork", "party/2", NOW)
    assert left.revision == right.revision == second.revision + 1
    with pytest.raises(ConfigError, match="changed at two places"):
        change.update(study, right, "fork")
    other = make.create(tmp_path / "other", make.Order(HOSTS, name="study"), NOW)
    with pytest.raises(ConfigError, match="another cluster"):
        change.update(study, other, "other")


def test_a_sealed_key_opens_by_its_passphrase_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SEALING_ROUNDS", 2000)
    folder, phrase = tmp_path / "study", b"correct horse battery"
    make.create(folder, make.Order(HOSTS, passphrase=phrase), NOW)
    assert os.listdir(folder / "authority") == ["key.p12"]
    assert b"PRIVATE KEY" not in (folder / "authority" / "key.p12").read_bytes()
    change.rotate(folder, "party/0", change.Signing(lambda: phrase, NOW))
    with pytest.raises(ConfigError, match="does not open") as caught:
        change.rotate(folder, "party/0", change.Signing(lambda: b"wrong horse battery", NOW))
    assert b"horse" not in str(caught.value).encode()
    with pytest.raises(ConfigError, match="too short"):
        make.create(tmp_path / "other", make.Order(HOSTS, passphrase=b"short"), NOW)
    assert not (tmp_path / "other").exists()


def test_no_certificate_outlives_the_authority(study: Path) -> None:
    with pytest.raises(ConfigError, match="outlive"):
        change.rotate(study, "party/0", signing(days=3000))
    assert sound(study)
    assert authority_of(study)[0].revision == 1


def test_an_identity_must_be_the_one_that_is_asked_for(study: Path) -> None:
    roster = Roster.read(study / "cluster.toml")
    with pytest.raises(ConfigError, match="another member's") as caught:
        Identity.read(study / "party-0", roster, name="party/1", now=NOW)
    assert caught.value.where.endswith("certificate.pem")
    (study / "party-0").rename(study / "me")
    assert Identity.read(study / "me", roster, now=NOW).name == "party/0"
    assert "hidden" in repr(Identity.read(study / "me", roster, now=NOW))
    assert "BEGIN" not in repr(Identity.read(study / "me", roster, now=NOW))
