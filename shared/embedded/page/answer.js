// One question and its answer on the page.
import { el, link } from "./dom.js";
import { markdown } from "./markdown.js";

const KINDS = { extractive: "Quoted from the docs", generated: "Written from the docs" };
const TALLEST_QUOTE = 470; // pixels; well above the clamp in style.css, so that no button hides two lines

export class Answer {
  /** `onRetry` asks the same question again. */
  constructor(question, onRetry) {
    this.onRetry = onRetry;
    this.meta = {};
    this.text = "";
    this.count = 0;
    this.working = el("p", { class: "working" }, "Looking in the docs");
    this.leadIn = el("div", { class: "lead-in md", hidden: true });
    this.passages = el("ol", { class: "passages" });
    this.body = el("div", {}, this.working);
    this.element = el("article", { class: "turn", "aria-label": question, "aria-busy": "true" }, el("h2", { class: "asked" }, question), this.body);
  }

  /** Take in one event. */
  take(name, data) {
    if (name === "meta") this.meta = data;
    if (name === "token") this.#say(data.text);
    if (name === "citation") this.#quote(data);
    if (name === "done") this.#finish(data);
  }

  /** Show what went wrong, below what had arrived. */
  fail(error) {
    this.#settle();
    const again = el("button", { type: "button", class: "again" }, "Try again");
    again.addEventListener("click", () => this.onRetry(), { once: true });
    if (error.retryAfter) countDown(again, error.retryAfter);
    const lines = [el("p", { class: "title" }, error.message)];
    if (error.hint) lines.push(el("p", {}, error.hint));
    if (error.requestId) lines.push(el("p", { class: "id" }, `Request ${error.requestId}`));
    this.body.append(el("div", { class: "notice error" }, ...lines, again));
    return error.message;
  }

  /** The reader stopped it. */
  stop() {
    this.#settle();
    this.body.append(el("p", { class: "facts" }, "Stopped."));
  }

  /** One sentence for a screen reader. */
  summary() {
    if (this.kind === "not_found") return "The docs do not say.";
    return this.count === 1 ? "Answer with 1 passage." : `Answer with ${this.count} passages.`;
  }

  #say(text) {
    this.text += text;
    this.leadIn.replaceChildren(...markdown(this.text));
    this.leadIn.hidden = false;
    this.#show(this.leadIn);
  }

  #show(part) {
    if (!part.isConnected) this.working.before(part);
  }

  #quote(citation) {
    this.count += 1;
    this.#show(this.passages);
    const path = citation.heading_path ?? [];
    // The heading is what the link leads to; the page and the headings above it say where that is.
    const name = path.at(-1) || citation.title || citation.url;
    const above = [citation.title, ...path.slice(0, -1)].filter((part, at, all) => part && part !== name && part !== all[at - 1]);
    const source = el("div", { class: "source" }, link(citation.url, undefined, name));
    if (above.length) source.append(el("p", { class: "crumbs" }, ...above.map((part) => el("span", {}, part))));
    const quote = el("blockquote", { class: "quote md", cite: citation.url }, ...markdown(citation.quote ?? "", citation.url));
    const number = el("span", { class: "number", "aria-hidden": "true" }, String(citation.n));
    const passage = el("li", { class: "passage" }, el("header", {}, number, source), quote);
    this.passages.append(passage);
    if (quote.scrollHeight > TALLEST_QUOTE) clamp(passage, quote);
  }

  #finish(done) {
    this.kind = done.kind ?? this.meta.kind;
    this.#settle();
    this.#degraded(done.degraded ?? this.meta.degraded ?? []);
    if (this.kind === "not_found") this.#notFound(done.nearest ?? this.meta.nearest ?? []);
    this.body.append(facts(this.kind, this.meta, done));
  }

  #notFound(nearest) {
    const lines = [el("p", { class: "title" }, "The docs do not say.")];
    if (nearest.length) {
      lines.push(el("p", { class: "note" }, "The nearest pages:"));
      lines.push(el("ul", {}, ...nearest.map((page) => el("li", {}, link(page.url, undefined, page.title || page.url)))));
    } else {
      lines.push(el("p", { class: "note" }, "No page comes near this question. Other words may find more."));
    }
    // The words of the answer say the same in other words.
    this.leadIn.remove();
    this.body.prepend(el("div", { class: "notice none" }, ...lines));
  }

  #degraded(reasons) {
    if (!reasons.length) return;
    const title = el("p", { class: "title" }, "Degraded answer");
    const note = el("p", {}, "Something behind this page is not working, so this answer came by another way:");
    this.body.prepend(el("div", { class: "notice degraded" }, title, note, el("ul", {}, ...reasons.map((reason) => el("li", {}, String(reason))))));
  }

  #settle() {
    this.working.remove();
    this.element.removeAttribute("aria-busy");
  }
}

function clamp(passage, quote) {
  quote.classList.add("clamped");
  quote.inert = true;
  const more = el("button", { type: "button", class: "more" }, "Show the whole passage");
  more.addEventListener("click", () => {
    quote.classList.remove("clamped");
    quote.inert = false;
    more.remove();
  });
  passage.append(more);
}

function countDown(button, seconds) {
  let left = seconds;
  const tick = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left-- <= 0) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  tick();
}

function facts(kind, meta, done) {
  const said = [KINDS[kind]];
  const rung = done.rung ?? meta.rung;
  if (rung) said.push(`rung: ${rung.replaceAll("_", " ")}`);
  const total = done.timings_ms?.total;
  if (Number.isFinite(total)) said.push(total < 1000 ? `${Math.max(1, Math.round(total))} ms` : `${(total / 1000).toFixed(1)} s`);
  if (done.recorded === false) said.push("not recorded");
  return el("p", { class: "facts" }, ...said.filter(Boolean).map((part) => el("span", {}, part)));
}
