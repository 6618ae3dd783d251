// The little Markdown that quoted passages are made of, as DOM nodes. What is not understood stays as it is written.
import { el, link } from "./dom.js";

const INLINE = new RegExp(
  [
    /(?<tick>`+)(?<code>[^`]|[^`][\s\S]*?[^`])\k<tick>(?!`)/,
    /(?<image>!)?\[(?<label>(?:[^\[\]]|\[[^\]]*\])*)\]\(\s*<?(?<href>[^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+["'][^"']*["'])?\s*\)/,
    /\*\*(?<strong>(?=\S)[\s\S]*?\S)\*\*/,
    /(?<![\w*])\*(?<em>(?=[^\s*])[^*]*?)(?<!\s)\*(?![\w*])/,
    /(?<![\w_])_(?<under>(?=[^\s_])[^_]*?)(?<!\s)_(?![\w_])/,
    /\\(?<escaped>[\\`*_{}[\]()#+\-.!|<>~])/,
  ].map((part) => part.source).join("|"),
  "g",
);
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`{]*)/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const HEADING = /^ {0,3}#{1,6}\s+(.*?)(?:\s*\{#[^}]*\})?\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const DELIMITER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const ADMONITION = /^\s*:::\s*(\w*)\s*(?:\[([^\]]*)\]|(.*))$/;
const DEEPEST = 6;

/** Nodes of one run of text. */
function inline(text, base, depth = 0) {
  if (depth > DEEPEST) return [text];
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > from) nodes.push(text.slice(from, found.index));
    from = found.index + found[0].length;
    nodes.push(...span(found.groups, base, depth + 1));
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

function span(found, base, depth) {
  if (found.code !== undefined) return [el("code", {}, found.code.replace(/^ (.*\S.*) $/s, "$1"))];
  if (found.image) return found.label ? [el("em", {}, found.label)] : [];
  if (found.label !== undefined) return [link(pageOf(found.href), base, ...inline(found.label, base, depth))];
  if (found.strong !== undefined) return [el("strong", {}, ...inline(found.strong, base, depth))];
  const emphasis = found.em ?? found.under;
  return emphasis === undefined ? [found.escaped] : [el("em", {}, ...inline(emphasis, base, depth))];
}

/** A link to a source file as the link to the page that is made of it. */
const pageOf = (href) => href.replace(/^(?![a-z][a-z\d+.-]*:|\/\/)([^#?]*)\.mdx?(?=$|[#?])/i, "$1");

function fence(lines, at) {
  const [, marks, language] = FENCE.exec(lines[at]);
  const closing = new RegExp(`^ {0,3}${marks[0]}{${marks.length},}\\s*$`);
  const indent = new RegExp(`^ {0,${/^ */.exec(lines[at])[0].length}}`);
  const code = [];
  let next = at + 1;
  while (next < lines.length && !closing.test(lines[next])) code.push(lines[next++].replace(indent, ""));
  const label = language ? `${language} code` : "code";
  return [el("pre", { tabindex: "0", "aria-label": label }, el("code", {}, code.join("\n"))), next + 1];
}

/** A list with what is indented under its items, recursively. */
function list(lines, at, base, depth) {
  const [, lead, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const root = ordered ? el("ol", { start: Number.parseInt(mark, 10) }) : el("ul");
  let next = at;
  while (next < lines.length) {
    const item = ITEM.exec(lines[next]);
    if (!item || item[1].length > lead.length + 1 || item[1].length < lead.length || /\d/.test(item[2]) !== ordered) break;
    const width = item[0].length - item[3].length;
    const inner = [item[3]];
    next += 1;
    while (next < lines.length && belongs(lines, next, lead.length + 2)) inner.push(lines[next++].replace(new RegExp(`^\\s{0,${width}}`), ""));
    const nodes = blocks(inner, base, depth + 1);
    // A one-paragraph item reads better without the paragraph's margins.
    if (nodes[0]?.tagName === "P") nodes.splice(0, 1, ...nodes[0].childNodes);
    root.append(el("li", {}, ...nodes));
  }
  return [root, next];
}

function belongs(lines, at, indent) {
  const line = lines[at];
  if (line.trim()) return /^\s*/.exec(line)[0].length >= indent || !(ITEM.test(line) || starts(lines, at) || !lines[at - 1].trim());
  return at + 1 < lines.length && /^\s*/.exec(lines[at + 1])[0].length >= indent && lines[at + 1].trim() !== "";
}

function cells(row) {
  return row.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(lines, at, base) {
  const row = (line, tag) => el("tr", {}, ...cells(line).map((cell) => el(tag, {}, ...inline(cell, base))));
  const body = el("tbody");
  let next = at + 2;
  while (next < lines.length && lines[next].includes("|") && lines[next].trim()) body.append(row(lines[next++], "td"));
  const made = el("table", {}, el("thead", {}, row(lines[at], "th")), body);
  return [el("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, made), next];
}

function quoted(lines, at, base, depth) {
  let next = at;
  const inner = [];
  while (next < lines.length && /^\s*>/.test(lines[next])) inner.push(lines[next++].replace(/^\s*> ?/, ""));
  return [el("blockquote", {}, ...blocks(inner, base, depth + 1)), next];
}

function admonition(lines, at, base, depth) {
  const [, kind, title, rest] = ADMONITION.exec(lines[at]);
  let next = at + 1;
  const inner = [];
  while (next < lines.length && !/^\s*:::\s*$/.test(lines[next])) inner.push(lines[next++]);
  const name = title || rest?.trim() || (kind ? kind[0].toUpperCase() + kind.slice(1) : "");
  const heading = name ? [el("p", { class: "heading" }, name)] : [];
  return [el("blockquote", {}, ...heading, ...blocks(inner, base, depth + 1)), next + 1];
}

const isTable = (lines, at) => lines[at].includes("|") && at + 1 < lines.length && DELIMITER.test(lines[at + 1]) && lines[at + 1].includes("-");

/** Whether a block other than a paragraph begins here. */
function starts(lines, at) {
  const line = lines[at];
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || ITEM.test(line) || /^\s*(>|:::)/.test(line) || isTable(lines, at);
}

function paragraph(lines, at, base) {
  let next = at + 1;
  while (next < lines.length && lines[next].trim() && !starts(lines, next)) next += 1;
  return [el("p", {}, ...inline(lines.slice(at, next).map((line) => line.trim()).join(" "), base)), next];
}

function block(lines, at, base, depth) {
  const line = lines[at];
  if (depth > DEEPEST) return paragraph(lines, at, base);
  if (FENCE.test(line)) return fence(lines, at);
  if (HEADING.test(line)) return [el("p", { class: "heading" }, ...inline(HEADING.exec(line)[1], base)), at + 1];
  if (RULE.test(line)) return [el("hr"), at + 1];
  if (isTable(lines, at)) return table(lines, at, base);
  if (/^\s*>/.test(line)) return quoted(lines, at, base, depth);
  if (/^\s*:::\s*\w/.test(line)) return admonition(lines, at, base, depth);
  if (/^\s*:::\s*$/.test(line)) return [document.createTextNode(""), at + 1];
  if (ITEM.test(line)) return list(lines, at, base, depth);
  return paragraph(lines, at, base);
}

function blocks(lines, base, depth) {
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [node, next] = block(lines, at, base, depth);
    nodes.push(node);
    at = next;
  }
  return nodes;
}

/** The nodes of a Markdown text; links in it count from `base`. */
export function markdown(text, base) {
  return blocks(text.replace(/\r\n?/g, "\n").replaceAll("\t", "    ").split("\n"), base, 0);
}
