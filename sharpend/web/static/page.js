// Sliders and live parts of the pages. Everything works without this file but the sliders, and the
// pages then show the state of the moment when they were loaded.
"use strict";

// A slider shows the image before up to its place.
function slide(input) {
  input.closest(".frame").style.setProperty("--share", `${input.value}%`);
}

document.addEventListener("input", (event) => {
  if (event.target.matches("input.slider")) slide(event.target);
});

// Live parts: the page is loaded again, and parts with `data-live` that differ are taken over.
const LEAST_MS = 2000;
const shown = new Map();
let last = 0;
let waits = false;

function isUsed() {
  return document.hidden || document.querySelector("input.slider:active, button:active");
}

async function refresh() {
  if (waits) return;
  waits = true;
  await new Promise((done) => setTimeout(done, Math.max(0, last + LEAST_MS - Date.now())));
  waits = false;
  if (isUsed()) return;
  last = Date.now();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer || !answer.ok) return;
  if (answer.redirected) return location.reload();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    const before = shown.get(part.id) ?? part.outerHTML;
    if (other && other.outerHTML !== before) takeOver(part, other);
  }
}

// Children with the same id and mark stay as they are, with their sliders.
function takeOver(part, other) {
  shown.set(part.id, other.outerHTML);
  const focused = document.activeElement;
  const kept = new Map([...part.children].filter((one) => one.id).map((one) => [one.id, one]));
  const children = [...other.childNodes].map((one) => {
    const own = one.id ? kept.get(one.id) : null;
    return own && own.dataset.mark === one.dataset.mark ? own : document.importNode(one, true);
  });
  part.className = other.className;
  part.replaceChildren(...children);
  if (part.contains(focused)) focused.focus({ preventScroll: true });
}

function connect() {
  const told = document.getElementById("connection");
  const events = new EventSource("/events");
  let wasLost = false;
  events.addEventListener("open", () => {
    told.textContent = "live";
    if (wasLost) refresh();
    wasLost = false;
  });
  events.addEventListener("changed", refresh);
  events.addEventListener("error", () => {
    told.textContent = "not connected; trying again";
    wasLost = true;
    if (events.readyState !== EventSource.CLOSED) return; // it tries again by itself
    setTimeout(connect, 5000);
    refresh(); // leads to the form for a token where one is needed
  });
  window.addEventListener("pagehide", () => events.close());
}

if (document.querySelector("[data-live]")) {
  document.addEventListener("visibilitychange", refresh);
  document.addEventListener("change", refresh); // a slider was released
  connect();
}
