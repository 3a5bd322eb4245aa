// The table of nodes, and what can be done to them. Whatever ends or removes something is asked for
// once more.

import { ask, post } from "./api.js";
import { cluster, vitals } from "./cluster.js";
import { confirmed, notice } from "./dialog.js";
import { $, each, h, put, say } from "./dom.js";
import { count, duration, micros, plain, rate, size } from "./text.js";

const COLUMNS = [
  "Name", "State", "Role", "Actions", "Lag", "Last heard of", "Log sync 50 % / 99 %",
  "Requests 50 % / 99 %", "Requests / s", "Store / quota", "Memory", "Processor", "Up for", "Files",
  "Watches", "Leases", "Cache", "Snapshot", "Client address", "Id", "Version",
];

/** Which of them holds the buttons. */
const BUTTONS = 3;

const pair = (timing) => (timing?.count ? `${micros(timing.p50_us)} / ${micros(timing.p99_us)}` : "–");

function cache(told) {
  const all = told.cache_hits + told.cache_misses;
  return all ? `${((100 * told.cache_hits) / all).toFixed(0)} %` : "–";
}

function store(told) {
  const kept = size(told.room_bytes);
  return told.quota_bytes ? `${kept} / ${size(told.quota_bytes)}` : kept;
}

const STATES = { up: "✓ up", down: "✕ down", stopped: "■ stopped" };

function role(row) {
  if (row.state !== "up") return row.voter ? "voter" : "learner";
  return row.id === cluster.state.leader ? "★ leader" : row.role;
}

function calls(told) {
  return told.calls
    .map((call) => `${call.call.split("/")[1]}: ${rate(call.per_second)} / s${call.timing?.count ? `, ${pair(call.timing)}` : ""}${call.failed_per_second ? `, ${rate(call.failed_per_second)} / s failed` : ""}`)
    .join("\n");
}

function cells(row) {
  const told = vitals(row);
  const heard = row.state === "up" ? "now" : row.last_contact_ms === null ? "never" : `${duration(row.last_contact_ms)} ago`;
  const open = told && told.open_files_max ? `${count(told.open_files)} of ${count(told.open_files_max)}` : "–";
  return [
    plain(row.name),
    STATES[row.state],
    role(row),
    null,
    row.state === "up" ? count(row.lag) : "–",
    heard,
    told ? pair(told.log_sync) : "–",
    told ? pair(told.requests) : "–",
    told ? h("span", { title: calls(told) || null }, rate(told.requests_per_second)) : "–",
    told ? store(told) : "–",
    told ? size(told.resident_bytes) : "–",
    told ? `${(told.cpu_thousandths / 10).toFixed(0)} %` : "–",
    row.state === "up" ? duration(row.uptime_ms) : "–",
    open,
    told ? `${count(told.watches)}${told.watch_waiting_bytes ? `, ${size(told.watch_waiting_bytes)} wait` : ""}` : "–",
    told ? count(told.leases) : "–",
    told ? cache(told) : "–",
    told ? `entry ${count(told.snapshot_index)}, compacted ${count(told.compacted_revision)}` : "–",
    h("code", {}, plain(row.client_address)),
    String(row.id),
    row.state === "up" ? plain(row.version) : "–",
  ];
}

const NODE = (row, verb) => `/cluster/nodes/${row.id}/${verb}`;

const ACTIONS = [
  { verb: "transfer", label: "Lead", when: (row) => row.state === "up" && row.voter && row.id !== cluster.state.leader,
    says: (row) => `${row.name} takes over the leadership. Writes wait for a moment.` },
  { verb: "restart", label: "Restart", when: (row) => row.state === "up",
    says: (row) => `${row.name} ends in order and starts again.${loss(row)}` },
  { verb: "stop", label: "Stop", when: (row) => row.state === "up", danger: true,
    says: (row) => `${row.name} ends in order and stays stopped.${loss(row)}` },
  { verb: "kill", label: "Kill", when: (row) => row.state === "up", danger: true,
    says: (row) => `${row.name} ends at once, as if its machine had failed. Nothing that was acknowledged is lost.${loss(row)}` },
  { verb: "start", label: "Start", when: (row) => row.state === "stopped",
    says: (row) => `${row.name} starts again on the machine of this node, with its settings.` },
  { verb: "promote", label: "Promote", when: (row) => row.state === "up" && !row.voter,
    says: (row) => `${row.name} gets a vote.` },
  { verb: "demote", label: "Demote", when: (row) => row.state === "up" && row.voter && cluster.state.members.length > 1, danger: true,
    says: (row) => `${row.name} loses its vote and goes on as a learner.${loss(row)}` },
  { verb: "remove", label: "Remove", when: () => cluster.state.members.length > 1, danger: true, typed: true,
    says: (row) => `${row.name} leaves the cluster for ever: it can only come back with an empty folder.${loss(row)}` },
];

