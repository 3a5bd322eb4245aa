// One key: looked at, edited apart from that, its history, and what others do to it meanwhile.
//
// A write names the revision that the editor began with, so that nobody's write is lost unseen.

import { confirmed, notice } from "./dialog.js";
import { diff } from "./diff.js";
import { $, h, put, say } from "./dom.js";
import { history, read, remove, told, watch, write } from "./store.js";
import { bytesOf, count, fromBase64, show, size, textOf, toBase64 } from "./text.js";
import { beginTree, closeTree, drawTree, here, openTree } from "./tree.js";

/** Longer values are not put into the editor: browsers do badly with them. */
const EDIT_BYTES_MAX = 4 * 1024 * 1024;

/** The key that is shown: { key, value, revision, editor }. */
let shown = null;
let watching = null;
let opened = false;

const isShown = (key) => shown && toBase64(shown.key) === toBase64(key);

function json(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { wrong: error.message };
  }
}

function follow() {
  watching?.abort();
  watching = null;
  if (!shown || !opened) return;
  watching = new AbortController();
  const { key } = shown;
  watch(key, false, watching.signal, {
    event(name, data) {
      if ((name !== "put" && name !== "delete") || !isShown(key) || data.revision <= (shown.revision || 0)) return;
      shown.revision = name === "put" ? data.revision : null;
      shown.value = name === "put" ? told(data, "value") : null;
      if (shown.editor) shown.editor.changed();
      else draw(true);
    },
    lost: () => {},
  });
}

/** Shows a key. */
export async function choose(key) {
  if (shown?.editor && !(await leave())) return;
  location.hash = `#keys/${encodeURIComponent(toBase64(key))}`;
  shown = { key, value: null, revision: null, editor: null };
  put($("key-card"), h("p", { class: "quiet" }, "reading …"));
  try {
    const found = await read(key);
    if (!isShown(key)) return;
    if (found) Object.assign(shown, found);
    draw();
    follow();
  } catch (refused) {
    if (!isShown(key)) return;
    put($("key-card"), title(), h("p", { class: "bad" }, refused.message));
    // It is not shown, so that whoever signs in next, or comes back, sees it read again.
    shown = null;
  }
}

const leave = () => confirmed({ title: "Leave the editor?", text: "What was typed is not saved.", yes: "Leave", danger: true });

const title = () => h("h3", {}, show(shown.key, 4096));

function draw(changed = false) {
  const { value, revision } = shown;
  if (value === null) {
    put($("key-card"), title(), h("p", { class: changed ? "warn" : "quiet" }, changed ? "It was deleted just now." : "There is no such key."),
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => edit(null) }, "Create it"), h("button", { type: "button", onclick: past }, "History")));
    return;
  }
  const text = textOf(value);
  const kind = text === null ? "bytes that are no text" : json(text).wrong ? "text" : "JSON";
  put(
    $("key-card"),
    title(),
    h("p", { class: "quiet" }, `revision ${count(revision)}, ${size(value.length)}, ${kind}`, changed ? h("span", { class: "warn" }, "  changed just now") : ""),
    h("pre", { class: "value", tabindex: 0, "aria-label": "Value" }, show(value)),
    h("div", { class: "row" },
      h("button", { type: "button", class: "primary", onclick: () => edit(shown.revision), disabled: value.length > EDIT_BYTES_MAX }, "Edit"),
      h("button", { type: "button", onclick: past }, "History"),
      h("button", { type: "button", onclick: download }, "Download"),
      h("span", { class: "push" }),
      h("button", { type: "button", class: "danger", onclick: erase }, "Delete")),
    h("div", { id: "past" }),
  );
}

