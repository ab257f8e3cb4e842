"""Text at the doors: what came from a capture is hostile until it went through one of these functions.

A server name may hold terminal escapes, an interface description may hold Markdown, a file name may turn the
reading direction. ``visible`` is for terminals and is part of every other door; ``code`` and ``prose`` are for
Markdown, ``csv_cell`` for spreadsheets, ``json_text`` for JSON. HTML is escaped by jinja2 (``html.py``), and by
markupsafe where rows are written without a template (``connection_rows.py``).
"""

from __future__ import annotations

import functools
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

#: Control, format (bidi, zero width), surrogate, private, unassigned; line and paragraph separators.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

#: Letters and marks that are drawn as nothing (Default_Ignorable_Code_Point): fillers, joiners, variation selectors.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")

#: A spreadsheet takes a cell that begins like this for a formula (after spaces, and in full width too).
_FORMULA = re.compile(r"^\s*[=+\-@＝＋－＠]|^[\t\r\n]")

#: Words that no Markdown renderer turns into something else: not a mention, an issue, a commit, a link, an emoji.
_PLAIN_WORD = re.compile(r"[^\W_]+(?:['’/+-]+[^\W_]+)*%?|\d+(?:[.,]\d+)*%?|[-–—=+/%…·×≥≤]|\d+[–-]\d+")
_LINKED_WORD = re.compile(r"(?=.*\d)[0-9a-f]{7,40}|gh-\d+", re.IGNORECASE)
_LIST_MARK = re.compile(r"^(?:\d+[.)]|[-+])(?=\s|$)")
_COMMAND = re.compile("`([^`]+)`")
_URL = re.compile(r"https?://[\w./#?=&%~+:-]+")
_PUNCTUATED = re.compile(r"""(["'“„(]*)(.*?(?:\(\))?)(["'”).,;:!?]*)""", re.DOTALL)


#: Types of values that hold no others.
_PLAIN = {str, int, float, bool, type(None)}

#: Characters that may be invisible: all but those of ASCII that are printed, and the end of a line.
_NOT_PLAIN = re.compile(r"[^\x20-\x7e\n]")


