// Questions before something happens, the form to sign in, and what came of it.

import { $, h, put, say } from "./dom.js";

let timer;

/** Says what happened, for a while; a refusal stays until the next word. */
export function notice(text, bad = false) {
  const place = $("notice");
  clearTimeout(timer);
  place.hidden = !text;
  place.className = bad ? "bad" : "";
  say(place, text);
  if (!bad) timer = setTimeout(() => (place.hidden = true), 8000);
}

let queue = Promise.resolve();

/** Shows the dialog with this content; what it was closed with. One after the other. */
function shown(...content) {
  const turn = queue.then(() => new Promise((resolve) => {
    const dialog = $("dialog");
    const form = dialog.querySelector("form");
    put(form, ...content);
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
    (form.querySelector("input, select") || form.querySelector("button"))?.focus();
  }));
  queue = turn.catch(() => {});
  return turn;
}

/** Whether whoever sits there wants it. The first button is the one that does nothing. */
export async function confirmed({ title, text, yes, danger, typed }) {
  const go = h("button", { value: "yes", class: danger ? "danger" : "primary" }, yes);
  const rows = [h("h2", { id: "dialog-title" }, title), h("p", {}, text)];
  if (typed) {
    go.disabled = true;
    const input = h("input", { type: "text", autocomplete: "off", spellcheck: "false", oninput: () => (go.disabled = input.value !== typed) });
    rows.push(h("label", {}, `Type ${typed} to go on`, input));
  }
  rows.push(h("div", { class: "row end" }, h("button", { value: "", formnovalidate: true }, "Cancel"), go));
  return (await shown(...rows)) === "yes";
}

/** What was filled in, with the button that was pressed; null when nothing is to happen. */
export async function answered({ title, text, fields, buttons }) {
  const inputs = fields.map(({ name, label, options, value }) => {
    const input = options
      ? h("select", {}, options.map(([of, word]) => h("option", { value: of }, word)))
      : h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
    if (value !== undefined) input.value = value;
    return { name, input, row: h("label", {}, label, " ", input) };
  });
  const button = await shown(
    h("h2", { id: "dialog-title" }, title),
    h("p", {}, text),
    inputs.map(({ row }) => row),
    h("div", { class: "row end" }, h("button", { value: "", formnovalidate: true }, "Cancel"), buttons.map(([value, word]) => h("button", { value }, word))),
  );
  if (!button) return null;
  return Object.fromEntries([["button", button], ...inputs.map(({ name, input }) => [name, input.value])]);
}

/** A name and a password; null when nobody wants to say. */
export async function credentials(why) {
  const name = h("input", { type: "text", name: "user", autocomplete: "username", required: true });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password" });
  const told = await shown(
    h("h2", { id: "dialog-title" }, "Sign in"),
    h("p", { class: why.bad ? "bad" : "quiet" }, why.text),
    h("label", {}, "User", name),
    h("label", {}, "Password", password),
    h("div", { class: "row end" }, h("button", { value: "", formnovalidate: true }, "Cancel"), h("button", { value: "yes", class: "primary" }, "Sign in")),
  );
  const given = told === "yes" ? { name: name.value, password: password.value } : null;
  password.value = "";
  return given;
}
