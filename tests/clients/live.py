"""Opens the page of `n2n-gpu train --live` in headless Chromium while it trains.

    cargo build && python3 tests/clients/live.py target/debug/n2n-gpu [--venv DIR] [--screenshots DIR]

It needs Chromium (Debian: chromium), and installs Playwright from PyPI into DIR, a virtual environment that is made where there is none
(/tmp/n2n-web); where these are not to be had, it says so and exits with 77. It prints a line for each check, and exits with 1 if one
fails.
"""
# First, as it goes on in the virtual environment that has the other packages.
from chromium import BROWSER, binary, check, failed, folder, screenshots, visited, wait

import re
import shutil
import signal
import subprocess
import sys

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

TRAINING = "--noise gaussian:25 --width 8 --levels 2 --batch 2 --crop 32 --minutes 1 --device cpu --out run --live=0"


def photo(path, width, height):
    """Waves and noise, with lines: something to see in a residual."""
    y, x, c = np.mgrid[:height, :width, :3]
    clean = 0.5 + 0.3 * np.sin(0.15 * y + (0.1 + 0.05 * c) * x) + 0.1 * ((x // 12 + y // 20) % 2)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray((clean.clip(0, 1) * 255).round().astype(np.uint8)).save(path)


def start():
    """A training, and where it says that it can be watched."""
    words = [binary, "train", "photos", "--val", "val", *TRAINING.split()]
    training = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in training.stderr:
        if found := re.search(r"watch it at (\S+)", line):
            return training, found[1]
    sys.exit(f"the training says not where to look: {words}")


def shots(page, name):
    if not screenshots:
        return
    screenshots.mkdir(parents=True, exist_ok=True)
    for width in [1280, 390]:
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=screenshots / f"{name}-{width}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})


def follows(browser, training, address):
    page, seen = visited(browser, address)
    wait(page, lambda: page.inner_text("#live").startswith("Step "), "the page tells the step")
    wait(page, lambda: page.locator(".strip img").count() >= 4, "held-out pictures are shown while it trains")
    check("pictures are shown before and after, with what was taken away", "taken away" in page.inner_text(".strip").lower())
    check("the page has curves", page.locator("svg.wide").count() >= 2, page.locator("svg.wide").count())
    # What is replaced would flicker.
    page.evaluate("window.first = document.querySelector('.strip img')")
    page.locator(".strip input").first.check(force=True)
    before = page.locator(".strip img").nth(1).get_attribute("src")
    curve = page.locator("svg.wide polyline").first.get_attribute("points")
    wait(page, lambda: page.locator(".strip img").nth(1).get_attribute("src") != before, "held-out pictures get cleaner on the page")
    wait(page, lambda: page.locator("svg.wide polyline").first.get_attribute("points") != curve, "curves grow on the page")
    kept = page.evaluate("window.first === document.querySelector('.strip img')")
    check("an enlarged picture stays enlarged", page.locator(".strip input").first.is_checked())
    check("pictures stay where they are, with what the new report has for them", kept)
    page.locator(".strip .close input").first.check(force=True)
    shots(page, "training")
    training.send_signal(signal.SIGINT)
    wait(page, lambda: "has ended" in page.inner_text("#live"), "the page tells the end")
    check("the training ends once the page has the last report", training.wait(timeout=30) == 130, training.returncode)
    text = page.inner_text("main")
    check("what was taken away is put into words", "Neighbouring pixels" in text and "Spectrum" in text)
    check("the first picture is shown as it was on the way", page.locator(".film img").count() >= 2, page.locator(".film img").count())
    shots(page, "ended")
    outside = [url for url in seen["requests"] if not url.startswith((address, "data:"))]
    check("nothing is asked for elsewhere", not outside, outside)
    check("the console has no complaint", not seen["errors"], seen["errors"])


def is_left(browser):
    """A program that is gone leaves the page as it was."""
    training, address = start()
    page, _ = visited(browser, address)
    wait(page, lambda: page.inner_text("#live").startswith("Step "), "another training is watched")
    training.kill()
    wait(page, lambda: "No answer" in page.inner_text("#live"), "the page says that the program is gone")


with sync_playwright() as playwright:
    photo(folder / "photos/a.png", 160, 120)
    photo(folder / "val/b.png", 128, 128)
    browser = playwright.chromium.launch(executable_path=BROWSER, args=["--headless=new", "--no-sandbox"])
    training, address = start()
    try:
        follows(browser, training, address)
        shutil.rmtree(folder / "run")
        is_left(browser)
    finally:
        training.kill()
sys.exit(1 if failed else 0)
