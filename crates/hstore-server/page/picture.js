// The cluster as a picture: nodes on a ring, the leader's streams to all others, how far behind each
// is. What it shows is said in words beside it, and in the table below.

import { cluster, vitals } from "./cluster.js";
import { $, each, h, s, say } from "./dom.js";
import { count, micros } from "./text.js";

const WIDTH = 640;
const HEIGHT = 380;

let svg;

function places(rows) {
  const many = rows.length > 12;
  const radius = many ? 10 : rows.length > 7 ? 20 : 27;
  const [rx, ry] = [WIDTH / 2 - (many ? 80 : 120), HEIGHT / 2 - (many ? 40 : 62)];
  const found = new Map();
  rows.forEach((row, at) => {
    const angle = (at / rows.length) * 2 * Math.PI - Math.PI / 2;
    const alone = rows.length === 1;
    found.set(row.id, {
      x: WIDTH / 2 + (alone ? 0 : rx * Math.cos(angle)),
      y: HEIGHT / 2 - 6 + (alone ? 0 : ry * Math.sin(angle)),
      radius,
      many,
      // Of many, each name stands outside of the ring.
      out: { x: Math.cos(angle), y: Math.sin(angle) },
    });
  });
  return found;
}

const short = (name) => (name.length > 14 ? `${name.slice(0, 13)}…` : name);

/** What stands in a node: a sign, so that no colour is needed to know what it is. */
function sign(row) {
  if (row.state !== "up") return "✕";
  if (row.id === cluster.state.leader) return "★";
  if (row.role === "candidate") return "?";
  if (!row.voter) return "◌";
  return "●";
}

function kind(row) {
  if (row.state !== "up") return "down";
  if (row.id === cluster.state.leader) return "leader";
  if (row.role === "candidate") return "candidate";
  return row.voter ? "follower" : "learner";
}

function note(row) {
  if (row.state !== "up") return row.state;
  if (row.lag > 0) return `${count(row.lag)} behind`;
  return row.id === cluster.state.leader ? `leader, term ${row.term}` : `${row.role}, term ${row.term}`;
}

function makeNode() {
  return s(
    "g",
    {},
    s("circle", { class: "halo" }),
    s("circle", { class: "body" }),
    s("text", { class: "sign", "text-anchor": "middle", "dominant-baseline": "central" }),
    s("text", { class: "name", "text-anchor": "middle" }),
    s("text", { class: "note", "text-anchor": "middle" }),
  );
}

function updateNode(group, row, place) {
  const { x, y, radius, many, out } = place;
  group.setAttribute("class", `node ${kind(row)}`);
  group.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
  const [halo, body, mark, name, text] = group.children;
  halo.setAttribute("r", radius + 6);
  body.setAttribute("r", radius);
  mark.setAttribute("font-size", radius);
  say(mark, sign(row));
  name.setAttribute("x", many ? (out.x * (radius + 5)).toFixed(1) : 0);
  name.setAttribute("y", many ? (out.y * (radius + 10) + 3).toFixed(1) : radius + 17);
  name.setAttribute("text-anchor", !many || Math.abs(out.x) < 0.15 ? "middle" : out.x > 0 ? "start" : "end");
  name.setAttribute("font-size", many ? 9 : 14);
  say(name, short(row.name));
  text.setAttribute("y", radius + 33);
  say(text, many ? "" : note(row));
}

const makeLink = () => s("g", {}, s("line", { class: "wire" }), s("line", { class: "flow" }), s("text", { class: "note", "text-anchor": "middle" }));

function updateLink(group, row, from, to, trip) {
  const state = row.state !== "up" ? "cut" : row.lag > 0 ? "late" : "live";
  group.setAttribute("class", `link ${state}`);
  for (const line of [group.children[0], group.children[1]]) {
    line.setAttribute("x1", from.x.toFixed(1));
    line.setAttribute("y1", from.y.toFixed(1));
    line.setAttribute("x2", to.x.toFixed(1));
    line.setAttribute("y2", to.y.toFixed(1));
  }
  const text = group.children[2];
  text.setAttribute("x", (from.x + (to.x - from.x) * 0.55).toFixed(1));
  text.setAttribute("y", (from.y + (to.y - from.y) * 0.55 - 5).toFixed(1));
  say(text, to.many || state === "cut" || !trip ? "" : micros(trip.mean_us));
}

function words(state) {
  const up = state.members.filter((row) => row.state === "up").length;
  const leader = state.members.find((row) => row.id === state.leader && row.state === "up");
  const lead = leader ? `${leader.name} leads in term ${state.term}` : "nobody leads";
  const late = state.members.filter((row) => row.state === "up" && row.lag > 0);
  const behind = late.length ? `, ${late.length} behind by up to ${count(Math.max(...late.map((row) => row.lag)))} entries` : "";
  return `${up} of ${state.members.length} nodes answer, ${lead}${behind}`;
}

export function drawPicture() {
  const state = cluster.state;
  if (!state) return;
  if (!svg) {
    const figure = $("picture");
    svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": "picture-text" }, s("g"), s("g"));
    figure.append(svg, h("p", { class: "legend quiet" }, "★ leader  ● follower  ◌ learner  ? candidate  ✕ does not answer"));
  }
  const at = places(state.members);
  const leader = state.members.find((row) => row.id === state.leader && row.state === "up");
  const others = leader ? state.members.filter((row) => row !== leader) : [];
  const trips = leader ? vitals(leader)?.peers || [] : [];
  each(svg.children[0], others, (row) => row.id, makeLink, (group, row) =>
    updateLink(group, row, at.get(leader.id), at.get(row.id), trips.find((trip) => trip.node === row.id)));
  each(svg.children[1], state.members, (row) => row.id, makeNode, (group, row) => updateNode(group, row, at.get(row.id)));
  const moved = cluster.past[cluster.past.length - 1]?.writes > 0;
  svg.classList.toggle("busy", Boolean(moved));
  say($("picture-text"), words(state));
}