function download() {
  const link = h("a", { href: URL.createObjectURL(new Blob([shown.value])), download: "value" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function erase() {
  const { key, revision } = shown;
  if (!(await confirmed({ title: "Delete this key?", text: "Its history stays readable until it is compacted.", yes: "Delete", danger: true }))) return;
  try {
    await remove(key, revision);
    notice("The key is deleted.");
    drawTree();
  } catch (refused) {
    notice(refused.code === "conflict" ? "Not deleted: somebody changed the key meanwhile." : refused.message, true);
  }
}

/** The editor, which writes only over `base`; null is "not there yet". */
function edit(base, first = null) {
  const { key } = shown;
  const value = first || shown.value || new Uint8Array();
  const text = textOf(value);
  // An editor of text makes one end of line of all.
  const asText = text !== null && !text.includes("\r") && !text.includes("\0");
  const mode = h("select", {}, h("option", { value: "text", disabled: !asText }, "text"), h("option", { value: "base64" }, "base64"));
  mode.value = asText ? "text" : "base64";
  const area = h("textarea", { rows: 16, spellcheck: "false", autocomplete: "off", "aria-label": "New value" });
  area.value = asText ? text : toBase64(value);
  const check = h("p", { class: "quiet", role: "status" });
  const conflict = h("div", { class: "conflict", role: "alert", hidden: true });
  const bytes = () => (mode.value === "text" ? bytesOf(area.value) : fromBase64(area.value));
  const checked = () => {
    const now = bytes();
    if (now === null) return say(check, "✕ This is no base64.");
    const asJson = mode.value === "text" && now.length < 1 << 20 ? json(area.value) : { wrong: "" };
    say(check, `${size(now.length)}${asJson.wrong === undefined ? ", ✓ JSON" : mode.value === "text" && asJson.wrong ? `, not JSON: ${asJson.wrong}` : ""}`);
  };
  area.addEventListener("input", checked);
  mode.addEventListener("change", () => {
    const now = mode.value === "text" ? fromBase64(area.value) : bytesOf(area.value);
    const as = now && textOf(now);
    if (mode.value === "base64") area.value = toBase64(now);
    else if (as !== null && as !== undefined) area.value = as;
    else mode.value = "base64";
    checked();
  });
  let over = base;
  const save = async () => {
    const now = bytes();
    if (now === null) return checked();
    try {
      const revision = await write(key, now, over);
      shown.editor = null;
      Object.assign(shown, { value: now, revision });
      notice(`Saved as revision ${count(revision)}.`);
      draw();
      drawTree();
    } catch (refused) {
      if (refused.code === "conflict" || refused.status === 412) await clash();
      else notice(`Not saved: ${refused.message}`, true);
    }
  };
  const clash = async () => {
    const theirs = await read(key).catch(() => null);
    Object.assign(shown, theirs || { value: null, revision: null });
    put(
      conflict,
      h("h4", {}, "✕ Conflict: somebody changed this key meanwhile"),
      h("p", {}, theirs ? `Theirs is revision ${count(theirs.revision)}:` : "They deleted it."),
      theirs ? h("pre", { class: "value" }, show(theirs.value, 8192)) : "",
      h("div", { class: "row" },
        h("button", { type: "button", onclick: () => { shown.editor = null; draw(); } }, "Take theirs"),
        h("button", { type: "button", class: "danger", onclick: () => { over = shown.revision; conflict.hidden = true; save(); } }, "Write mine over it")),
    );
    conflict.hidden = false;
  };
  shown.editor = {
    changed() {
      if (shown.revision === over) return;
      put(conflict, h("h4", {}, "! Somebody changed this key just now"), h("p", {}, shown.revision ? `It is at revision ${count(shown.revision)}; what you save is compared with that first.` : "It was deleted."));
      conflict.hidden = false;
    },
  };
  put(
    $("key-card"),
    title(),
    h("p", { class: "quiet" }, base === null ? "a new key" : `edits revision ${count(base)}`),
    conflict,
    h("label", { class: "row" }, "As ", mode),
    area,
    check,
    h("div", { class: "row" },
      h("button", { type: "button", class: "primary", onclick: save }, "Save"),
      h("button", { type: "button", onclick: () => {
        const as = mode.value === "text" ? json(area.value) : { wrong: "it is shown as base64" };
        if (as.wrong === undefined) area.value = JSON.stringify(as.value, null, 2);
        checked();
      } }, "Format JSON"),
      h("button", { type: "button", onclick: () => { shown.editor = null; draw(); } }, "Cancel")),
  );
  checked();
  area.focus();
}

function compared(record, before) {
  if (record.deleted) return h("p", { class: "quiet" }, "It was deleted here.");
  const [now, then] = [told(record, "value"), before && !before.deleted ? told(before, "value") : null];
  const [text, former] = [textOf(now), then && textOf(then)];
  if (text === null || (then && former === null)) return h("pre", { class: "value" }, show(now, 8192));
  const lines = now.length + (then?.length || 0) > 1 << 20 ? null : diff(former ?? "", text);
  if (!then || !lines) return h("pre", { class: "value" }, show(now, 8192));
  const signs = { same: " ", old: "−", new: "+" };
  const words = { old: "removed: ", new: "added: " };
  return h("pre", { class: "value diff" }, lines.slice(0, 1000).map((line) =>
    h("span", { class: line.kind }, h("span", { "aria-hidden": "true" }, `${signs[line.kind]} `), words[line.kind] ? h("span", { class: "visually-hidden" }, words[line.kind]) : "", line.text ? show(bytesOf(line.text), 4096) : "", "\n")));
}

async function past() {
  const { key } = shown;
  let place = $("past");
  if (!place) {
    place = h("div", { id: "past" });
    $("key-card").append(place);
  }
  put(place, h("p", { class: "quiet" }, "reading …"));
  try {
    const page = await history(key, null, 50);
    if (!isShown(key)) return;
    const records = page.records;
    put(place, h("h4", {}, "History"), records.length ? "" : h("p", { class: "quiet" }, "Nothing is known of it."));
    records.forEach((record, at) => {
      const box = h("details", {}, h("summary", {}, `revision ${count(record.revision)}`, record.deleted ? ", deleted" : `, version ${count(record.version)}, ${size(told(record, "value").length)}`));
      box.addEventListener("toggle", () => {
        if (box.open && box.children.length === 1) {
          box.append(compared(record, records[at + 1]));
          if (!record.deleted && record.revision !== shown.revision) {
            box.append(h("button", { type: "button", onclick: () => revert(record) }, "Write this again"));
          }
        }
      });
      place.append(box);
    });
    if (page.more) place.append(h("p", { class: "quiet" }, "Older revisions are not shown."));
  } catch (refused) {
    put(place, h("p", { class: "bad" }, refused.message));
  }
}

async function revert(record) {
  const { key, revision } = shown;
  if (!(await confirmed({ title: `Write revision ${count(record.revision)} again?`, text: "The key gets the value that it had then, as a new revision.", yes: "Write it" }))) return;
  try {
    const now = await write(key, told(record, "value"), revision);
    notice(`Written as revision ${count(now)}.`);
    choose(key);
  } catch (refused) {
    notice(refused.code === "conflict" ? "Not written: somebody changed the key meanwhile." : refused.message, true);
  }
}

async function fresh() {
  if (shown?.editor && !(await leave())) return;
  const name = h("input", { type: "text", required: true, autocomplete: "off", spellcheck: "false" });
  name.value = here();
  const form = h("form", {}, h("h3", {}, "New key"), h("label", {}, "Key", name), h("div", { class: "row" }, h("button", { class: "primary" }, "Go on")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await choose(bytesOf(name.value));
    if (shown.value === null) edit(null);
  });
  shown = null;
  follow();
  put($("key-card"), form);
  name.focus();
}

/** The view is open; with the key of the address, if it names one. */
export function openKeys(named) {
  if (opened && !named) return;
  const first = !opened;
  opened = true;
  if (first) openTree();
  const key = named ? fromBase64(decodeURIComponent(named)) : null;
  if (key && !isShown(key)) choose(key);
  else if (first) follow();
}

export function closeKeys() {
  opened = false;
  watching?.abort();
  watching = null;
  closeTree();
}

export function beginKeys() {
  beginTree(choose);
  $("new-key").addEventListener("click", fresh);
}
