// Elements are made, never parsed: text from the docs, or from anywhere else, cannot become markup.

/** An element with properties (class, text attributes) and children (nodes or strings). */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** The address if it is one that a reader may be sent to, else null. Relative ones count from `base`. */
export function safeUrl(address, base = document.baseURI) {
  try {
    const url = new URL(address, new URL(base, document.baseURI));
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link, or its plain content when the address is not safe. */
export function link(address, base, ...children) {
  const href = safeUrl(address, base);
  if (!href) return el("span", {}, ...children);
  const away = new URL(href).origin !== location.origin;
  return el("a", { href, rel: away && "noopener noreferrer", target: away && "_blank" }, ...children);
}
