# SPDX-License-Identifier: Apache-2.0
"""An offer as text: ``1764150000000000;5f0c9a…``, in the header ``Fencing-Token`` and in the file guard's own file.

::

    Fencing-Token = token ";" acquisition
    token         = %x31-39 0*18DIGIT              ; 1 to 2^63 - 1, no leading zeros
    acquisition   = 1*128( VCHAR except ";" "," )  ; so that the header cannot be two

One request carries one such header: no list, no parameters. No standard names it. Rejected: an RFC 8941 structured
integer, which ends at 15 digits where microseconds since 1970 have 16.
"""

from __future__ import annotations

import re

from ...errors import ConfigurationError
from .offer import Fenced, Offer, offer_of, sound

HEADER = "Fencing-Token"
_TOKEN = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


def header_of(held: Fenced) -> dict[str, str]:
    """The header to send with each request of the holder, for any HTTP client."""
    return {HEADER: text_of(offer_of(held))}


def text_of(offer: Offer) -> str:
    """``token;acquisition``."""
    return f"{offer.token};{offer.acquisition}"


def parse(text: str) -> Offer:
    """The offer that ``text_of`` wrote; blanks around it are left out. ValueError says what is wrong with another."""
    token, found, acquisition = text.strip(" \t").partition(";")
    if not found or not _TOKEN.fullmatch(token):
        raise ValueError(f"{HEADER} is token;acquisition, the token a decimal number without leading zeros")
    try:
        return sound(Offer(int(token), acquisition))
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
