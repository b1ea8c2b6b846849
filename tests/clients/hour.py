"""Trains in the page of `n2n-gpu export --web` for an hour, and looks whether the memory of the browser stays as it is.

    python3 tests/clients/hour.py target/debug/n2n-gpu [--minutes 60] [--page docs/demo/index.html] [--venv DIR]

What it needs is what web.py does. It prints a line a minute: steps, their time, memory of all processes of the browser (proportional set size, so that what they
share counts once), and the device's buffers; and exits with 1 if memory grows by more than a tenth after the first sixth of the time, if a buffer is left over, or if the
console says anything. Not part of the plain run.
"""
import pathlib
import re
import sys
import time

from chromium import BROWSER, FLAGS, check, failed, opened, option, press, root, wait
from playwright.sync_api import sync_playwright
from training import COUNT_BUFFERS, steps_made


def of_process(number):
    return pathlib.Path("/proc") / str(number)


def children(number):
    found = [number]
    for task in of_process(number).glob("task/*/children"):
        for child in task.read_text().split():
            found += children(int(child))
    return found


def memory():
    """MiB of all processes that this one has started."""
    total = 0
    for number in children("self")[1:]:
        try:
            total += int(re.search(r"Pss:\s+([0-9]+)", (of_process(number) / "smaps_rollup").read_text())[1])
        except (OSError, TypeError):
            pass
    return total / 1024


def main():
    minutes = float(str(option("--minutes", 60)).split("/")[-1])
    address = pathlib.Path(option("--page", root / "docs/demo/index.html")).as_uri()
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=BROWSER, args=FLAGS) as browser:
        page, seen = opened(browser, address)
        page.click("#to-train")
        press(page, "train")
        wait(page, lambda: steps_made(page) > 0, "the first step is made")
        page.workers[0].evaluate(COUNT_BUFFERS)
        begun, told, first = time.monotonic(), [], steps_made(page)
        while time.monotonic() - begun < 60 * minutes:
            time.sleep(min(60, 6 * minutes))
            told.append((memory(), page.workers[0].evaluate("live")))
            passed = (time.monotonic() - begun) / 60
            steps, psnr = steps_made(page), page.inner_text("#psnr")
            pace = f"{60e3 * passed / max(steps - first, 1):.0f} ms a step"
            print(f"{passed:5.1f} min, step {steps}, {pace}, {told[-1][0]:.0f} MiB, {told[-1][1]} buffers more, {psnr}", flush=True)
        settled = [mib for mib, _ in told[len(told) // 6:]]
        check("memory is flat", settled[-1] < 1.1 * settled[0], f"{settled[0]:.0f} to {settled[-1]:.0f} MiB")
        check("no buffer is left over", told[-1][1] <= told[0][1] + 1, told[-1][1])
        press(page, "train")
        wait(page, lambda: page.inner_text("#train") == "Go on", "the training stops")
        check("the console is silent", not seen["errors"], seen["errors"] or "")
    sys.exit(1 if failed else 0)


main()
