"""The OCSP responders that certificates name, found in their bytes without parsing them (RFC 5280 §4.2.2.1).

AccessDescription | 06 08 id-ad-ocsp | 86 length URI |        in DER; a URI of more than 127 bytes is passed over
"""

from __future__ import annotations

import functools
import re

_ACCESS = re.compile(rb"\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86([\x01-\x7f])", re.DOTALL)
_URL = re.compile(r"https?://([^/:?#]+)", re.IGNORECASE)


def responder_urls(certificates: bytes) -> tuple[str, ...]:
    """The addresses of OCSP responders in the bytes of one or several certificates."""
    urls = []
    for found in _ACCESS.finditer(certificates):
        url = certificates[found.end() : found.end() + found[1][0]]
        if len(url) == found[1][0] and url.isascii():
            urls.append(url.decode("ascii"))
    return tuple(dict.fromkeys(urls))


@functools.lru_cache(maxsize=64)
def responder_hosts(certificates: bytes) -> frozenset[str]:
    """The names in those addresses, in lower case."""
    return frozenset(found[1].lower() for url in responder_urls(certificates) if (found := _URL.match(url)))
