"""Times the first picture of a page of `n2n-gpu export --web` after a cold load, in a browser that has not seen it before.

    python3 tests/clients/first_picture.py target/release/n2n-gpu [--page docs/demo/index.html] [--side 256] [--venv DIR]

What it needs is what web.py does. A run starts Chromium on SwiftShader with an empty profile, loads the page, and gives it a picture of that
side at once: it prints seconds from the start of the load to the picture on the page, and the model that made it. Not part of the plain run.
"""
import pathlib
import statistics
import time

from chromium import BROWSER, FLAGS, idle, option, picture, root, visited, wait
from playwright.sync_api import sync_playwright


RUNS = 3


def main():
    side = int(pathlib.Path(option("--side", "256")).name)
    address = pathlib.Path(option("--page", root / "docs/demo/index.html")).as_uri()
    path = picture("first.png", side, side)
    taken = []
    with sync_playwright() as playwright:
        for _ in range(RUNS):
            with playwright.chromium.launch(executable_path=BROWSER, args=FLAGS) as browser:
                begun = time.monotonic()
                page, _ = visited(browser, address)
                page.set_input_files("#files", str(path))
                wait(page, lambda: idle(page), "the picture is denoised")
                taken.append(time.monotonic() - begun)
                model = page.evaluate("document.querySelector('#model').selectedOptions[0].textContent")
                print(f"{taken[-1]:.1f} s by {model!r}: {page.inner_text('#status')}", flush=True)
    print(f"median {statistics.median(taken):.1f} s")


main()
