"""The report in a real browser: it renders at phone and desktop width, the filters work, and hostile answers stay text."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from made_up import HOSTILE, made_up

pytestmark = pytest.mark.browser

WIDTHS = (390, 1280)


def size(chromium: Any, width: int, scheme: str = "light") -> None:
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})


def visit(chromium: Any, report: Path, width: int = 1280, scheme: str = "light") -> None:
    size(chromium, width, scheme)
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get(report.as_uri())


def rows(chromium: Any) -> list[str]:
    return chromium.execute_script("return [...document.querySelectorAll('#list .answer > summary')].map(row => row.textContent)")


def ask(chromium: Any, name: str, value: str) -> str:
    script = """
        const field = document.querySelector(`#filters [name=${arguments[0]}]`);
        field.value = arguments[1];
        field.dispatchEvent(new Event("input", { bubbles: true }));
        return document.getElementById("status").textContent;"""
    return chromium.execute_script(script, name, value)


def sideways(chromium: Any) -> tuple[int, int]:
    """How far the page can be scrolled sideways, and the width of the window (which a phone widens to fit what sticks out)."""
    beyond, inner = chromium.execute_script("const page = document.documentElement; return [page.scrollWidth - page.clientWidth, innerWidth]")
    return beyond, inner


def open_everything(chromium: Any) -> None:
    chromium.execute_script("""
        for (let next = document.getElementById("next"); !next.hidden;) next.click();
        for (const part of document.querySelectorAll("details")) part.open = true;""")
    # Bodies are made in toggle events, and bring details of their own.
    chromium.execute_async_script("setTimeout(arguments[0], 300)")
    chromium.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    chromium.execute_async_script("setTimeout(arguments[0], 300)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_renders_without_errors_or_sideways_scrolling(chromium: Any, report: Path, width: int, scheme: str) -> None:
    visit(chromium, report, width, scheme)
    assert sideways(chromium) == (0, width)
    open_everything(chromium)
    assert sideways(chromium) == (0, width)
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_of_the_page(chromium: Any, report: Path, width: int) -> None:
    visit(chromium, report, width)
    open_everything(chromium)
    outside = chromium.execute_script("""
        const scrolls = (part) => part.closest(".scroll, pre, .contents, .sr, .skip, svg");
        return [...document.body.querySelectorAll("*")]
            .filter((part) => !scrolls(part) && part.getClientRects().length)
            .filter((part) => part.getBoundingClientRect().right > innerWidth + 1 || part.getBoundingClientRect().left < -1)
            .map((part) => `${part.tagName}.${part.className}: ${part.textContent.slice(0, 60)}`);""")
    assert outside == []


def test_asks_for_nothing_but_itself(chromium: Any, report: Path) -> None:
    visit(chromium, report)
    open_everything(chromium)
    assert chromium.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)") == []


def test_hostile_answers_stay_text(chromium: Any, report: Path) -> None:
    visit(chromium, report)
    ask(chromium, "place", "training")
    open_everything(chromium)
    assert chromium.execute_script("return window.hacked") is None
    assert chromium.execute_script("return document.querySelectorAll('#list script, #list img, #list svg, #how script, #how img').length") == 0
    shown = chromium.execute_script("return [...document.querySelectorAll('#list .cause')].map(part => part.textContent)")
    assert shown[:4] == list(HOSTILE[:4])
    assert shown[4] == "[U+2028][U+2029][U+202E] reversed [U+0000] [U+D800]"
    assert shown[5] == HOSTILE[5]
    assert chromium.get_log("browser") == []


def test_policy_refuses_scripts_that_are_not_ours(chromium: Any, report: Path) -> None:
    visit(chromium, report)
    chromium.execute_script("""
        const made = document.createElement("script");
        made.textContent = "window.hacked = 5";
        document.body.append(made);
        document.body.insertAdjacentHTML("beforeend", "<img src=data:, onerror='window.hacked = 6'>");""")
    chromium.execute_async_script("setTimeout(arguments[0], 200)")
    assert chromium.execute_script("return window.hacked") is None
    assert chromium.get_log("browser")


def test_filters_narrow_the_list(chromium: Any, report: Path) -> None:
    visit(chromium, report)
    data = made_up()
    everything = len(data.examples)
    status = chromium.execute_script("return document.getElementById('status').textContent")
    assert status == f"{everything} answers, the first 20 shown."
    passed = sum(example.outcome.name == "PASSED" for example in data.examples)
    assert ask(chromium, "outcome", "PASSED").startswith(f"{passed} answers")
    assert all(row.startswith("passed") for row in rows(chromium))
    both = sum(example.outcome.name == "PASSED" and example.author == "student, after" for example in data.examples)
    assert 0 < both < passed
    assert ask(chromium, "author", "student, after").startswith(f"{both} answer")
    assert ask(chromium, "words", "no such words anywhere") == "No answer fits these filters."
    chromium.execute_script("document.getElementById('clear').click()")
    assert len(rows(chromium)) == 20


def test_show_more_until_the_end(chromium: Any, report: Path) -> None:
    visit(chromium, report)
    chromium.execute_script("document.getElementById('next').click()")
    assert len(rows(chromium)) == 40
    open_everything(chromium)
    assert len(rows(chromium)) == len(made_up().examples)


def test_choosing_a_won_problem_shows_its_answers(chromium: Any, report: Path) -> None:
    visit(chromium, report, 390)
    name = chromium.execute_script("const chip = document.querySelector('.won button.chip'); chip.click(); return chip.dataset.problem")
    found = rows(chromium)
    assert found
    assert all(name in row for row in found)
    assert name in chromium.execute_script("return document.getElementById('status').textContent")
    assert chromium.execute_script("return document.activeElement.tagName") == "SUMMARY"


def test_readable_without_sight_or_mouse(chromium: Any, report: Path) -> None:
    visit(chromium, report)
    levels = chromium.execute_script("return [...document.querySelectorAll('h1, h2, h3, h4')].map(part => Number(part.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    unnamed = chromium.execute_script("""
        return [...document.querySelectorAll("svg[role=img]")].filter((part) => !part.getAttribute("aria-label")).length
            + [...document.querySelectorAll("table")].filter((part) => !part.querySelector("th[scope]")).length
            + [...document.querySelectorAll("input, select")].filter((part) => !part.labels.length).length;""")
    assert unnamed == 0
    repeated = chromium.execute_script("const ids = [...document.querySelectorAll('[id]')].map(part => part.id); return ids.length - new Set(ids).size")
    assert repeated == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(chromium: Any, report: Path, scheme: str) -> None:
    visit(chromium, report, 1280, scheme)
    open_everything(chromium)
    pale = chromium.execute_script("""
        const channels = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
        const behind = (part) => {
            for (; part; part = part.parentElement) {
                const colour = channels(getComputedStyle(part).backgroundColor);
                if (colour.length < 4 || colour[3] > 0) return colour;
            }
            return [255, 255, 255];
        };
        const found = new Set();
        for (const part of document.body.querySelectorAll("*")) {
            if (part.closest("script, style, noscript, svg, .skip") || ![...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
            const [a, b] = [light(channels(getComputedStyle(part).color)), light(behind(part))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.add(`${part.tagName}.${part.className} ${ratio.toFixed(2)}`);
        }
        return [...found];""")
    assert pale == []
