// The head of the page: one sentence on how the cluster is, and its positions.

import { cluster, nameOf } from "./cluster.js";
import { $, h, put, say } from "./dom.js";
import { count, plain } from "./text.js";

const MARKS = { healthy: "✓", degraded: "!", electing: "…", no_quorum: "✕", unknown: "?" };

function level() {
  if (!cluster.state) return "unknown";
  if (!cluster.connected) return "no_quorum";
  return cluster.state.health.level;
}

function sentence() {
  if (!cluster.connected && cluster.trouble) {
    const was = cluster.state ? "; what is shown is as of then" : "";
    return `this node does not answer (${cluster.trouble})${was}`;
  }
  return cluster.state ? cluster.state.health.sentence : "asking the node";
}

/** Whether anybody leads who answers. */
const leads = (state) => state.members.some((row) => row.id === state.leader && row.state === "up");

const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));

export function drawHealth() {
  const state = cluster.state;
  const box = $("health");
  box.className = `health ${level()}`;
  say(box.querySelector(".mark"), MARKS[level()]);
  say($("health-text"), sentence());
  if (!state) return;
  put($("cluster-name"), plain(state.cluster.name));
  document.title = `${MARKS[level()]} ${state.cluster.name} · hstore`;
  const gap = Math.max(0, state.commit - state.applied);
  put(
    $("facts"),
    fact("Leader", leads(state) ? plain(nameOf(state.leader)) : "none"),
    fact("Term", count(state.term)),
    fact("Revision", count(state.revision)),
    fact("Applied", count(state.applied), gap ? h("span", { class: "warn" }, ` ${count(gap)} behind`) : ""),
    fact("Version", state.versions.join(", ") || "–", state.versions.length > 1 ? h("span", { class: "warn" }, " mixed") : ""),
    fact("Cluster id", h("code", {}, state.cluster.id)),
    state.joint ? fact("Voters", h("span", { class: "warn" }, "changing")) : "",
    state.alarms.length
      ? fact("Alarms", h("span", { class: "bad" }, state.alarms.map((alarm) => `${alarm.kind} (node ${alarm.node})`).join(", ")))
      : "",
  );
}
