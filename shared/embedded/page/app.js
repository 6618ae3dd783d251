// The page: a form, a log of answers, a theme button.
import { Answer } from "./answer.js";
import { ask, suggestions } from "./api.js";
import { el } from "./dom.js";

const find = (id) => document.getElementById(id);
const [form, box, log, status] = ["form", "question", "log", "status"].map(find);
let running = null; // AbortController of the answer under way

async function answer(question) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  const shown = new Answer(question, () => answer(question));
  find("intro").hidden = true;
  log.append(shown.element);
  shown.element.scrollIntoView({ block: "start" });
  busy(true);
  status.textContent = "Looking in the docs";
  try {
    for await (const [name, data] of ask(question, mine.signal)) shown.take(name, data);
    if (mine.signal.aborted) shown.stop();
    status.textContent = mine.signal.aborted ? "Stopped." : shown.summary();
  } catch (error) {
    status.textContent = shown.fail(error);
  } finally {
    if (running === mine) {
      running = null;
      busy(false);
    }
  }
}

function busy(is) {
  find("send").hidden = is;
  find("stop").hidden = !is;
}

function submit() {
  const question = box.value.trim();
  if (!question) return;
  box.value = "";
  answer(question);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
box.addEventListener("keydown", (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea")) return;
  event.preventDefault();
  box.focus();
});
find("stop").addEventListener("click", () => {
  running?.abort();
  box.focus();
});
find("suggestions").addEventListener("click", (event) => {
  const chosen = event.target.closest("button");
  if (!chosen) return;
  box.focus({ preventScroll: true });
  answer(chosen.textContent);
});

const root = document.documentElement;
const remembered = (() => {
  try {
    return localStorage.getItem("lectern-theme");
  } catch {
    return null; // storage may be forbidden
  }
})();
if (remembered === "light" || remembered === "dark") root.dataset.theme = remembered;
find("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("lectern-theme", root.dataset.theme);
  } catch {
    // the choice then lasts as long as the page
  }
});

const offered = await suggestions();
if (offered.length) {
  find("suggestions").replaceChildren(...offered.slice(0, 5).map((text) => el("li", {}, el("button", { type: "button" }, text))));
}
