"""Training in the page of `n2n-gpu export --web`: against native trainings, over a reload, by keyboard. Called by web.py."""
import json
import re

from chromium import check, fits, folder, give, n2n, press, reached_by_tab, rgb, saved, swiftshader, wait
import numpy as np

# As the page trains: fresh parameters, an end that is not known.
AS_THE_PAGE = "--noise gaussian:25 --width 4 --levels 1 --batch 4 --crop 16 --schedule constant --warm-up 50 --seed 1 --device cpu"
KEYS_OF_TRAINING = ["source", "noise", "start", "train"]

COUNT_BUFFERS = """(() => {
    const [device, made] = [state.device, state.device.createBuffer.bind(state.device)];
    globalThis.live = 0;
    device.createBuffer = (options) => {
        const buffer = made(options);
        const destroy = buffer.destroy.bind(buffer);
        live++;
        buffer.destroy = () => (live--, destroy());
        return buffer;
    };
})()"""


def native_losses(count):
    """Of every step, from the means of trainings of one step, of two, and so on."""
    sums = [0]
    for steps in range(1, count + 1):
        n2n(f"train train.png --out native --overwrite --steps {steps} {AS_THE_PAGE}")
        record = json.loads((folder / "native/metrics.jsonl").read_text().splitlines()[-1])
        sums.append(steps * record["loss"])
    return np.diff(sums)


def steps_made(page):
    return int((re.search(r"Step ([0-9]+)", page.inner_text("#pace")) or [0, 0])[1])


def train_to(page, steps):
    """Starts or goes on by keyboard, and stops once so many steps are made."""
    press(page, "train")
    wait(page, lambda: page.inner_text("#train") == "Stop" or page.is_visible("#alert"), "the training starts")
    wait(page, lambda: steps_made(page) >= steps or page.is_visible("#alert"), f"step {steps} is made")
    press(page, "train")
    wait(page, lambda: page.inner_text("#train") == "Go on", "the training stops")
    return steps_made(page)


def trains(page):
    page.click("#to-train")
    reached_by_tab(page, KEYS_OF_TRAINING)
    page.set_input_files("#files", str(folder / "train.png"))
    steps = train_to(page, 10)
    rows = page.workers[0].evaluate("state.training.player.read(state.training.step.log).then((rows) => Array.from(rows))")
    losses = native_losses(10)
    worst = np.abs(np.array(rows[:40:4]) / losses - 1).max()
    check("ten losses equal the native ones", worst < 1e-4, f"{worst:.1e}")
    check("held-out squares are judged", "dB" in page.inner_text("#psnr"), page.inner_text("#psnr"))
    fits(page, "train")
    page.reload()
    wait(page, lambda: "Computes on" in page.inner_text("#device"), "the page is ready again")
    page.click("#to-train")
    wait(page, lambda: f" {steps} steps" in page.inner_text("#training-status"), "a training is kept over a reload")
    page.workers[0].evaluate(COUNT_BUFFERS)
    steps = train_to(page, steps + 1)
    live = page.workers[0].evaluate("live")
    train_to(page, steps + 100)
    more = page.workers[0].evaluate("live") - live
    check("a hundred steps take no memory", more <= 0, f"{more} buffers more than {live}")
    with page.expect_download() as download:
        press(page, "download")
    download.value.save_as(folder / "trained.safetensors")
    press(page, "use")
    # The page turns to photographs once the worker has given the model.
    wait(page, lambda: page.get_attribute("#to-denoise", "aria-pressed") == "true", "the page turns to photographs")
    give(page, folder / "noisy.png")
    env, device = swiftshader()
    n2n(f"denoise noisy.png -o native.png --strength 1 --force --model trained.safetensors {device}", env)
    worst = np.abs(rgb(saved(page)) - rgb(folder / "native.png")).max()
    check("the downloaded model gives natively what it does on the page", worst <= 1, f"{worst} grey levels")
    page.click("#to-train")
    press(page, "discard")
    check("a training can be discarded", page.inner_text("#train") == "Start", page.inner_text("#train"))
    # Graphics devices have plans of their own.
    page.workers[0].evaluate("state.software = false")
    page.set_input_files("#files", str(folder / "train.png"))
    train_to(page, 2)
    rows = page.workers[0].evaluate("state.training.player.read(state.training.step.log).then((rows) => Array.from(rows))")
    worst = np.abs(np.array(rows[:8:4]) / losses[:2] - 1).max()
    check("so do the first two by the plan for graphics devices", worst < 1e-4, f"{worst:.1e}")
    press(page, "discard")
    page.workers[0].evaluate("state.software = true")
    page.click("#to-denoise")
