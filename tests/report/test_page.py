"""The report's page and PDF: what they hold, and the page in a real browser."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from dosecalc.errors import InputError
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.report.page.build import page_text, write_page
from dosecalc.report.page.contents import contents_of
from dosecalc.report.page.printed import Paper, column_widths, pdf_bytes
from dosecalc.report.page.volumes import (
    UNKNOWN,
    display_grid,
    packed,
    packed_volumes,
    unpacked,
)
from dosecalc.report.page.words import LANGUAGES, load_words
from dosecalc.verification.parts import beam_part
from dosecalc.verification.verification import Verification
from tests.outside import program
from tests.report.verifications import PLANTED, hostile, verification, without_reference


def test_packing_loses_nothing() -> None:
    random = np.random.default_rng(3)
    for dtype in (np.uint8, np.uint16):
        values = random.integers(0, np.iinfo(dtype).max, (3, 5, 7), dtype, endpoint=True)
        np.testing.assert_array_equal(unpacked(packed(values), dtype), values.ravel())


def test_shown_doses_are_the_compared_doses() -> None:
    v = verification()
    assert v.reference is not None
    display = display_grid(v)
    shown = {d["name"]: d for d in packed_volumes(v, display)["doses"]}
    reference = shown["reference"]
    codes = unpacked(reference["data"], np.uint16)
    gray = codes * reference["step"]
    # Half a code, of 65000 in the largest dose.
    np.testing.assert_allclose(gray, v.reference.gray.ravel(), atol=0.51 * reference["step"])
    assert reference["step"] < 0.002
    # Outside of the calculated grid there is no dose, not a dose of nothing.
    assert (unpacked(shown["calculated"]["data"], np.uint16) == UNKNOWN).any()


def test_air_around_the_patient_is_marked_for_the_viewer() -> None:
    v = verification()
    display = display_grid(v)
    mask = unpacked(packed_volumes(v, display)["patient"], np.uint8).reshape(display.grid.shape)
    # What lies beyond the phantom, in the first and last planes, is not known to be air.
    assert not mask[1:-1, 0, 0].any() and mask[tuple(n // 2 for n in mask.shape)] == 1
    assert packed_volumes(replace(v, reference=None), display)["patient"] is None


def test_large_grids_are_thinned_and_keep_the_worst_voxel() -> None:
    v = verification()
    assert v.largest is not None
    display = display_grid(v, most=20_000)
    assert max(display.steps) > 1 and np.prod(display.grid.shape) <= 20_000
    index = np.array(display.grid.index_of(v.largest.point))
    np.testing.assert_allclose(index, np.rint(index), atol=1e-9)


def test_words_are_the_same_in_every_language() -> None:
    english, french = (load_words(one) for one in LANGUAGES)
    # Names of rules are English where no word is given.
    rules = {key for key in french.texts if key.startswith("rule_")}
    assert set(english.texts) == set(french.texts) - rules
    for key, text in english.texts.items():
        wanted = set(re.findall(r"\{(\w+)\}", text))
        assert set(re.findall(r"\{(\w+)\}", french.texts[key])) == wanted, key
    with pytest.raises(InputError, match="de"):
        load_words("de")


def test_every_finding_is_said_in_french() -> None:
    french = load_words("fr")
    for finding in verification().findings:
        if finding.rule != "goal":  # numbers and names only
            assert french.message(finding.message) != finding.sentence, finding.sentence
    for line in verification().not_checked:
        assert french.sentence(line) != line, line


def test_page_fetches_nothing_and_runs_nothing_of_a_patient() -> None:
    page = page_text(hostile("</script><script>alert(1)</script><img src=x onerror=alert(2)>"))
    assert "<script>alert" not in page and "<img" not in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert "default-src 'none'" in html.unescape(page)
    assert len(page) < 6_000_000


def test_equal_verifications_give_equal_reports() -> None:
    assert page_text(verification()) == page_text(verification())
    assert pdf_bytes(verification()) == pdf_bytes(verification())


@pytest.mark.parametrize("language", LANGUAGES)
def test_pdf_says_it_all(language: str) -> None:
    v, words = verification(), load_words(language)
    reader = PdfReader(io.BytesIO(pdf_bytes(v, language)))
    text = " ".join(" ".join(page.extract_text().split()) for page in reader.pages)
    squeezed = text.replace(" ", "")

    def says(sentence: str) -> bool:
        return "".join(sentence.split()) in squeezed

    assert says(words("verdict_review")) and says(words("signing"))
    assert says("308") and says("60 Gy")
    for finding in v.findings:
        assert says(words.message(finding.message)), finding.sentence
    for line in (*v.not_checked, *v.shared_inputs, *v.caveats):
        assert says(words.sentence(line)), line
    assert says(words("table_conformity")) and says("Paddick")
    assert "5e" * 32 in squeezed  # the machine model's hash
    assert any(page.images for page in reader.pages)


def page_texts(v: Verification, language: str = "en") -> list[str]:
    """Texts of the PDF's pages, spaces made one."""
    reader = PdfReader(io.BytesIO(pdf_bytes(v, language)))
    return [" ".join(page.extract_text().split()) for page in reader.pages]


