// Refresh and keys. Every page works without this file.
"use strict";

const REFRESH_MILLISECONDS = 10000;
// Where something is under way (data-soon).
const SOON_MILLISECONDS = 1000;
const byId = (id) => document.getElementById(id);

// Refresh: parts marked data-live are replaced by what the same address shows now. What is selected and what has the
// focus stays; a part in which somebody types is left alone.

let busy = false;

async function refresh() {
  if (busy || document.hidden || !document.querySelector("[data-live]")) return;
  busy = true;
  try {
    await update();
  } catch {
    // The service does not answer: the next round asks again.
  } finally {
    busy = false;
  }
}

async function update() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  // Refused now: a certificate that was revoked a moment ago shows nothing more.
  if (answer.status === 401 || answer.status === 403) return location.reload();
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const before = document.querySelectorAll("#rows tr").length;
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (next && !next.isEqualNode(pristine(old))) replace(old, next);
  }
  const more = document.querySelectorAll("#rows tr").length - before;
  if (more > 0) byId("announce").textContent = `+${more}`;
  // A request that is decided meanwhile has no form any more.
  const form = document.querySelector(".decide #approve, .decide #reason");
  if (form && byId("state") && !fresh.querySelector(".decide")) location.reload();
}

// Without what this file has added.
function pristine(part) {
  const copy = part.cloneNode(true);
  for (const row of copy.querySelectorAll("tr.here")) {
    row.classList.remove("here");
    if (!row.className) row.removeAttribute("class");
  }
  return copy;
}

function replace(old, next) {
  const checked = new Set([...old.querySelectorAll("input:checked")].map((box) => box.value));
  const active = old.contains(document.activeElement) ? key(document.activeElement) : null;
  const here = old.querySelector("tr.here a");
  old.replaceChildren(...[...next.childNodes].map((node) => document.importNode(node, true)));
  for (const box of old.querySelectorAll("input[type=checkbox]")) box.checked = checked.has(box.value);
  if (here) old.querySelector(`a[href="${CSS.escape(here.getAttribute("href"))}"]`)?.closest("tr").classList.add("here");
  if (active) [...old.querySelectorAll("a, input")].find((element) => key(element) === active)?.focus({ preventScroll: true });
  count();
}

const key = (element) => element.tagName + (element.getAttribute("href") || element.value);

// Selection.

function count() {
  const boxes = [...document.querySelectorAll("#rows input[type=checkbox]")];
  const chosen = boxes.filter((box) => box.checked).length;
  const label = byId("selected");
  if (label) label.textContent = chosen ? `(${chosen})` : "";
  const all = byId("select-all");
  if (all) {
    all.hidden = false;
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
  }
}

document.addEventListener("change", (event) => {
  if (event.target.id === "select-all") {
    for (const box of document.querySelectorAll("#rows input[type=checkbox]")) box.checked = event.target.checked;
  }
  if (event.target.id === "keys-on") localStorage.setItem("keys", event.target.checked ? "on" : "off");
  count();
});

// Nothing is sent twice by an impatient hand.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) return event.preventDefault();
  event.target.dataset.sent = "yes";
  setTimeout(() => delete event.target.dataset.sent, 3000);
});

// Keys. Single letters can be turned off (WCAG 2.2, 2.1.4).

function move(by) {
  const rows = [...document.querySelectorAll("table.rows tbody tr")];
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.classList.contains("here"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, now < 0 ? 0 : now + by))];
  rows[now]?.classList.remove("here");
  next.classList.add("here");
  next.querySelector("a")?.focus();
}

const here = () => document.querySelector("tr.here") || document.activeElement.closest?.("tbody tr");

const keys = {
  j: () => move(1),
  k: () => move(-1),
  o: () => here()?.querySelector("a")?.click(),
  x: () => here()?.querySelector("input[type=checkbox]")?.click(),
  "/": () => byId("search")?.focus(),
  a: () => byId("approve")?.focus(),
  r: () => byId("reason")?.focus(),
  n: () => (byId("next") || document.querySelector("a[rel=next]"))?.click(),
  u: () => byId("up")?.click(),
  "?": () => byId("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
  const off = localStorage.getItem("keys") === "off" && event.key !== "?";
  if (typing || off || event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});

const opener = byId("keys-open");
if (opener) {
  opener.hidden = false;
  opener.addEventListener("click", () => byId("keys").showModal());
  byId("keys-on").checked = localStorage.getItem("keys") !== "off";
}
count();
(function again() {
  const wait = document.querySelector("[data-soon]") ? SOON_MILLISECONDS : REFRESH_MILLISECONDS;
  setTimeout(() => refresh().finally(again), wait);
})();
document.addEventListener("visibilitychange", refresh);
