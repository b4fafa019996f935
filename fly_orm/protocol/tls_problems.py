"""What the errors of TLS mean for somebody who has to mend them."""

from __future__ import annotations

import ssl

from .expiry import RENEW

_BOTH = "set FLY_ORM_TLS_CERT, FLY_ORM_TLS_KEY and FLY_ORM_TLS_CA on both ends, or on neither"
#: What to do where one end uses TLS and the other does not.
NO_TLS = f"the peer closed the connection in the TLS handshake; if it does not use TLS, {_BOTH}"
_PURPOSE = "must be for servers and for clients, as `fly-orm certificates` makes them"
#: By the reason that OpenSSL gives. An alert is what the peer has said about this end.
_REASONS = {
    "WRONG_VERSION_NUMBER": f"the peer does not use TLS: {_BOTH}",
    "HTTP_REQUEST": "the peer speaks HTTP, and not fly_orm's protocol",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": f"the peer has sent no certificate: {_BOTH}",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": f"the peer wants a certificate: {_BOTH}",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know the authority that issued this process's certificate: use "
    "certificates of the same authority, and the same FLY_ORM_TLS_CA, on both ends",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"the certificate of this process has expired, as the peer says: {RENEW}",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refuses the certificate of this process; its log may say why",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": f"the peer refuses the certificate of this process, which {_PURPOSE}",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer does not know TLS 1.3, which is required",
    "UNSUPPORTED_PROTOCOL": "the peer does not know TLS 1.3, which is required",
}
#: By the code of a failed verification (X509_V_ERR_… in OpenSSL's manual).
_VERIFICATIONS = {
    9: "the certificate of the peer is not valid yet: compare the clocks of both machines",
    10: f"the certificate of the peer has expired: {RENEW}",
    26: f"the certificate of the peer {_PURPOSE}",
}
#: The codes for a certificate that leads to no authority, or to an unknown one.
_NOT_ISSUED = (2, 18, 19, 20, 21)
_UNKNOWN_AUTHORITY = (
    "the certificate of the peer was not issued by an authority in FLY_ORM_TLS_CA: use certificates of the same "
    "authority, and the same FLY_ORM_TLS_CA, on both ends"
)


def explain(error: ssl.SSLError) -> str:
    """What has happened, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _UNKNOWN_AUTHORITY if error.verify_code in _NOT_ISSUED else _VERIFICATIONS.get(error.verify_code)
        return f"{known or 'the certificate of the peer is not valid'} ({error.verify_message})"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return NO_TLS
    return f"{_REASONS.get(error.reason or '', 'TLS failed')} ({error.reason or error})"
