// The log of each node, as it grows. Only the view that is open asks.

import { cluster, follow, logs } from "./cluster.js";
import { $, h, put, say } from "./dom.js";
import { clock, plain } from "./text.js";

const LEVELS = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
const LINES_MAX = 3000;
const EVERY_MS = 1000;

let open = null;
let paused = false;
/** For each node the number of its last line that is here. */
let heard = new Map();
let lines = [];
const refusals = new Map();

const wanted = () => $("log-node").value;

function fits(line) {
  const text = $("log-text").value.toLowerCase();
  return (
    LEVELS.indexOf(line.level) <= LEVELS.indexOf($("log-level").value) &&
    (!text || line.text.toLowerCase().includes(text) || line.target.toLowerCase().includes(text))
  );
}

function draw() {
  const place = $("log");
  const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  const several = wanted() === "all";
  const shown = lines.filter(fits).slice(-1000);
  put(place, shown.map((line) =>
    h("li", { class: line.level.toLowerCase() }, h("time", {}, clock(line.time_ms)), several ? h("span", { class: "who" }, line.who) : "",
      h("span", { class: "level" }, line.level), h("span", { class: "target" }, line.target), plain(line.text))));
  const wrong = [...refusals.values()].join("; ");
  say($("log-count"), `${shown.length} of ${lines.length} lines${paused ? ", paused" : ""}${wrong ? `; ${wrong}` : ""}`);
  if (atEnd) place.scrollTop = place.scrollHeight;
}

async function look(signal) {
  const state = cluster.state;
  if (!state || paused) return;
  const rows = state.members.filter((row) => row.state === "up" && (wanted() === "all" || String(row.id) === wanted()));
  const asked = rows.map(async (row) => {
    try {
      const told = await logs(row.id, heard.get(row.id) || 0, 500, signal);
      refusals.delete(row.id);
      if (told.lines.length || told.last < (heard.get(row.id) || 0)) heard.set(row.id, told.last);
      return told.lines.map((line) => ({ ...line, who: row.name }));
    } catch (refused) {
      if (!signal.aborted) refusals.set(row.id, `${row.name}: ${refused.message}`);
      return [];
    }
  });
  const fresh = (await Promise.all(asked)).flat();
  if (signal.aborted) return;
  if (fresh.length) {
    lines.push(...fresh);
    lines.sort((a, b) => a.time_ms - b.time_ms || a.number - b.number);
    lines = lines.slice(-LINES_MAX);
  }
  if (fresh.length || refusals.size || !$("log").children.length) draw();
}

async function watch(signal) {
  while (!signal.aborted) {
    await look(signal);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function again() {
  heard = new Map();
  lines = [];
  refusals.clear();
  put($("log"));
  if (open) look(open.signal);
}

function fillNodes() {
  const select = $("log-node");
  const rows = cluster.state?.members || [];
  const now = rows.map((row) => `${row.id} ${row.name}`).join("|");
  if (select.dataset.rows === now) return;
  select.dataset.rows = now;
  const before = select.value || String(cluster.state?.via ?? "all");
  put(select, h("option", { value: "all" }, "all nodes"), rows.map((row) => h("option", { value: row.id }, row.name)));
  select.value = [...select.options].some((option) => option.value === before) ? before : "all";
}

export function openLogs() {
  if (open) return;
  open = new AbortController();
  fillNodes();
  watch(open.signal);
}

export function closeLogs() {
  open?.abort();
  open = null;
}

export function beginLogs() {
  $("log-filter").addEventListener("submit", (event) => event.preventDefault());
  $("log-node").addEventListener("change", again);
  $("log-level").addEventListener("change", draw);
  $("log-text").addEventListener("input", draw);
  $("log-pause").addEventListener("click", () => {
    paused = !paused;
    $("log-pause").setAttribute("aria-pressed", String(paused));
    draw();
  });
  follow((what) => {
    if (what === "state" && open) fillNodes();
  });
}
