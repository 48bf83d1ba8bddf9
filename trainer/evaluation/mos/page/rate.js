// The page of one trial: images at one image pixel to one device pixel, keys, and how it was seen.
"use strict";

const form = document.getElementById("vote");
const images = [...document.querySelectorAll(".images img")];
const narrow = document.querySelector(".narrow");
let shownAt = 0;

/** Size the images to device pixels, and say where the window is too small for one. */
function fit() {
  for (const image of images) {
    image.style.width = `${image.naturalWidth / devicePixelRatio}px`;
    image.style.height = `${image.naturalHeight / devicePixelRatio}px`;
  }
  const widest = Math.max(...images.map((image) => image.naturalWidth / devicePixelRatio));
  const tallest = Math.max(...images.map((image) => image.naturalHeight / devicePixelRatio));
  narrow.hidden = widest <= document.documentElement.clientWidth && tallest <= innerHeight;
}

/** Allow the vote, once all images are there. No choice has the focus, so that none is suggested. */
function begin() {
  fit();
  shownAt = performance.now();
  form.querySelector("fieldset").disabled = false;
}

/** Choose a score by its key, and go on by Enter. */
function choose(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || shownAt === 0) return;
  const choice = form.querySelector(`input[data-key="${CSS.escape(event.key)}"]`);
  if (choice) {
    choice.checked = true;
    choice.focus({ preventScroll: true });
    event.preventDefault();
  } else if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    form.requestSubmit();
  }
}

/** Add how the trial was seen; a second press sends nothing. */
function send(event) {
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  form.elements.dpr.value = devicePixelRatio.toFixed(4);
  form.elements.width.value = innerWidth;
  form.elements.height.value = innerHeight;
  form.elements.shown_ms.value = Math.min(86_400_000, Math.round(performance.now() - shownAt));
}

/** Tell that an image is missing; the choices stay away, so that no vote counts for less. */
function fail() {
  document.querySelector(".broken").hidden = false;
}

Promise.all(images.map((image) => image.decode())).then(begin, fail);
addEventListener("resize", fit);
addEventListener("keydown", choose);
form.addEventListener("submit", send);
// A page that the browser kept for "back" is asked for again: the server knows the next trial.
addEventListener("pageshow", (event) => event.persisted && location.reload());
