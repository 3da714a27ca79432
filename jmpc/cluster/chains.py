"""Certificates of members and requests for them: what they must say, and what is wrong with one.

In: PEM, a roster, the time. Out: a chain (the member's certificate, then those between it and the authority) or a
request, and the faults of either. This file opens no file and signs nothing.
"""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from jmpc.cluster import names
from jmpc.cluster.faults import Fault
from jmpc.cluster.members import moment_text
from jmpc.cluster.roster import Roster
from jmpc.runtime.certificates import CLOCK_SKEW, DIALS, SERVES

Chain = list[x509.Certificate]
WARNING_DAYS = (1, 7, 30)
_NEW_ONE = "have a new one made: jmpc cluster rotate, or keygen, sign and accept where the key is made elsewhere"


def read_chain(content: bytes) -> Chain:
    """All certificates of a PEM text. ValueError says that there is none, or one that cannot be read to its end."""
    try:
        chain = x509.load_pem_x509_certificates(content)
        for certificate in chain:
            _read_through(certificate)
        return chain
    except Exception:  # of cryptography, of many kinds
        raise ValueError("it holds no certificate as PEM that can be read") from None


def read_request(content: bytes) -> x509.CertificateSigningRequest:
    """A signing request of a PEM text. ValueError says that it is none."""
    try:
        request = x509.load_pem_x509_csr(content)
        _read_through(request)
        return request
    except Exception:  # of cryptography, of many kinds
        raise ValueError("it is no signing request as PEM that can be read") from None


def _read_through(certified: x509.Certificate | x509.CertificateSigningRequest) -> None:
    """Raise now what cryptography raises for the parts that it reads when asked: the key, the extensions."""
    certified.public_key()
    certified.extensions  # noqa: B018


def subject(certified: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """The one URI that a certificate or a request is for. ValueError says that there is not one alone."""
    try:
        found = list(certified.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        raise ValueError("it has no alternative name, which would be its identity") from None
    if len(found) != 1 or not isinstance(found[0], x509.UniformResourceIdentifier):
        raise ValueError("it has other alternative names than one URI")
    return found[0].value


def chain_faults(chain: Chain, roster: Roster, now: dt.datetime, where: str) -> list[Fault]:
    """What is wrong with a member's certificate, but for whose it is."""
    leaf = chain[0]
    faults = time_faults(leaf, now, where)
    if not any(not fault.warning for fault in faults):
        faults += _untrusted(chain, roster, now, where)
    try:
        identity = subject(leaf)
    except ValueError as exc:
        return [*faults, Fault("wrong-uri", "the certificate is nobody's", where, str(exc), _NEW_ONE)]
    missing = _missing_purpose(leaf, roster.named(identity))
    if missing:
        faults.append(Fault("wrong-usage", f"the certificate may not {missing}", where, "key usages", _NEW_ONE))
    return faults


def time_faults(
    certificate: x509.Certificate, now: dt.datetime, where: str, what: str = "the certificate", todo: str = _NEW_ONE
) -> list[Fault]:
    """A certificate that is not valid now, or soon will not be. what, todo: for messages."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= end:
        return [Fault("expired", f"{what} has expired", where, f"it ended at {moment_text(end)}", todo)]
    if now < begin:
        why = f"it begins at {moment_text(begin)}, and this clock says {moment_text(now.replace(microsecond=0))}"
        return [Fault("not-yet-valid", f"{what} is not yet valid", where, why, "set the clock, or wait")]
    for days in WARNING_DAYS:
        if end - now <= dt.timedelta(days=days):
            soon = f"{what} ends within {days} day{'s' * (days > 1)}"
            return [Fault("ends-soon", soon, where, f"it ends at {moment_text(end)}", todo, warning=True)]
    return []


def _untrusted(chain: Chain, roster: Roster, now: dt.datetime, where: str) -> list[Fault]:
    verifier = PolicyBuilder().store(Store([roster.certificate])).time(now).build_client_verifier()
    try:
        verifier.verify(chain[0], chain[1:])
    except VerificationError:
        what = "the certificate is of another authority, or is not made as TLS asks"
        why = "nothing leads from it to the authority in the cluster's file"
        return [
            Fault("other-authority", what, where, why, "have it signed by the cluster's authority: jmpc cluster sign")
        ]
    return []


def _missing_purpose(leaf: x509.Certificate, name: str | None) -> str:
    """What a certificate may not do that its holder must."""
    try:
        purposes = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        purposes = set[x509.ObjectIdentifier]()
    if DIALS not in purposes:
        return "prove a client of TLS"
    return "prove a server of TLS" if name and name.startswith(names.PARTY) and SERVES not in purposes else ""


def authority_faults(roster: Roster, now: dt.datetime, where: str) -> list[Fault]:
    """What is wrong with the authority's own certificate, and with this clock beside the cluster's file."""
    place, whose = f"{where} (authority.certificate)", "the authority's certificate"
    faults = time_faults(roster.certificate, now, place, whose, "make a new cluster: its authority is not renewed")
    if now < roster.changed - CLOCK_SKEW:
        clock = moment_text(now.replace(microsecond=0))
        why = f"the file is of {moment_text(roster.changed)}, and this clock says {clock}"
        faults.append(Fault("clock-behind", "this machine's clock is behind", where, why, "set the clock, by NTP"))
    return faults


def request_key(request: x509.CertificateSigningRequest) -> ec.EllipticCurvePublicKey:
    """The key that a request is for, if who made the request holds it and asks for nothing but an identity.

    ValueError says what else it asks for.
    """
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("its key is not of P-256")
    if not request.is_signature_valid:
        raise ValueError("who made it does not hold its key: the signature is wrong")
    asked = [extension.oid for extension in request.extensions]
    if asked != [x509.SubjectAlternativeName.oid]:
        raise ValueError("it asks for other extensions than an identity")
    return key
