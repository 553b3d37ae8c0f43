"""The course as pages: built for real, read in a real browser, and searched for what must not be in it.

`SITE_WHOLE=1` takes the whole course, `SITE_SCREENSHOTS=DIR` keeps what it looked like; CI does both.
"""

import base64
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from course_copy import copy_course
from secret_lines import secrets

from autograder.authoring.release import release
from autograder.course import CourseError, load_course
from autograder.loop.lessons import open_lesson
from autograder.site.build import MARKER, build
from autograder.site.lessons import colab
from autograder.site.mathml import as_mathml

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
NAMES = ("softmax", "attention", "positional_encoding")  # pictures that need no PyTorch


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A course of a few exercises, and the docs of the whole."""
    if os.environ.get("SITE_WHOLE"):
        return load_course(ROOT)
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


@pytest.fixture(scope="session")
def released(course, tmp_path_factory):
    """A release of the course with its pages; without fingerprints, which are tested elsewhere."""
    folder = tmp_path_factory.mktemp("released") / "students"

    def pages(course, address, folder):
        build(course, folder, address=address, processes=2, for_students=True, level="open")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autograder.authoring.release._fingerprints", lambda course, processes, said: {})
        release(course, folder, 1, url="https://github.com/Ada/llm.git", level="open", pages=pages)
    return folder


def test_a_release_has_the_lessons(released):
    """At the release's own level, what is for students alone, and a workflow that publishes it from one repository."""
    text = (released / "pages" / "lessons" / "softmax.html").read_text(encoding="utf-8")
    assert "# FINISH ME: the whole function" in re.sub(r"<[^>]*>", "", text)
    assert "https://colab.research.google.com/github/Ada/llm/blob/HEAD/notebooks/softmax.ipynb" in text
    assert {path.name for path in (released / "pages").glob("*.html")} == {
        "index.html", "glossary.html", "inside.html", "projects.html", "search.html"
    }  # fmt: skip
    workflow = (released / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8")
    assert "github.repository == 'Ada/llm'" in workflow
    assert "https://ada.github.io/llm/ has the same" in (released / "README.md").read_text(encoding="utf-8")
    found, said = open_lesson(load_course(released), "softmax")
    assert found
    assert "softmax.html" in said


def test_no_secret_is_in_a_release_with_pages(course, released):
    """The same search over the pages that students get, with less that is public."""
    public = [path.read_text(encoding="utf-8") for path in (released / "tests").rglob("*.py")]
    public += [path.read_text(encoding="utf-8") for path in (released / "docs").glob("*.md")]
    hidden = [line for line in secrets(course) if not any(line in text for text in public)]
    assert len(hidden) > 150
    for path in (released / "pages").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for line in hidden:
                assert line.encode() not in data, (path, line)


def test_the_workflows_that_publish_and_check(released):
    """GitHub's own schema accepts them, and the project's own, which keep what pages look like."""
    check = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    workflows = [path for root in (released, ROOT) for path in (root / ".github" / "workflows").iterdir()]
    done = subprocess.run([*check, *workflows], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_pictures_carry_no_metadata(site):
    """Neither a program's name nor a time: only what a PNG cannot do without."""
    pictures = list((site / "_images").glob("*.png"))
    assert len(pictures) >= len(NAMES)
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


def test_the_font_has_what_browsers_draw_unasked(site):
    """The root's sign stands in no page's text, nor do the italics that a single letter becomes."""
    from fontTools.ttLib import TTFont

    assert "<msqrt>" in (site / "lessons" / "attention.html").read_text(encoding="utf-8")
    drawn = TTFont(site / "_static" / "STIXTwoMath.woff").getBestCmap()
    assert {0x221A, 0x1D465, 0x210E, 0x1D70B} <= drawn.keys()  # √, and x, h and π in italics


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


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Where screenshots go."""
    kept = os.environ.get("SITE_SCREENSHOTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


SEEN = ("index.html", "lessons/softmax.html", "lessons/llama_block.html", "lessons/dpo_loss.html", "glossary.html")


def test_what_it_looks_like(browser, site, shots):
    """A picture each of some pages on a desk and on a phone, by day and by night, for people to look at."""
    driver, home = browser
    for name in (name for name in SEEN if (site / name).is_file()):
        for where, width, height, theme in (("desk", 1280, 900, "light"), ("night", 1280, 900, "dark"),
                                            ("phone", 360, 740, "light")):  # fmt: skip
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": where == "phone"}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get(home + name)
            driver.execute_script(f"document.body.dataset.theme = '{theme}'")
            picture = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": False})["data"]
            file = shots / f"{Path(name).stem}-{where}.png"
            file.write_bytes(base64.b64decode(picture))
            assert file.stat().st_size > 10_000, file  # an empty page is smaller
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# What a reader of paper cannot use, and what would be cut off at the paper's edge.
USELESS = ".sidebar-drawer, .toc-drawer, .mobile-header, .content-icon-container, .related-pages, .back-to-top"
ON_PAPER = f"""
const shown = element => element.offsetParent !== null && element.getBoundingClientRect().width > 0;
const seen = [...document.querySelectorAll({USELESS!r})].filter(shown).map(element => element.className);
const cut = [...document.querySelectorAll("pre, .formula, figure, table, .map-frame")]
    .filter(element => shown(element) && element.scrollWidth > element.clientWidth + 1)
    .map(element => element.outerHTML.slice(0, 80));
return [seen, cut];
"""


def test_on_paper(browser, pages, shots):
    """Printed on A4, a page has its text in full, dark on white, and nothing to click."""
    driver, home = browser
    # A4 within its margins
    paper = {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    for name in pages:
        driver.get(home + name)
        driver.execute_script("document.body.dataset.theme = 'dark'")
        seen, cut = driver.execute_script(ON_PAPER)
        assert seen == [], name
        assert cut == [], name
        color = driver.execute_script("return getComputedStyle(document.querySelector('article')).color")
        assert sum(map(int, re.findall(r"\d+", color)[:3])) < 250, (name, color)
        if name in SEEN:
            pdf = driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
            (shots / f"{Path(name).stem}.pdf").write_bytes(base64.b64decode(pdf))
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
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
def test_axe_finds_nothing(browser, axe, theme, course):
    """Readable for everyone: contrast, names, order and landmarks, in the light and in the dark."""
    driver, home = browser
    for name in ("index.html", "glossary.html", "site.html", *(f"lessons/{name}.html" for name in course.names)):
        driver.get(home + name)
        driver.execute_script(f"document.body.dataset.theme = '{theme}'")
        driver.execute_script(axe)
        result = driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        found = [(v["id"], [node["html"][:200] for node in v["nodes"]][:3]) for v in result["violations"]]
        assert found == [], (name, found)