/** What a voter's end would mean. */
function loss(row) {
  if (!row.voter || row.state !== "up") return "";
  const tolerates = cluster.state.health.tolerates;
  if (tolerates > 0) return ` The cluster then tolerates ${tolerates - 1} more failure${tolerates === 2 ? "" : "s"}.`;
  return " The cluster cannot lose it: without it there is no majority, and nothing can be written.";
}

async function act(action, row) {
  const title = `${action.label} ${row.name}?`;
  if (!(await confirmed({ title, text: action.says(row), yes: action.label, danger: action.danger, typed: action.typed ? row.name : null }))) return;
  notice(`${action.label} ${row.name} …`);
  try {
    await post(NODE(row, action.verb), undefined);
    notice(`${action.label} ${row.name}: done`);
  } catch (refused) {
    // The node that serves this page may be gone before it has answered.
    if (action.verb === "kill" && row.id === cluster.state.via && refused.status === 0) return notice(`${action.label} ${row.name}: done`);
    notice(`${action.label} ${row.name}: ${refused.message}`, true);
  }
}

function makeRow() {
  const line = h("tr", {});
  for (let at = 0; at < COLUMNS.length; at += 1) {
    if (at === 0) line.append(h("th", { scope: "row" }));
    else line.append(h("td", {}, at === BUTTONS ? h("div", { class: "actions" }) : ""));
  }
  return line;
}

function updateRow(line, row) {
  line.className = row.state;
  line.title = row.problem || "";
  cells(row).forEach((cell, at) => {
    const place = line.children[at];
    if (at === BUTTONS) return;
    if (cell instanceof Node) {
      if (place.textContent !== cell.textContent || place.firstChild?.title !== cell.title) put(place, cell);
    } else say(place, cell);
  });
  // Buttons stay the same elements, so that one keeps the focus while the numbers beside it move.
  const may = ACTIONS.filter((action) => action.when(row));
  const place = line.children[BUTTONS].firstChild;
  each(place, may, (action) => action.verb,
    (action) => h("button", { type: "button", class: action.danger ? "danger" : null, "aria-label": `${action.label} ${row.name}`,
      onclick: () => act(action, cluster.state.members.find((other) => other.id === row.id) || row) }, action.label),
    () => {});
}

export function drawNodes() {
  const state = cluster.state;
  if (!state) return;
  const table = $("nodes");
  if (!table.tHead.firstChild) {
    table.tHead.append(h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name))));
  }
  const via = state.members.find((row) => row.id === state.via);
  say($("via"), `as ${via ? via.name : `node ${state.via}`} sees them`);
  each(table.tBodies[0], state.members, (row) => row.id, makeRow, updateRow);
}

/** Saves a snapshot of the node that serves this page as a file. */
async function snapshot() {
  const sure = await confirmed({ title: "Save a snapshot?", text: "The whole state of the store, as this node has it, becomes a file of this computer. hstore-server restore starts a new cluster from it.", yes: "Save" });
  if (!sure) return;
  notice("The snapshot is made …");
  try {
    const response = await ask("/cluster/snapshot", { method: "POST" });
    const blob = await response.blob();
    const link = h("a", { href: URL.createObjectURL(blob), download: `${cluster.state?.cluster.name || "hstore"}-${cluster.state?.revision || 0}.snapshot` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    notice(`The snapshot is saved: ${size(blob.size)}`);
  } catch (refused) {
    notice(`No snapshot: ${refused.message}`, true);
  }
}

export function beginNodes() {
  $("snapshot").addEventListener("click", snapshot);
}
