"""The page: what it may do, what it holds, and what a real browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analyzer.reports import html
from tests.reports import example
from tests.reports.browser import Page
from tests.reports.page import html_of


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    return Elements(page).found


CASES = {
    "silent": example.silent,
    "healthy": example.healthy,
    "empty": example.empty,
    "hostile": example.hostile,
    "mixed": example.mixed,
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: html_of(make()) for name, make in CASES.items()}


@pytest.mark.parametrize("case", CASES)
def test_nothing_but_the_one_style_and_the_one_script_may_act(pages: dict[str, str], case: str) -> None:
    page = pages[case]
    policy = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)[0].replace("&#39;", "'")
    for tag in ("style", "script"):
        parts = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(parts) == 1
        digest = base64.b64encode(hashlib.sha256(parts[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag, attributes in elements(page):
        assert tag not in ("iframe", "object", "embed", "base", "form", "audio", "video", "img")
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")]


@pytest.mark.parametrize("case", CASES)
def test_only_links_of_known_causes_leave_the_page(pages: dict[str, str], case: str) -> None:
    links = [attributes["href"] or "" for tag, attributes in elements(pages[case]) if tag == "a"]
    outside = {link for link in links if not link.startswith("#")}
    assert outside == ({"https://github.com/caddyserver/caddy/issues/6073"} if case == "silent" else set())


def test_a_finding_and_the_connections_that_it_cites_are_linked(pages: dict[str, str]) -> None:
    page = pages["silent"]
    names = {attributes["id"] for _, attributes in elements(page) if "id" in attributes}
    targets = {
        attributes["href"][1:] for tag, attributes in elements(page) if tag == "a" and attributes["href"][0] == "#"
    }
    assert {"F1", "F2", "F3", "C1", "C5"} <= targets <= names


def test_hostile_text_stays_text(pages: dict[str, str]) -> None:
    page = pages["hostile"]
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    tags = {tag for tag, _ in elements(page)}
    assert tags == {tag for tag, _ in elements(pages["silent"])}


def test_same_analysis_same_page(pages: dict[str, str]) -> None:
    assert html_of(example.silent()) == pages["silent"]


def test_the_compiled_template_is_kept_and_a_damaged_one_is_made_again(
    pages: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again() -> str:
        html._template.cache_clear()
        return html_of(example.silent())

    monkeypatch.setattr(html, "cache_folder", lambda: tmp_path / "cache")
    assert again() == pages["silent"]
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    for damage in (b"", whole[:40], whole[:-100], b"\0" * 500):
        kept.write_bytes(damage)
        assert again() == pages["silent"]
        assert kept.read_bytes() == whole
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(html, "cache_folder", lambda: tmp_path / "file" / "cache")
    assert again() == pages["silent"]
    html._template.cache_clear()


def test_a_flood_stays_a_page() -> None:
    page = html_of(example.flood(20_000))
    assert len(page) < 4_000_000
    assert page.count('<tr id="C') == 5_000
    # All the unanswered ones would fill the table, so the answered ones are left out.
    assert "5,000 of 20,000" in page


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Page]:
    with Page(chromium) as page:
        yield page


def opened(browser: Page, page: str, folder: Path) -> Path:
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(path)
    return path


@pytest.mark.parametrize("case", ["silent", "hostile", "empty"])
def test_the_page_asks_for_nothing_and_complains_about_nothing(
    browser: Page, pages: dict[str, str], tmp_path: Path, case: str
) -> None:
    path = opened(browser, pages[case], tmp_path)
    assert set(browser.requests) <= {path.as_uri(), "data:,"}
    assert browser.complaints == []
    assert browser.run("document.querySelectorAll('script').length") == 1


def test_tables_sort_and_filter(browser: Page, pages: dict[str, str], tmp_path: Path) -> None:
    opened(browser, pages["silent"], tmp_path)
    table = "document.querySelector('[aria-labelledby=connections] table')"
    first = f"{table}.tBodies[0].rows[0].id"
    header = f"[...{table}.tHead.rows[0].cells].find((cell) => cell.textContent === 'reply after')"
    assert browser.run(first) == "C1"
    browser.run(f"{header}.querySelector('button').click()")
    assert browser.run(first) == "C6"  # 21 µs
    assert browser.run(f"{header}.getAttribute('aria-sort')") == "ascending"
    browser.run(f"{header}.querySelector('button').click()")
    assert browser.run(first) == "C9"  # 8.5 ms; those without a reply stay at the end
    assert browser.run(f"{table}.tBodies[0].rows[11].cells[6].textContent") == "silent"

    tools = "document.querySelector('[aria-labelledby=connections] .tools')"
    shown = f"[...{table}.tBodies[0].rows].filter((row) => !row.hidden).length"
    browser.run(f"{tools}.querySelectorAll('select')[1].value = 'IPv4'; {tools}.dispatchEvent(new Event('input'))")
    assert browser.run(shown) == 6
    browser.run(f"{tools}.querySelectorAll('select')[2].value = 'silent'; {tools}.dispatchEvent(new Event('input'))")
    assert browser.run(shown) == 5
    browser.run(f"{tools}.querySelector('input').value = '59832 EXAMPLE'; {tools}.dispatchEvent(new Event('input'))")
    assert browser.run(shown) == 1
    assert browser.run(f"{tools}.querySelector('output').textContent") == "1 of 12 shown"
    assert browser.complaints == []


def test_a_click_on_a_connection_opens_its_ladder(browser: Page, pages: dict[str, str], tmp_path: Path) -> None:
    opened(browser, pages["silent"], tmp_path)
    dialog = "document.querySelector('dialog')"
    assert browser.run(f"{dialog}.open") is False
    browser.run("document.querySelector('tr#C6 button').click()")
    assert browser.run(f"{dialog}.open") is True
    assert browser.run(f"{dialog}.querySelector('h2').textContent") == "C6: TCP over IPv4, answered"
    rows = f"[...{dialog}.querySelectorAll('tbody tr')]"
    assert browser.run(f"{rows}.map((row) => row.textContent)") == [
        "290 sSYN from the client",
        "30+21 µstcp-syn-ack from the server",
    ]
    browser.run(f"{dialog}.querySelector('.close').click()")
    assert browser.run(f"{dialog}.open") is False
    # The same from a finding, about the connection of its first record.
    browser.run("document.querySelector('#F1 dd button').click()")
    assert browser.run(f"{rows}.length") == 5
    assert browser.run(f"{dialog}.querySelector('.more').textContent") == "no reply of 192.0.2.80:443 was seen"
    assert browser.complaints == []


def test_a_hostile_name_in_a_ladder_stays_text(browser: Page, pages: dict[str, str], tmp_path: Path) -> None:
    opened(browser, pages["hostile"], tmp_path)
    browser.run("document.querySelector('tr#C1 button').click()")
    assert "<script>" in browser.run("document.querySelectorAll('dialog th span')[1].textContent")
    assert browser.run("document.querySelectorAll('dialog script, dialog a').length") == 0
    assert browser.complaints == []


def test_the_page_fits_a_phone(browser: Page, pages: dict[str, str], tmp_path: Path) -> None:
    browser.send("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=True)
    for case in ("silent", "hostile"):
        opened(browser, pages[case], tmp_path)
        assert browser.run("document.documentElement.scrollWidth") <= 360
    browser.send("Emulation.clearDeviceMetricsOverride")


def test_a_flood_opens_at_once_and_shows_the_rest_when_asked(browser: Page, tmp_path: Path) -> None:
    page = html_of(example.flood(6_000))
    opened(browser, page, tmp_path)
    section = "document.querySelector('[aria-labelledby=connections]')"
    shown = f"[...{section}.querySelectorAll('tbody tr')].filter((row) => !row.hidden).length"
    assert browser.run(shown) == 200
    assert browser.run(f"{section}.querySelector('output').textContent") == "200 of 5,000 shown"
    browser.run("location.hash = '#C3000'; new Promise((done) => setTimeout(done, 50))")
    assert browser.run("document.getElementById('C3000').hidden") is False
    browser.run(f"{section}.querySelector('.tools button').click()")
    assert browser.run(shown) == 5_000
    assert browser.run(f"{section}.querySelector('.tools button').hidden") is True


def press(browser: Page, key: str, code: int) -> None:
    text = {"text": "\r"} if key == "Enter" else {}
    browser.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
    browser.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)


def test_the_keyboard_sorts_and_opens_and_closes_a_ladder(browser: Page, pages: dict[str, str], tmp_path: Path) -> None:
    opened(browser, pages["silent"], tmp_path)
    browser.run("document.querySelector('[aria-labelledby=connections] th button').focus()")
    press(browser, "Enter", 13)
    head = "document.querySelector('[aria-labelledby=connections] th')"
    assert browser.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    browser.run("document.querySelector('tr#C1 button').focus()")
    press(browser, "Enter", 13)
    assert browser.run("document.querySelector('dialog').open") is True
    press(browser, "Escape", 27)
    assert browser.run("document.querySelector('dialog').open") is False
    # The focus is back where it was, so that the next row is one step away.
    assert browser.run("document.activeElement.closest('tr').id") == "C1"
    assert browser.complaints == []


def test_a_screen_reader_finds_names_and_landmarks(browser: Page, pages: dict[str, str], tmp_path: Path) -> None:
    opened(browser, pages["silent"], tmp_path)
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("document.querySelectorAll('h1').length") == 1
    assert browser.run("document.querySelectorAll('main, footer').length") == 2
    nameless = "[...document.querySelectorAll('{}')].filter((e) => !({})).length"
    named = "e.getAttribute('aria-label') || e.textContent.trim()"
    assert browser.run(nameless.format("input, select, button, figure, svg[role=img]", named)) == 0
    assert browser.run(nameless.format("main thead th", "e.scope === 'col' && e.textContent.trim()")) == 0
    labelled = "document.getElementById(e.getAttribute('aria-labelledby'))"
    assert browser.run(nameless.format("[aria-labelledby]", labelled)) == 0
    # What scrolls can be reached by the keyboard.
    assert browser.run(nameless.format(".scroll, .plot", "e.tabIndex === 0")) == 0
