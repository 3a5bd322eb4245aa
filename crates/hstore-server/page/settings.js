// The settings of the cluster that change while it runs: what is set, what holds, and changes, which
// name the version that they were made from.

import { get, post } from "./api.js";
import { cluster, follow } from "./cluster.js";
import { answered, notice } from "./dialog.js";
import { $, h, put } from "./dom.js";
import { count, plain } from "./text.js";

const PATH = "/cluster/config";

let open = false;
/** What was told last. */
let told = null;
/** Whether that is only what the node itself knows. */
let alone = false;
let reading = null;

/** Which nodes set a key for themselves: [[name, value]]. */
const ownValues = (key) => Object.entries(told.nodes).filter(([, values]) => key in values).map(([name, values]) => [name, values[key]]);

function lines() {
  const settings = Object.entries(told.effective.settings);
  return settings.sort(([a, one], [b, two]) => Boolean(two.changes_for) - Boolean(one.changes_for) || a.localeCompare(b));
}

function line([key, setting]) {
  const own = ownValues(key);
  return h("tr", {},
    h("th", { scope: "row" }, key),
    h("td", {}, key in told.cluster ? plain(told.cluster[key]) : "–"),
    h("td", {}, own.length ? own.map(([name, value]) => h("div", {}, plain(name), ": ", plain(value))) : "–"),
    h("td", {}, plain(setting.value), h("span", { class: "quiet" }, ` (${setting.origin})`)),
    h("td", {}, setting.changes_for
      ? h("button", { type: "button", disabled: alone, "aria-label": `Change ${key}`, onclick: () => change(key, setting) }, "Change")
      : h("span", { class: "quiet" }, "at the next start")));
}

function draw() {
  put($("settings"),
    h("h3", {}, "Settings"),
    alone ? h("p", { class: "bad" }, "No majority answers: this is what this node knows, and nothing can be changed.") : null,
    h("p", { class: "quiet" }, "Version ", count(told.version), "; what holds is said by ", plain(told.effective.node), ". A setting of the cluster goes before what nodes were started with; a node's own goes before that."),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Settings" },
      h("table", {},
        h("thead", {}, h("tr", {}, ["Setting", "For the cluster", "For a node", `Holds at ${told.effective.node}`, "Change"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, lines().map(line)))));
}

/** What is set; without a majority, what the node knows, and that it is no more than that. */
async function freshest(signal) {
  try {
    return [await get(PATH, { signal }), false];
  } catch (refused) {
    if (refused.code !== "no_quorum" && refused.code !== "timeout") throw refused;
    return [await get(`${PATH}?consistency=serializable`, { signal }), true];
  }
}

async function read() {
  if (!open) return;
  reading?.abort();
  reading = new AbortController();
  const { signal } = reading;
  try {
    const [fresh, isOwn] = await freshest(signal);
    if (signal.aborted) return;
    told = fresh;
    alone = isOwn;
    draw();
  } catch (refused) {
    if (!signal.aborted) put($("settings"), h("h3", {}, "Settings"), h("p", { class: "bad" }, refused.message));
  }
}

async function change(key, setting) {
  const places = [];
  if (setting.changes_for !== "node") places.push(["", "the cluster"]);
  if (setting.changes_for !== "cluster") {
    for (const row of cluster.state?.members || []) places.push([row.name, row.name]);
  }
  const given = await answered({
    title: `Change ${key}`,
    text: "Each node acts on the change as it hears of it. What makes no sense is refused, with the reason.",
    fields: [
      { name: "place", label: "For", options: places },
      { name: "value", label: "New value", value: told.cluster[key] ?? setting.value },
    ],
    buttons: [["set", "Set"], ["back", "Take back"]],
  });
  if (!given) return;
  const value = given.button === "back" ? null : given.value;
  const wanted = given.place ? { nodes: { [given.place]: { [key]: value } } } : { cluster: { [key]: value } };
  try {
    told = await post(PATH, wanted, { method: "PATCH", headers: { "If-Match": `"${told.version}"` } });
    notice(value === null ? `${key} is taken back.` : `${key} is set.`);
    draw();
  } catch (refused) {
    notice(refused.code === "conflict" ? "Not changed: somebody else changed the settings meanwhile." : `Not changed: ${refused.message}`, true);
    read();
  }
}

export function openSettings() {
  if (open) return;
  open = true;
  read();
}

export function closeSettings() {
  open = false;
  reading?.abort();
}

export function beginSettings() {
  follow((what) => {
    if (what !== "state" || !open || !told) return;
    const isNewer = cluster.state.settings !== undefined && cluster.state.settings > told.version;
    const isBack = alone && cluster.state.health.level !== "no_quorum";
    if (isNewer || isBack) read();
  });
}
