// The last minutes as lines, drawn by hand on canvases. Each chart says its newest numbers in words.

import { cluster, PAST_MS } from "./cluster.js";
import { $, h, say } from "./dom.js";
import { count, micros, rate } from "./text.js";

const HEIGHT = 120;

/** Nodes keep a row of their past every three seconds; where one is missing nothing was heard. */
const GAP_MS = 7000;

const CHARTS = [
  {
    title: "Requests in a second",
    lines: [
      { name: "reads", of: (look) => look.reads, class: "one" },
      { name: "writes", of: (look) => look.writes, class: "two", dash: [5, 3] },
    ],
    word: rate,
  },
  {
    title: "How long requests take, the slowest node",
    lines: [
      { name: "half of them", of: (look) => look.p50, class: "one" },
      { name: "99 of 100", of: (look) => look.p99, class: "two", dash: [5, 3] },
    ],
    word: micros,
  },
  {
    title: "How long the log takes to sync, the slowest node",
    lines: [
      { name: "half of them", of: (look) => look.sync50, class: "one" },
      { name: "99 of 100", of: (look) => look.sync99, class: "two", dash: [5, 3] },
    ],
    word: micros,
  },
  {
    title: "Entries behind, and elections",
    lines: [{ name: "the furthest behind", of: (look) => look.lag, class: "one" }],
    word: count,
    elections: true,
  },
];

const made = [];

function make() {
  for (const chart of CHARTS) {
    const canvas = h("canvas", { "aria-hidden": "true" });
    const now = h("p", { class: "quiet" });
    const keys = chart.lines.map((line) => h("span", { class: `key ${line.class}` }, line.name));
    if (chart.elections) keys.push(h("span", { class: "key election" }, "an election"));
    $("charts").append(h("figure", { class: "card chart" }, h("figcaption", {}, chart.title), canvas, h("div", { class: "row wrap" }, keys), now));
    made.push({ chart, canvas, now });
  }
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A round number that is not below. */
function above(value) {
  if (value <= 0) return 1;
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * step).find((top) => top >= value);
}

/** How much of the past is shown: a minute at first, then all that is known. */
function span(end) {
  const known = cluster.past.length ? end - cluster.past[0].at : 0;
  return Math.min(PAST_MS, Math.max(60000, Math.ceil(known / 60000) * 60000));
}

function draw({ chart, canvas, now }, end) {
  const width = canvas.clientWidth || 300;
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.clearRect(0, 0, width, HEIGHT);
  const top = above(Math.max(...cluster.past.flatMap((look) => chart.lines.map((line) => line.of(look) || 0)), 0));
  const past = span(end);
  const x = (at) => width - ((end - at) / past) * width;
  const y = (value) => HEIGHT - 6 - (value / top) * (HEIGHT - 24);
  pen.font = "11px system-ui, sans-serif";
  pen.strokeStyle = colour("--line");
  pen.fillStyle = colour("--quiet");
  pen.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(0, Math.round(y(top * part)) + 0.5);
    pen.lineTo(width, Math.round(y(top * part)) + 0.5);
    pen.stroke();
  }
  pen.fillText(chart.word(top), 3, 12);
  pen.textAlign = "right";
  pen.fillText(past === 60000 ? "the last minute" : `the last ${past / 60000} minutes`, width - 3, 12);
  if (chart.elections) {
    pen.strokeStyle = colour("--warn");
    pen.lineWidth = 2;
    for (const election of cluster.elections) {
      const at = x(election.at);
      if (at < 0) continue;
      pen.beginPath();
      pen.moveTo(at, 18);
      pen.lineTo(at, HEIGHT - 6);
      pen.stroke();
    }
  }
  for (const line of chart.lines) {
    pen.strokeStyle = colour(line.class === "one" ? "--one" : "--two");
    pen.lineWidth = 1.8;
    pen.setLineDash(line.dash || []);
    pen.beginPath();
    let last = null;
    for (const look of cluster.past) {
      const value = y(line.of(look) || 0);
      // A gap in what was heard is a gap in the line.
      if (last === null || look.at - last > GAP_MS) pen.moveTo(x(look.at), value);
      else pen.lineTo(x(look.at), value);
      last = look.at;
    }
    pen.stroke();
  }
  pen.setLineDash([]);
  const newest = cluster.past[cluster.past.length - 1];
  if (newest) say(now, `now: ${chart.lines.map((line) => `${line.name} ${chart.word(line.of(newest))}`).join(", ")}`);
}

export function drawCharts() {
  if (!made.length) make();
  const end = Date.now();
  for (const one of made) draw(one, end);
}

const SIGNS = { leader: "★", up: "↑", down: "✕", vote: "◇", join: "+", leave: "−" };

/** What happened, as a list of words. */
export function drawHappenings() {
  const list = $("happenings");
  const known = new Set([...list.children].map((child) => child.dataset.key));
  const fresh = cluster.happenings.filter((one) => !known.has(one.key)).reverse();
  for (const one of fresh) {
    const time = new Date(one.at).toLocaleTimeString("en-GB", { hour12: false });
    const line = h("li", { class: one.kind, "data-key": one.key }, h("time", {}, time), h("span", { class: "mark", "aria-hidden": "true" }, SIGNS[one.kind]), h("span", {}, one.text));
    list.prepend(line);
  }
  while (list.children.length > 100) list.lastChild.remove();
  if (!list.children.length) list.append(h("li", { class: "quiet", "data-key": "none" }, "Nothing yet."));
  else list.querySelector('[data-key="none"]')?.remove();
}

