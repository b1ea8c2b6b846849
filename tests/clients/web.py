"""Opens the page of `n2n-gpu export --web` in headless Chromium, and compares what it saves with `n2n-gpu denoise` on the same adapter.

    cargo build && python3 tests/clients/web.py target/debug/n2n-gpu [--venv DIR] [--screenshots DIR]

It needs Chromium with SwiftShader (Debian: chromium), and installs Playwright from PyPI into DIR, a virtual environment that is made where
there is none (/tmp/n2n-web); where these are not to be had, it says so and exits with 77. Where npx is, TypeScript checks the page's
modules. It prints a line for each check, and exits with 1 if one fails.
"""
import contextlib
import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading

# First, as it takes the Python that has the others.
from chromium import (
    BROWSER, FLAGS, check, failed, fits, folder, give, idle, n2n, opened, picture, press, reached_by_tab, rgb, root, saved, swiftshader,
    visited, wait,
)
import numpy as np
from PIL import ExifTags, Image, ImageCms
from playwright.sync_api import sync_playwright

from training import trains

# A network small enough for any machine; its narrowest strips side by side are 26 columns wide.
TINY = "--noise gaussian:25 --width 4 --levels 1 --batch 2 --crop 16 --device cpu"
CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
KEYS_OF_CONTROLS = ["to-denoise", "to-train", "open-more", "camera", "stage", "divider", "zoom-in", "model", "strength", "save-jpeg", "save-png"]


def compare_sizes(page):
    env, device = swiftshader()
    for width, height in [(1, 1), (37, 23), (121, 50), (1000, 9)]:
        path = picture(f"{width}x{height}.png", width, height)
        n2n(f"denoise {path.name} -o native.png --strength 1 --force --model run/best.safetensors {device}", env)
        give(page, path)
        worst = np.abs(rgb(saved(page)) - rgb(folder / "native.png")).max()
        check(f"{width}x{height} equals the native result ({device.split()[1]})", worst <= 1, f"{worst} grey levels")
    half = np.abs(rgb(saved(page, strength=50)) - (rgb(path) + rgb(folder / "native.png")) / 2).max()
    check("half the strength is half of the change", half <= 1, f"{half} grey levels")


def judges_noise(page):
    picture("noisy.png", 160, 120)
    native = n2n("denoise noisy.png -o native.png --force --model run/best.safetensors --device cpu")["files"][0]
    give(page, folder / "noisy.png")
    noise = float(re.search(r"[0-9.]+", page.inner_text("#judged"))[0])
    strength = int(page.input_value("#strength")) / 100
    good = abs(noise - native["noise"]) < 0.5 and abs(strength - native["strength"]) < 0.05
    check("noise and strength are judged as natively", good, f"{noise}, {strength}: {native['noise']:.2f}, {native['strength']:.2f}")


def keeps_metadata(page):
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Orientation] = "Camera", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    give(page, picture("turned.jpg", 40, 24, exif=exif, icc_profile=profile, quality=95))
    for kind in ["jpeg", "png"]:
        image = Image.open(saved(page, kind))
        found = image.getexif()
        facts = (image.size, found[ExifTags.Base.Make], found[ExifTags.Base.Orientation], image.info.get("icc_profile") == profile)
        check(f"a {kind} keeps camera and profile, and stands upright", facts == ((24, 40), "Camera", 1, True), facts)


def takes_the_lightest(browser):
    """On an adapter that computes on the processor, as long as nobody has chosen."""
    n2n("export photo --web two --also run/best.safetensors --also quick --size 16")
    page, _ = visited(browser, (folder / "two/index.html").as_uri())
    # Before the device is known.
    page.set_input_files("#files", str(folder / "train.png"))
    wait(page, lambda: idle(page), "a picture that is given at once is denoised")
    check("the device is told to be the processor", "processor" in page.inner_text("#device"), page.inner_text("#device"))
    chosen = page.evaluate("document.querySelector('#model').selectedIndex")
    check("there the model with the least work is the first to be taken", chosen == 2, chosen)
    page.close()


