"""`make notebook` in a browser: a script opens as a notebook, `%check` draws what differs, saving changes nothing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from course_copy import copy_course

pytest.importorskip("selenium", reason="the browser tests need selenium")
from selenium import webdriver
from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
WRONG = ("return exponentials /", "return 2 * exponentials /")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="the browser tests need Debian's packages chromium and chromium-driver"
)


@pytest.fixture
def browser():
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1600"):
        options.add_argument(argument)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def lab(tmp_path, solution):
    """The command at work in a course with a wrong softmax; its address, the script and its text."""
    course = copy_course(tmp_path / "course", ["softmax"])
    text = solution("softmax").replace(*WRONG)
    assert text != solution("softmax")
    course.stub("softmax").write_text(text, encoding="utf-8")
    settings = {"ServerApp": {"ip": "127.0.0.1"}, "IdentityProvider": {"token": ""}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "autograder", "notebook", "softmax", "--no-browser", "--port", str(port)],
        cwd=course.root, env={**os.environ, "JUPYTER_CONFIG_PATH": str(tmp_path)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "the Jupyter server has ended"
            time.sleep(0.5)
    yield address, course.stub("softmax"), text
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def test_a_script_opens_as_a_notebook_and_checks_itself(lab, browser):
    """Cells run, `%check` needs no name and no extension to be loaded, and the table has a drawing."""
    address, script, text = lab
    browser.get(f"{address}/")
    redrawn = [StaleElementReferenceException, ElementNotInteractableException]
    patient = WebDriverWait(browser, 120, ignored_exceptions=redrawn)
    patient.until(lambda page: "Idle" in page.find_element(By.TAG_NAME, "body").text)  # the kernel is there
    patient.until(lambda page: page.find_element(By.CSS_SELECTOR, ".jp-CodeCell .cm-content").click() is None)
    for _ in range(5):  # imports, a text, softmax, a text, log_softmax
        _run_cell(browser)
    before = script.stat().st_mtime_ns
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
    patient.until(lambda _: script.stat().st_mtime_ns != before)
    assert script.read_text(encoding="utf-8") == text
    ActionChains(browser).send_keys(Keys.ESCAPE).send_keys("b").pause(0.5).send_keys(Keys.ENTER).perform()
    ActionChains(browser).pause(0.5).send_keys("%check").perform()
    _run_cell(browser)
    table = patient.until(lambda page: page.find_element(By.CSS_SELECTOR, "div.autograder"))
    assert table.text.startswith("softmax: ")
    assert "Every number is 2 times what it should be." in table.text
    drawings = table.find_elements(By.CSS_SELECTOR, "svg rect")
    assert drawings
    assert "instead of" in drawings[0].find_element(By.CSS_SELECTOR, "title").get_attribute("textContent")
    browser.execute_script("arguments[0].scrollIntoView()", table)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SCREENSHOTS / "notebook.png"))
    assert not list(script.parent.glob("*.ipynb"))


def _run_cell(browser):
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).pause(0.3).perform()
