// Keys as a tree: a slash begins a branch. A branch is read when it is opened, a page at a time, so
// that a hundred thousand keys cost no more than what is looked at.

import { notice } from "./dialog.js";
import { $, h, put } from "./dom.js";
import { children, told, watch } from "./store.js";
import { bytesOf, count, show, textOf } from "./text.js";

const PAGE = 100;
const LIVE_MAX = 100;

let prefix = new Uint8Array();
let choose = () => {};
let looking = null;
let live = null;

/** What stands for a branch or a key below `base`. */
const rest = (key, base) => key.subarray(base.length);

function leaf(entry, base) {
  const key = told(entry, "key");
  const label = base.length ? rest(key, base) : key;
  return h("li", {}, h("button", { type: "button", class: "leaf", onclick: () => choose(key) }, show(label.length ? label : key, 200)));
}

function branch(entry, base) {
  const key = told(entry, "key");
  const inside = h("ul", { hidden: true });
  const button = h("button", { type: "button", class: "branch", "aria-expanded": "false" },
    h("span", { class: "twist", "aria-hidden": "true" }, "▸"), show(rest(key, base), 200), h("span", { class: "quiet" }, ` ${count(entry.count)}`));
  button.addEventListener("click", async () => {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    inside.hidden = open;
    if (!open && !inside.children.length) await fill(inside, key);
  });
  return h("li", {}, button, inside);
}

async function fill(list, base, after = null) {
  const waiting = h("li", { class: "quiet" }, "reading …");
  list.append(waiting);
  try {
    const page = await children(base, after, PAGE, looking?.signal);
    waiting.remove();
    for (const name of page.names) list.append(name.is_prefix ? branch(name, base) : leaf(name, base));
    if (page.more) {
      const from = told(page.names[page.names.length - 1], "key");
      const more = h("li", {}, h("button", { type: "button", class: "more" }, "More …"));
      more.firstChild.addEventListener("click", () => {
        more.remove();
        fill(list, base, from);
      });
      list.append(more);
    }
    if (!list.children.length) list.append(h("li", { class: "quiet" }, "There is nothing here."));
  } catch (refused) {
    waiting.remove();
    if (!looking?.signal.aborted) list.append(h("li", { class: "bad" }, refused.message));
  }
}

function follow() {
  live?.abort();
  live = null;
  if (!$("live-box").open || $("view-keys").hidden) return;
  live = new AbortController();
  const list = $("live");
  put(list);
  watch(prefix, true, live.signal, {
    event(name, data) {
      if (name !== "put" && name !== "delete") return;
      const key = told(data, "key");
      const line = h("li", { class: name }, h("span", { class: "quiet" }, `rev ${count(data.revision)} ${name === "put" ? "set" : "deleted"} `),
        h("button", { type: "button", class: "leaf", onclick: () => choose(key) }, show(key, 200)));
      list.prepend(line);
      while (list.children.length > LIVE_MAX) list.lastChild.remove();
    },
    lost: (refused) => refused.status && notice(`Live changes: ${refused.message}`, true),
  });
}

/** Reads the tree anew. */
export function drawTree() {
  looking?.abort();
  looking = new AbortController();
  put($("tree"));
  fill($("tree"), prefix);
  follow();
}

export const openTree = drawTree;

export function closeTree() {
  live?.abort();
  live = null;
}

export function beginTree(chosen) {
  choose = chosen;
  $("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("find-text").value;
    prefix = bytesOf(text);
    drawTree();
  });
  $("live-box").addEventListener("toggle", follow);
}

/** Where a new key most likely belongs. */
export const here = () => textOf(prefix) || "";