def choose_model(page, path):
    known = page.locator("#model option").count()
    page.set_input_files("#model-file", str(path))
    wait(page, lambda: page.locator("#model option").count() > known, f"{path} is taken")
    wait(page, lambda: idle(page), f"the picture is denoised with {path}")


def takes_models(page):
    give(page, folder / "37x23.png")
    before = rgb(saved(page))
    # The page has it in half precision.
    choose_model(page, folder / "run/best.safetensors")
    worst = np.abs(rgb(saved(page)) - before).max()
    check("a model file gives what the same model in the page does", worst <= 1 and page.input_value("#model") == "1", worst)
    choose_model(page, folder / "other/best.safetensors")
    check("a model of another network is refused", "another network" in page.inner_text("#alert-text"), page.inner_text("#alert-text"))
    page.select_option("#model", "0")
    wait(page, lambda: idle(page), "the picture is denoised with the first model")
    check("and the page goes on", (rgb(saved(page)) == before).all())
    # Graphics devices have plans of their own.
    page.workers[0].evaluate("state.software = false, state.ready = null")
    give(page, folder / "37x23.png")
    worst = np.abs(rgb(saved(page)) - before).max()
    check("the plan for graphics devices gives the same", worst <= 1, worst)
    page.workers[0].evaluate("state.software = true, state.ready = null")


def compiles_once(page):
    """The plans for all widths have the same kernels on an adapter that computes on the processor."""
    page.workers[0].evaluate("""(() => {
        const make = state.device.createComputePipelineAsync.bind(state.device);
        globalThis.made = 0;
        state.device.createComputePipelineAsync = (options) => (made++, make(options));
    })()""")
    for width in [30, 19]:
        give(page, picture(f"{width}.png", width, 12))
    made = page.workers[0].evaluate("made")
    check("pictures of other widths compile nothing", made == 0, made)


def survives(page):
    give(page, folder / "37x23.png")
    before = rgb(saved(page))
    page.set_input_files("#files", str(folder / "noisy.png"))
    give(page, folder / "37x23.png")
    check("a picture that takes over from another is itself", (rgb(saved(page)) == before).all())
    (folder / "text.png").write_text("no picture")
    give(page, folder / "text.png")
    check("what is no picture is said", "no picture" in page.inner_text("#alert-text"), page.inner_text("#alert-text"))
    give(page, folder / "37x23.png")
    check("and the next picture is denoised", page.is_enabled("#save-png"))
    page.workers[0].evaluate("state.device.destroy()")
    wait(page, lambda: page.is_visible("#alert"), "a lost device is said")
    check("a lost device is said", "lost" in page.inner_text("#alert-text"), page.inner_text("#alert-text"))
    page.click("#retry")
    wait(page, lambda: page.is_enabled("#save-png"), "the photograph is denoised on a new device")
    check("and the photograph is denoised again", not page.is_visible("#alert"))


def looks_through_a_camera(page):
    press(page, "camera")
    wait(page, lambda: page.inner_text("#size").startswith("320 ") and page.is_enabled("#save-png"), "a frame is denoised")
    check("a camera can be stopped", page.inner_text("#camera") == "Stop the camera", page.inner_text("#camera"))
    first = saved(page)
    check("a frame is saved", first.name == "camera-denoised.png", first.name)
    first = rgb(first)
    wait(page, lambda: page.is_enabled("#save-png") and (rgb(saved(page)) != first).any(), "another frame follows")
    press(page, "camera")
    wait(page, lambda: idle(page) and page.inner_text("#camera") == "Camera", "the camera stops")
    last = rgb(saved(page))
    check("and the last one stays", last.shape == first.shape and (rgb(saved(page)) == last).all())
    press(page, "camera")
    wait(page, lambda: page.inner_text("#camera") == "Stop the camera" and "a second" in page.inner_text("#size"), "frames come again")
    give(page, folder / "37x23.png")
    shown = page.inner_text("#name"), page.inner_text("#size").split(" pixels")[0], page.inner_text("#camera")
    check("a photograph takes over from the camera", shown == ("37x23.png", "37 × 23", "Camera"), shown)


