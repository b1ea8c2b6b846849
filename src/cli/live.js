"use strict";
// Keeps the page up with a training: asks every second how far it is, and for the report whenever that has changed. What is the same in
// both reports stays as it is, so that nothing flickers and a picture that is enlarged stays so.

const EVERY = 1000;
const AFTER_SILENCE = 3000;
const PARTS = ["style", "header", "main", "footer"];
const bar = document.querySelector("#live progress");
const line = document.querySelector("#live span");
let shown = "";

function become(old, now) {
  if (old.nodeName !== now.nodeName) {
    old.replaceWith(document.importNode(now, true));
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
  } else {
    for (const name of old.getAttributeNames()) if (!now.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const [before, after] = [[...old.childNodes], [...now.childNodes]];
    before.slice(after.length).forEach((child) => child.remove());
    before.slice(0, after.length).forEach((child, i) => become(child, after[i]));
    old.append(...after.slice(before.length).map((child) => document.importNode(child, true)));
  }
}

async function take(report) {
  const answer = await fetch("report.html");
  if (!answer.ok) return;
  const now = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = now.title;
  for (const part of PARTS) become(document.querySelector(part), now.querySelector(part));
  shown = report;
}

function say(now) {
  bar.value = now.share;
  if (now.step === null) return;
  const psnr = now.psnr === null ? "" : `, ${now.estimated ? "estimated PSNR" : "PSNR"} ${now.psnr.toFixed(2)} dB`;
  const waiting = now.waiting === null ? "" : `, ${now.waiting}`;
  line.textContent = now.ended
    ? `Training has ended after step ${now.step.toLocaleString("en")}.`
    : `Step ${now.step.toLocaleString("en")}, ${now.pictures_per_second.toFixed(0)} pictures/s${psnr}, ${now.left} left${waiting}`;
}

async function look() {
  try {
    const now = await (await fetch(`progress.json?shown=${shown}`)).json();
    if (now.report !== shown) await take(now.report);
    say(now);
    if (now.ended && now.report === shown) {
      // Tells that the last report has come; the program may be gone before it answers.
      fetch(`progress.json?shown=${shown}`).catch(() => {});
      return;
    }
    setTimeout(look, EVERY);
  } catch {
    line.textContent = "No answer: the training has ended or was stopped. This page stays as it is.";
    setTimeout(look, AFTER_SILENCE);
  }
}

look();
