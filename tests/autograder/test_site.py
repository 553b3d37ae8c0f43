"""The course as pages: built for real, read in a real browser, and searched for what must not be in it."""

import functools
import http.server
import json
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from course_copy import copy_course
from secret_lines import secrets

from autograder.course import CourseError
from autograder.site.build import MARKER, build
from autograder.site.lessons import colab
from autograder.site.mathml import as_mathml

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NAMES = ("softmax", "attention", "positional_encoding")  # pictures that need no PyTorch


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A course of a few exercises, and the docs of the whole."""
    copy = copy_course(tmp_path_factory.mktemp("site") / "course", list(NAMES))
    shutil.copy(ROOT / "SECURITY.md", copy.root)
    return copy


@pytest.fixture(scope="session")
def site(course, tmp_path_factory):
    """Their site."""
    folder = tmp_path_factory.mktemp("built") / "site"
    build(course, folder, address="https://github.com/ada/llm.git", processes=2)
    return folder


class _Page(HTMLParser):
    """A page's links, anchors and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors, self.loads, self.images_without_words = [], set(), [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(values["href"])
        elif values.get("src"):
            self.loads.append(values["src"])
        self.images_without_words += tag == "img" and not values.get("alt")


@pytest.fixture(scope="session")
def pages(site):
    """All pages, by their place in the site."""
    return {str(p.relative_to(site)): _Page(p.read_text(encoding="utf-8")) for p in sorted(site.rglob("*.html"))}


def test_every_lesson_has_all_its_parts(site):
    """Formulas set, holes marked, a picture with words, tests by title, the way on, Colab, and the stub."""
    text = (site / "lessons" / "attention.html").read_text(encoding="utf-8")
    assert text.count("<math") > 5
    assert "$$" not in text
    assert 'class="hll"' in text
    assert re.search(r'<img alt="[^"]{20,}" [^>]*attention', text)
    assert 'href="softmax.html"' in text
    assert "https://colab.research.google.com/github/ada/llm/blob/HEAD/notebooks/attention.ipynb" in text
    assert len(list(site.glob("_downloads/*/attention.py"))) == 1


def test_every_link_leads_somewhere(site, pages):
    """Inside the site: the page is there, and so is the anchor."""
    count = 0
    for name, page in pages.items():
        for link in page.links:
            if link.startswith(("https://", "http://", "mailto:")):
                continue
            target, anchor = urldefrag(unquote(urljoin(f"/{name}", link)))
            path = target.lstrip("/") or name
            assert (site / path).is_file(), f"{name}: {link}"
            if anchor and path in pages:
                assert anchor in pages[path].anchors, f"{name}: {link}"
            count += 1
    assert count > 100


def test_nothing_is_loaded_from_elsewhere(site, pages):
    """No page, style or script asks another host, and every picture has words."""
    for name, page in pages.items():
        assert not [load for load in page.loads if "//" in load and not load.startswith("data:")], name
        assert not page.images_without_words, name
    for style in site.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()\s*['\"]?(https?:[^'\")]*)", style.read_text(encoding="utf-8"))
        assert not found, style
    terminal = (site / "index.html").read_text(encoding="utf-8")
    assert 'aria-label="make watch' in terminal
    assert "@font-face" not in terminal


def test_no_secret_is_in_any_page(course, site):
    """No line of a solution, a hidden suite or a mistake, but what stubs and visible suites show anyway."""
    public = [path.read_text(encoding="utf-8") for path in (course.root / "docs").glob("*.md")]
    public += [course.suite(name, "visible").read_text(encoding="utf-8") for name in course.names]
    public += [course.stub(name).read_text(encoding="utf-8") for name in course.names]
    hidden = [line for line in secrets(course) if not any(line in text for text in public)]
    assert len(hidden) > 150
    for path in site.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for line in hidden:
                assert line.encode() not in data, (path, line)


def test_pictures_carry_no_metadata(site):
    """Neither a program's name nor a time: only what a PNG cannot do without."""
    pictures = list((site / "_images").glob("*.png"))
    assert len(pictures) == len(NAMES)
    for picture in pictures:
        data, at, kinds = picture.read_bytes(), 8, set()
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            kinds.add(data[at + 4 : at + 8])
            at += length + 12
        assert kinds <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}, kinds


def test_the_same_bytes_again(course, site, tmp_path):
    """A second build of the same course is the same, byte for byte."""
    build(course, tmp_path / "again", address="https://github.com/ada/llm.git", processes=1)
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (site, tmp_path / "again")
    )
    assert first.keys() == second.keys()
    assert [str(path) for path in first if first[path] != second[path]] == []


def test_terms_lead_to_the_glossary(site):
    """The first place of a term in a lesson is a link, and the term is explained there."""
    text = (site / "lessons" / "softmax.html").read_text(encoding="utf-8")
    assert re.search(r'<a class="term[^"]*" href="\.\./glossary\.html#temperature">', text)
    assert text.count('href="../glossary.html#temperature"') == 1


def test_a_folder_of_others_is_left_alone(course, tmp_path):
    """A folder that holds something else is refused, an earlier site is replaced."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CourseError, match="holds no site"):
        build(course, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert MARKER == ".nojekyll"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", ""),
        ("https://gitlab.com/ada/llm", ""),
        (
            "https://github.com/ada/llm",
            "https://colab.research.google.com/github/ada/llm/blob/HEAD/notebooks/softmax.ipynb",
        ),
    ],
)
def test_colab_opens_what_is_on_github(address, expected):
    """Colab reads from GitHub alone."""
    assert colab(address, "softmax") == expected


def test_formulas():
    """A function's name and what follows it are set apart, and a fraction is a fraction."""
    assert "<mfrac>" in as_mathml(r"\frac{a}{b}", block=True)
    assert "<mspace" in as_mathml(r"\log p", block=False)
    assert "<mspace" not in as_mathml(r"\log(p)", block=False)


@pytest.fixture(scope="session")
def browser(site):
    """Chromium on the site, served from this machine."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("the browser tests need Debian's packages chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync"):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    handler = functools.partial(_Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield driver, f"http://127.0.0.1:{server.server_port}/"
    driver.quit()
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Says nothing."""


def _requests(driver):
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def test_every_page_in_a_browser(browser, pages, tmp_path):
    """No error in the console, no request that leaves, and no sideways scrolling at a phone's width."""
    driver, home = browser
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    for name in pages:
        driver.get(home + name)
        errors = [entry["message"] for entry in driver.get_log("browser") if "favicon" not in entry["message"]]
        assert errors == [], name
        assert [url for url in _requests(driver) if not url.startswith((home, "data:", "blob:"))] == [], name
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), name
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_search_finds_a_lesson(browser):
    """Without a server: the index lies beside the pages."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    driver, home = browser
    driver.get(f"{home}search.html?q=overflow")
    found = WebDriverWait(driver, 20).until(lambda d: d.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    assert any("softmax" in link.get_attribute("href") for link in found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(browser, axe, theme):
    """Readable for everyone: contrast, names, order and landmarks, in the light and in the dark."""
    driver, home = browser
    for name in ("index.html", "glossary.html", "site.html", *(f"lessons/{name}.html" for name in NAMES)):
        driver.get(home + name)
        driver.execute_script(f"document.body.dataset.theme = '{theme}'")
        driver.execute_script(axe)
        result = driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        found = [(v["id"], [node["html"][:200] for node in v["nodes"]][:3]) for v in result["violations"]]
        assert found == [], (name, found)
