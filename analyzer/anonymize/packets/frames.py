"""The frames of a clear Initial with what is private in them replaced: crypto streams, reasons of closes.

Initials carry PADDING, PING, ACK, CRYPTO and CONNECTION_CLOSE (RFC 9000 §17.2.2). From the first frame of another type
on, and where frames cannot be read, the bytes become random ones.
"""

from __future__ import annotations

from collections.abc import Callable

from analyzer.anonymize.packets.edit import Edit, Maps
from analyzer.anonymize.phrases import phrase
from analyzer.wire.quic.frames import Ack, ConnectionClose, Crypto, Padding, Ping, frame_at


def edit_frames(payload: bytes, crypto: Callable[[int, bytes], bytes], maps: Maps) -> bytes:
    """A copy of a payload; ``crypto`` gives the bytes that replace a piece of the crypto stream at an offset."""
    edit = Edit(payload, maps)
    at = 0
    while at < len(payload):
        frame, end = frame_at(payload, at)
        replacement = b""
        if isinstance(frame, Crypto):
            replacement = crypto(frame.offset, frame.piece)
        elif isinstance(frame, ConnectionClose):
            replacement = phrase(frame.reason, maps.names)
        elif not isinstance(frame, Padding | Ping | Ack):
            break
        # What is replaced has its length, and ends the frame.
        edit.keep(at, end - len(replacement))
        edit.put(end - len(replacement), replacement)
        at = end
    return bytes(edit.copy)