def works_by_keyboard(page):
    reached_by_tab(page, KEYS_OF_CONTROLS)
    page.focus("#divider")
    page.keyboard.press("Home")
    check("arrows move the divider", page.get_attribute("#divider", "aria-valuenow") == "0")
    page.focus("#stage")
    page.keyboard.press("1")
    check("keys zoom", page.inner_text("#zoom") == "100 %", page.inner_text("#zoom"))
    page.keyboard.press("0")


def kernels_compile(browser):
    """WGSL as browsers have it is stricter than what natives take; cooperative matrices are no part of it."""
    def text(path):
        lines = path.read_text().rstrip().split("\n")
        resolve = lambda line: text(root / "shaders/lib" / f"{line[10:].strip()}.wgsl") if line.startswith("//#import ") else line
        return "\n".join(map(resolve, lines))

    kernels = {path.stem: text(path) for path in (root / "shaders").glob("*.wgsl") if not path.stem.endswith("coop")}
    page = browser.new_page()
    page.goto((folder / "site/index.html").as_uri())
    compile_all = """async (kernels) => {
        const device = await (await navigator.gpu.requestAdapter()).requestDevice();
        device.addEventListener('uncapturederror', (event) => event.preventDefault());
        const errors = [];
        for (const [name, code] of Object.entries(kernels)) {
            const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
            errors.push(...messages.filter(({ type }) => type === 'error').map(({ message, lineNum }) => `${name} ${lineNum}: ${message}`));
        }
        return errors;
    }"""
    errors = page.evaluate(compile_all, kernels)
    check(f"{len(kernels)} kernels compile in the browser", not errors and len(kernels) > 30, "; ".join(errors))
    page.close()


@contextlib.contextmanager
def served(directory):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def check_types():
    npx = shutil.which("npx")
    words = [npx, "-y", "-p", "typescript", "tsc", "-p", root / "web"]
    done = subprocess.run(words, capture_output=True, text=True) if npx else None
    if done and (done.returncode == 0 or "error TS" in done.stdout):
        check("TypeScript finds no mistake in the modules", done.returncode == 0, done.stdout[:500])
    else:
        print("left out, as npx is not there or finds no TypeScript: the check of the modules' types")


def main():
    check_types()
    picture("train.png", 40, 32)
    n2n(f"train train.png --out run --steps 60 {TINY}")
    n2n(f"train train.png --out other --steps 2 {TINY.replace('--width 4', '--width 8')}")
    n2n("export run/best.safetensors --web site --size 16")
    address = (folder / "site/index.html").as_uri()
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=BROWSER, args=[*FLAGS, *CAMERA]) as browser:
            kernels_compile(browser)
            takes_the_lightest(browser)
            page, seen = opened(browser, address)
            compare_sizes(page)
            judges_noise(page)
            keeps_metadata(page)
            works_by_keyboard(page)
            takes_models(page)
            compiles_once(page)
            fits(page, "denoise")
            trains(page)
            survives(page)
            looks_through_a_camera(page)
            outside = [url for url in seen["requests"] if not url.startswith(("file:", "blob:", "data:"))]
            check("nothing is asked for from outside", not outside, outside or "")
            check("the console is silent", not seen["errors"], seen["errors"] or "")
            with served(folder / "site") as url:
                page, seen = opened(browser, url)
                check("served by http it finds the device as well", "Computes on" in page.inner_text("#device"), page.inner_text("#device"))
        without = [*FLAGS[:2], "--disable-blink-features=WebGPU"]
        with playwright.chromium.launch(executable_path=BROWSER, args=without) as browser:
            page, seen = opened(browser, address)
            check("without WebGPU a sentence says so", "WebGPU" in page.inner_text("#alert-text"), page.inner_text("#alert-text"))
            press(page, "welcome-camera")
            wait(page, lambda: "camera" in page.inner_text("#alert-text"), "without a camera a sentence says so")
            check("the console is silent there, too", not seen["errors"], seen["errors"] or "")
    sys.exit(1 if failed else 0)


main()
