"""What tests of pages share: Chromium with its packages, the native program, and ways to use the page. Imported by web.py and live.py."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

PACKAGES = ["playwright", "pillow", "numpy"]
BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
FLAGS = ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-webgpu-adapter=swiftshader"]
# Seconds that a picture may take on a busy machine.
PATIENCE = 240


def option(name, default):
    return pathlib.Path(sys.argv[sys.argv.index(name) + 1]).absolute() if name in sys.argv else default


def leave_out(reason):
    """Ends as automake's tests do where what they need is not there."""
    print(f"left out, a page in a browser: {reason}")
    sys.exit(77)


def enter_venv():
    """Runs this script by the Python of the virtual environment, with the packages in it."""
    venv = option("--venv", pathlib.Path("/tmp/n2n-web"))
    python = venv / "bin" / "python"
    if pathlib.Path(sys.prefix) == venv:
        return
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    except subprocess.CalledProcessError:
        leave_out(f"its packages ({', '.join(PACKAGES)}) cannot be installed into {venv}")
    os.execv(python, [str(python), *sys.argv])


if not BROWSER:
    leave_out("there is no Chromium: install it (Debian: apt-get install chromium)")
enter_venv()

import numpy as np
from PIL import Image

binary = os.path.abspath(sys.argv[1])
root = pathlib.Path(__file__).resolve().parents[2]
screenshots = option("--screenshots", None)
scratch = tempfile.TemporaryDirectory()
folder = pathlib.Path(scratch.name)
failed = []


def check(what, good, found=""):
    if not good:
        failed.append(what)
    print(f"{'ok  ' if good else 'FAIL'} {what}{f': {found}' if found != '' else ''}", flush=True)


def n2n(line, env=None):
    """Runs `n2n-gpu`, and returns its JSON object."""
    words = [binary, *line.split(), "--json", "--quiet"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        sys.exit(f"n2n-gpu {line}\n{done.stderr}")
    return json.loads(done.stdout)


def swiftshader():
    """The browser's adapter for the native program, if there is one: variables and arguments."""
    for icd in pathlib.Path(os.path.realpath(BROWSER)).parent.parent.glob("**/vk_swiftshader_icd.json"):
        env = {"VK_ICD_FILENAMES": str(icd)}
        if any("SwiftShader" in str(device) for device in n2n("devices", env)["devices"]):
            return env, "--device SwiftShader"
    return {}, "--device cpu"


def picture(name, width, height, **how):
    """Waves and noise, and a little transparency if asked for."""
    y, x, c = np.mgrid[:height, :width, :3]
    clean = 0.5 + 0.4 * np.sin(0.15 * y + (0.1 + 0.05 * c) * x)
    noisy = clean + np.random.default_rng(1).normal(0, 0.1, clean.shape)
    Image.fromarray((noisy.clip(0, 1) * 255).round().astype(np.uint8)).save(folder / name, **how)
    return folder / name


def wait(page, good, what):
    """Waits until something holds of the page: by asking, as its policy forbids what Playwright's own waiting does."""
    end = time.monotonic() + PATIENCE
    while not good():
        if time.monotonic() > end:
            check(what, False, f"not within {PATIENCE} s; the page says {page.inner_text('body')!r}")
            raise TimeoutError(what)
        time.sleep(0.05)


def visited(browser, address):
    """A page, and what it asks for and complains of."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE * 1000)
    seen = {"requests": [], "errors": []}
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.on("console", lambda message: message.type in ("error", "warning") and seen["errors"].append(message.text))
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.goto(address)
    return page, seen


def opened(browser, address):
    """The page of `export --web` once it is ready, and the same."""
    page, seen = visited(browser, address)
    wait(page, lambda: not page.inner_text("#device").startswith("Looking"), "the page finds a device or says that there is none")
    return page, seen


def idle(page):
    return page.is_visible("#alert") or (page.is_enabled("#save-png") and page.inner_text("#status").startswith("Done"))


def give(page, path):
    page.set_input_files("#files", str(path))
    wait(page, lambda: idle(page), f"{path.name} is denoised")


def saved(page, kind="png", strength=100):
    page.fill("#strength", str(strength))
    with page.expect_download() as download:
        page.click(f"#save-{kind}")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def rgb(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def press(page, button):
    page.focus(f"#{button}")
    page.keyboard.press("Enter")


def reached_by_tab(page, controls):
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    missing = [name for name in controls if name not in reached]
    check(f"every control is reached by Tab, {controls[-1]} the last", not missing, missing or "")


def fits(page, name):
    """From phones to desktops, dark and light."""
    for width, height in [(360, 740), (768, 1024), (1280, 800)]:
        page.set_viewport_size({"width": width, "height": height})
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        check(f"{name}: nothing is wider than a screen of {width} pixels", overflow <= 0, overflow)
        for scheme in ["light", "dark"] if screenshots else []:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=screenshots / f"{name}-{width}-{scheme}.png", full_page=True)