def visible(text: str) -> str:
    """The text in one line of printable characters; all others as ``\\x1b`` or ``\\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _is_invisible(c) else c for c in text)


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE or _BLANK.match(character) is not None


def _escape(character: str) -> str:
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def code(text: str, *, cell: bool = False) -> str:
    """A CommonMark code span of the text; in a table cell, pipes are escaped as GFM asks."""
    shown = visible(text).strip() or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    span = f"{fence}{pad}{shown}{pad}{fence}"
    return span.replace("|", "\\|") if cell else span


def marked(text: str) -> list[tuple[bool, str]]:
    """A printable sentence in pieces, (True, ...) for what stands between backticks: commands in remedies."""
    pieces = _COMMAND.split(visible(text))
    return [(number % 2 == 1, piece) for number, piece in enumerate(pieces) if piece]


def prose(text: str, *, cell: bool = False) -> str:
    """A sentence as Markdown: plain words stay plain, everything else (addresses, names, markup) becomes code."""
    shown = ""
    for is_command, piece in marked(text):
        if is_command:
            more = code(piece, cell=cell)
        else:
            words = re.split(r"(\s+)", piece)
            more = "".join(" " if word.isspace() else _word(word, cell) for word in words)
        # Two code spans that touch would be read as one, or as none.
        shown += (" " if shown.endswith("`") and more.startswith("`") else "") + more
    # At the start of a block these would begin a list.
    return _LIST_MARK.sub(lambda found: code(found[0], cell=cell), shown.strip())


def _word(word: str, cell: bool) -> str:
    found = _PUNCTUATED.fullmatch(word)
    before, middle, after = found.groups() if found else ("", word, "")
    if not middle or (_PLAIN_WORD.fullmatch(middle) and not _LINKED_WORD.fullmatch(middle)):
        return word
    return f"{before}{code(middle, cell=cell)}{after}"


def web_address(url: str | None) -> str:
    """The address of a page on the web, "" for anything else: what a link may lead to."""
    return url if url and _URL.fullmatch(url) else ""


def csv_cell(text: str) -> str:
    """The text for a CSV file: printable, and with an apostrophe in front where a spreadsheet would calculate."""
    return ("'" if _FORMULA.match(text) else "") + visible(text)


def json_text(value: Any, *, indent: bool = True) -> str:
    """JSON in the order of the document: NaN as null, invisible characters as ``\\u`` escapes, UTF-8 for the rest.

    The keys of objects are texts. Indented, it has a member a line, behind two spaces for each level.
    """
    write = _indented if indent else json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    try:
        text = write(value)
    except (TypeError, ValueError):  # numbers of numpy, or none
        text = write(_finite(value))
    return _with_escapes(text)


def _indented(value: Any, margin: str = "\n") -> str:
    """JSON with a member a line; ``margin`` is the end of a line and the indentation of the value.

    The encoder in C does not indent. It writes what holds no more than plain values, or a list of such objects or
    lists; what separates members there holds the end of the line, which is in no text of JSON.
    """
    if not isinstance(value, dict | list | tuple) or not value:
        return _encoder("")(value)
    inner, deeper = margin + "  ", margin + "    "
    if _is_flat(value):
        text = _encoder(inner)(value)
        return f"{text[0]}{inner}{text[1:-1]}{margin}{text[-1]}"
    if isinstance(value, dict):
        members = [f"{_encoder('')(key)}: {_indented(member, inner)}" for key, member in value.items()]
        return f"{{{inner}{f',{inner}'.join(members)}{margin}}}"
    if {*map(type, value)} in ({dict}, {list}, {tuple}) and all(value) and all(map(_is_flat, value)):
        text = _encoder(deeper)(value)
        first, last = text[1], text[-2]
        members = text[2:-2].split(f"{last},{deeper}{first}")
        return f"[{inner}{first}{deeper}{f'{inner}{last},{inner}{first}{deeper}'.join(members)}{inner}{last}{margin}]"
    return f"[{inner}{f',{inner}'.join([_indented(member, inner) for member in value])}{margin}]"


def _is_flat(value: Any) -> bool:
    """Whether an object or list holds plain values alone."""
    return _PLAIN.issuperset(map(type, value.values() if isinstance(value, dict) else value))


@functools.cache
def _encoder(margin: str) -> Callable[[Any], str]:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=("," + margin, ": ")).encode


def _with_escapes(text: str) -> str:
    """JSON text with ``\\u`` escapes for what cannot be seen; it holds such characters in strings alone."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _NOT_PLAIN.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if not _is_invisible(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def utc(time_ns: int) -> str:
    """``2026-11-21T23:05:21.246008000Z``; "" for -1 (none)."""
    return "" if time_ns == -1 else f"{np.datetime64(int(time_ns), 'ns')}Z"


def nanoseconds(time: str) -> int:
    """A time as ``utc`` writes it in ns since 1970."""
    return int(np.datetime64(time.removesuffix("Z"), "ns").astype(np.int64))


def seconds(value: float) -> str:
    """A duration for people, three digits that count: ``410 µs``, ``20.4 ms``, ``3 s``; "" for NaN."""
    if math.isnan(value):
        return ""
    size = abs(value)
    scale, unit = (1.0, "s") if size >= 1 else (1e-3, "ms") if size >= 1e-3 else (1e-6, "µs")
    amount = value / scale
    return f"{amount:,.0f} {unit}" if abs(amount) >= 100 else f"{amount:.3g} {unit}"


def ranges(numbers: Iterable[int]) -> list[str]:
    """Ascending numbers with runs joined: 7, 8, 9, 12 -> ``7–9``, ``12``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [str(first) if first == last else f"{first}–{last}" for first, last in runs]


def width_of(text: str) -> int:
    """Columns that the text takes on a terminal; East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def clipped(text: str, width: int) -> str:
    """The text, or as much of its begin and end as fits into the width with ``…`` between."""
    if width_of(text) <= width:
        return text
    keep = max(width - 1, 1)
    end = text[len(text) - keep // 3 :] if keep >= 3 else ""
    begin = text[:keep]
    while begin and width_of(begin) + width_of(end) > keep:
        begin = begin[:-1]
    return f"{begin}…{end}"
