// Making and filling elements. Nothing here ever reads text as markup: text goes in as text.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(2)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** An element with attributes and children; an attribute `onclick` is a listener. */
export const h = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);

/** The same in a picture. */
export const s = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

/** Sets the text of an element, only when it is another one: so screen readers hear it once. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Puts these children in the place of all there were. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(2).filter((child) => child || child === 0));
}

/** Makes one child of `parent` for each item, keeps those that are there, by key and in order. */
export function each(parent, items, keyOf, make, update) {
  const known = new Map();
  for (const child of [...parent.children]) known.set(child.dataset.key, child);
  let at = null;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (child) known.delete(key);
    else {
      child = make(item);
      child.dataset.key = key;
    }
    const next = at ? at.nextSibling : parent.firstChild;
    if (next !== child) parent.insertBefore(child, next);
    update(child, item);
    at = child;
  }
  for (const gone of known.values()) gone.remove();
}