@pytest.mark.parametrize("language", LANGUAGES)
def test_first_printed_page_says_what_was_not_checked(language: str) -> None:
    v, words = verification(), load_words(language)
    many = [Finding("beam dose", Outcome.FAIL, Message.of(
                "beam.dose_of_plan", beam=beam_part(n, "left"), calculated=float(n), stated=1.5,
                percent=50.0), 50.0, "%", 5.0, 10.0)
            for n in range(30)]  # fmt: skip
    first = page_texts(replace(v, findings=(*v.findings, *many)), language)[0].replace(" ", "")
    for line in v.not_checked:
        assert words.sentence(line).replace(" ", "") in first, line


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_printed_page_tells_its_run(language: str) -> None:
    pages = page_texts(verification(), language)
    for n, text in enumerate(pages, start=1):
        for part in ("Phantom, Thorax", "THORAX-1", "2026-11-27 01:19", "ab12" * 4, "5e" * 8,
                     "ef56" * 4, "cd34" * 4, f"page {n} "):  # fmt: skip
            assert part in text, (n, part)
    assert "02:19" not in pages[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_printed_tables_break_no_words(language: str) -> None:
    said = contents_of(verification(), load_words(language))
    pdf = Paper(said, load_words(language))
    for table in said.tables.values():
        heads = [column.heading for column in table.columns]
        rows = [[str(cell) for cell in row] for row in table.rows]
        widths = column_widths(pdf, [heads, *rows], [column.share for column in table.columns])
        assert sum(widths) <= pdf.epw + 0.01
        pdf.set_font(style="B")
        for head, width in zip(heads, widths, strict=True):
            for word in head.split(" "):
                assert pdf.get_string_width(word) + 2 < width, (table.key, word)


def test_printed_rules_name_their_sources() -> None:
    v = verification()
    text = " ".join(page_texts(v)).replace(" ", "")
    for source in {finding.source for finding in v.findings if finding.source}:
        assert f"]{source.replace(' ', '')}" in text, source


def test_texts_without_end_or_spaces_are_printed() -> None:
    for text in ("W" * 64, "W" * 3000):
        assert PdfReader(io.BytesIO(pdf_bytes(hostile(text)))).pages


def test_short_tables_stay_on_one_page() -> None:
    pages = page_texts(verification())
    (page,) = (text for text in pages if "1 anterior" in text and "collim." in text)
    assert "4 jaws only" in page


def test_reports_without_a_reference() -> None:
    v = without_reference()
    page = page_text(v)
    assert load_words("en")("nothing_compared") in page
    assert PdfReader(io.BytesIO(pdf_bytes(v))).pages


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    found = program("chromium", "chromium")
    driver = program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1300,1000"):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    """The page, when its script has drawn everything."""
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda b: not b.find_element(By.ID, "status").is_displayed())
    return browser


def pixels(browser: webdriver.Chrome, canvas: str) -> str:
    return str(browser.execute_script(f"return document.getElementById('{canvas}').toDataURL()"))


@pytest.mark.system
def test_page_in_a_browser(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = opened(browser, write_page(verification(), tmp_path / "report.html"))
    for name in ("first", "viewer", "dvh", "bev", "tables", "record"):
        assert page.find_element(By.ID, name).is_displayed()

    # A slider moves its plane and redraws it.
    slider = page.find_element(By.ID, "slider-axial")
    before, where = pixels(page, "plane-axial"), page.find_element(By.ID, "at-axial").text
    slider.send_keys(Keys.ARROW_RIGHT)
    assert page.find_element(By.ID, "at-axial").text != where
    assert pixels(page, "plane-axial") != before

    # The worst voxel in one click: its place, both doses, the difference in colour.
    page.execute_script("window.scrollTo(0, 0)")
    page.find_element(By.CSS_SELECTOR, "#first [data-go=largest]").click()
    read = page.find_element(By.ID, "readout").text
    assert "x \u221252.0, y 8.0, z 12.0 mm" in read, PLANTED
    largest = verification().largest
    assert largest is not None
    for gray in (largest.calculated_gy, largest.reference_gy):
        assert f"{gray:.2f} Gy" in read
    assert page.find_element(By.ID, "wash").get_attribute("value") == "difference"

    # Structures off in planes and histograms alike.
    box = page.find_element(By.CSS_SELECTOR, "#viewer [data-structure='2']")
    box.click()
    assert "off" in page.find_element(By.CSS_SELECTOR, "[data-curve='2']").get_attribute("class")

    # Leaves of an arc move from control point to control point.
    page.execute_script("const s = document.getElementById('bev_beam'); s.value = '2';"
                        "s.dispatchEvent(new Event('input'))")  # fmt: skip
    before = pixels(page, "bev-canvas")
    page.find_element(By.ID, "bev_point").send_keys(Keys.ARROW_RIGHT)
    assert "2 / 21" in page.find_element(By.ID, "bev-state").text
    assert pixels(page, "bev-canvas") != before

    page.find_element(By.CSS_SELECTOR, "[data-language=fr]").click()
    assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") == "fr"
    shown = page.find_element(By.TAG_NAME, "body").text
    assert "\u00c0 EXAMINER" in shown and "To review" not in shown
    # French puts a space before the colon.
    assert "2 / 21 : " in page.find_element(By.ID, "bev-state").text
    assert "au-delà de l'échelle" in page.find_element(By.ID, "bar-note").text
    assert page.get_log("browser") == []


@pytest.mark.system
def test_hostile_names_do_nothing_in_a_browser(browser: webdriver.Chrome, tmp_path: Path) -> None:
    text = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
    page = opened(browser, write_page(hostile(text), tmp_path / "report.html"))
    assert page.execute_script("return window.hurt") is None
    assert "window.hurt" in page.find_element(By.TAG_NAME, "h1").text
    assert page.get_log("browser") == []


@pytest.mark.system
def test_page_without_reference_in_a_browser(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = opened(browser, write_page(without_reference(), tmp_path / "report.html"))
    assert not page.find_elements(By.CSS_SELECTOR, "[data-go=largest]")
    assert "g/cm" in page.find_element(By.ID, "readout").text
    assert page.get_log("browser") == []
    data = json.loads(page.execute_script("return document.getElementById('data').textContent"))
    assert data["gamma"] is None
