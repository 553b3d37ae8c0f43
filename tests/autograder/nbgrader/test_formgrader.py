"""The formgrader in a browser: the gradebook, and a submission with its scores and explanations."""

import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="the browser tests need selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ASSIGNMENT = "week1"
SCREENSHOTS = Path(__file__).resolve().parents[3] / "build" / "screenshots"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="the browser tests need Debian's packages chromium and chromium-driver"
)


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1600"):
        options.add_argument(argument)
    # Without a network, what a page asks of one (its formulas' fonts) would keep it loading.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def server(classroom) -> Iterator[str]:
    """A Jupyter server in the course folder; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"--port={port}",
        "--ip=127.0.0.1",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={classroom.folder}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", *options],
        cwd=classroom.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "the Jupyter server has ended"
            time.sleep(0.5)
    yield address
    process.terminate()
    process.wait()


def test_formgrader_shows_scores_and_explanations(classroom, server, browser):
    """The gradebook lists the student; the submission's page has points and the explanation under each test cell."""
    wrong = "def softmax(scores, axis=-1):\n    return np.exp(scores)\n"
    classroom.hand_in("zoë", classroom.right({"softmax-solution-softmax": wrong}))
    classroom.run("autograde", ASSIGNMENT)
    with sqlite3.connect(classroom.folder / "gradebook.db") as book:
        (submission,) = book.execute(
            "select s.id from submitted_notebook s join notebook n on s.notebook_id = n.id where n.name = '01-softmax'"
        ).fetchone()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    browser.get(f"{server}/formgrader/gradebook/{ASSIGNMENT}/01-softmax")
    WebDriverWait(browser, 60).until(lambda page: "/ 10" in page.find_element(By.TAG_NAME, "body").text)
    browser.save_screenshot(str(SCREENSHOTS / "formgrader-gradebook.png"))

    browser.get(f"{server}/formgrader/submissions/{submission}")
    body = WebDriverWait(browser, 60).until(lambda page: page.find_element(By.CLASS_NAME, "autograder"))
    tables = browser.find_elements(By.CLASS_NAME, "autograder")
    browser.execute_script("arguments[0].scrollIntoView()", body)
    browser.save_screenshot(str(SCREENSHOTS / "formgrader-submission.png"))
    told = [table.text for table in tables]
    assert told[0].startswith("softmax: ")
    assert "of 4 points" in told[0]
    assert "of 6 points" in told[1]
    assert "✗" in told[0]
    scores = [
        field.get_attribute("value") or field.get_attribute("placeholder")
        for field in browser.find_elements(By.CSS_SELECTOR, "input.score")
    ]
    assert len(scores) == 2
    assert all(float(score) < 10 for score in scores)


def test_a_text_cell_gives_itself_no_points(classroom, server, browser):
    """A script in a student's cell, which would set the points of its own page, runs without the filter alone."""
    script = "<img src=x onerror=\"document.title = 'mine'\"><script>document.title = 'mine'</script>"
    notebook = classroom.right()
    for kind in ("markdown", "raw"):
        notebook["01-softmax.ipynb"]["cells"].append({"cell_type": kind, "id": kind, "metadata": {}, "source": script})
    classroom.hand_in("eve", notebook)
    classroom.run("autograde", ASSIGNMENT)
    with sqlite3.connect(classroom.folder / "gradebook.db") as book:
        (submission,) = book.execute(
            "select s.id from submitted_notebook s join notebook n on s.notebook_id = n.id where n.name = '01-softmax'"
        ).fetchone()
    browser.get(f"{server}/formgrader/submissions/{submission}")
    WebDriverWait(browser, 60).until(lambda page: page.find_element(By.CLASS_NAME, "autograder"))
    assert browser.title != "mine"
    assert "<script>document.title" in browser.find_element(By.TAG_NAME, "body").text  # shown, and not run

    config = classroom.folder / "nbgrader_config.py"
    config.write_text(f"{config.read_text()}\nc.HTMLExporter.filters = {{}}\n")
    classroom.run("generate_feedback", ASSIGNMENT)
    (page,) = (classroom.folder / "feedback").rglob("01-softmax.html")
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda page: page.title == "mine")
    config.write_text(config.read_text().rpartition("\nc.HTMLExporter.filters")[0])
    classroom.run("generate_feedback", ASSIGNMENT, "--force")
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda page: page.find_element(By.CLASS_NAME, "autograder"))
    assert browser.title != "mine"
