// What is known of the cluster: the newest state, the last minutes of it, and what happened. Views
// ask to be told of changes; they hold nothing of their own.

import { get, listen } from "./api.js";

/** How much of the past the charts have: what nodes keep of it. */
export const PAST_MS = 10 * 60 * 1000;

const HAPPENINGS_MAX = 200;

export const cluster = {
  /** The newest state, or null while nothing was heard. */
  state: null,
  /** Whether the node that serves this page answers. */
  connected: false,
  /** What is wrong with the connection, in words. */
  trouble: "",
  /** One look a second: { at, requests, p50, p99, sync, writes... }. */
  past: [],
  /** What happened, the newest first. */
  happenings: [],
  /** When leaders were elected. */
  elections: [],
};

const listeners = new Set();

export function follow(listener) {
  listeners.add(listener);
}

function tell(what) {
  for (const listener of listeners) listener(what);
}

export const member = (id) => cluster.state?.members.find((row) => row.id === id);
export const nameOf = (id) => member(id)?.name || `node ${id}`;

/** Vitals as they may not be there. */
export const vitals = (row) => (row.state === "up" && row.vitals) || null;

function happened(kind, text, at = Date.now()) {
  cluster.happenings.unshift({ kind, text, at, key: `${at}-${Math.random()}` });
  cluster.happenings.length = Math.min(cluster.happenings.length, HAPPENINGS_MAX);
}

function elected(at, term, leader) {
  if (cluster.elections.some((known) => known.term === term)) return;
  cluster.elections.push({ at, term, leader });
  if (cluster.elections.length > HAPPENINGS_MAX) cluster.elections.shift();
  happened("leader", `${nameOf(leader)} leads in term ${term}`, at);
}

const WORDS = { up: "is up", down: "does not answer", stopped: "is stopped" };

function compare(before, after) {
  const known = new Map(before.members.map((row) => [row.id, row]));
  for (const row of after.members) {
    const former = known.get(row.id);
    known.delete(row.id);
    if (!former) happened("join", `${row.name} is in the cluster`);
    else {
      if (former.state !== row.state) happened(row.state === "up" ? "up" : "down", `${row.name} ${WORDS[row.state]}`);
      if (former.voter !== row.voter) happened("vote", `${row.name} ${row.voter ? "votes" : "has no vote any more"}`);
    }
  }
  for (const gone of known.values()) happened("leave", `${gone.name} left the cluster`);
  if (before.joint !== after.joint) {
    happened("vote", after.joint ? "a change of voters is under way" : "the change of voters is done");
  }
  if (before.quorum && !after.quorum) happened("down", "no majority of the voters can be reached");
  if (!before.quorum && after.quorum) happened("up", "a majority of the voters can be reached");
  const alarms = (state) => state.alarms.map((alarm) => `${alarm.kind} of node ${alarm.node}`);
  const raised = alarms(before);
  for (const alarm of alarms(after)) if (!raised.includes(alarm)) happened("down", `alarm ${alarm}`);
  for (const alarm of raised) if (!alarms(after).includes(alarm)) happened("up", `the alarm ${alarm} is over`);
}

function remember(state) {
  const rows = state.members.map(vitals).filter(Boolean);
  const sum = (of) => rows.reduce((total, row) => total + (of(row) || 0), 0);
  const worst = (of) => rows.reduce((most, row) => Math.max(most, of(row) || 0), 0);
  const calls = (name) => sum((row) => row.calls.find((call) => call.call.endsWith(name))?.per_second);
  const look = {
    at: Date.now(),
    requests: sum((row) => row.requests_per_second),
    reads: calls("KV/Range"),
    writes: calls("KV/Put") + calls("KV/DeleteRange") + calls("KV/Txn"),
    p50: worst((row) => row.requests.p50_us),
    p99: worst((row) => row.requests.p99_us),
    sync50: worst((row) => row.log_sync.p50_us),
    sync99: worst((row) => row.log_sync.p99_us),
    lag: state.members.reduce((most, row) => Math.max(most, row.lag || 0), 0),
  };
  const last = cluster.past[cluster.past.length - 1];
  if (last && look.at - last.at < 700) cluster.past.pop();
  cluster.past.push(look);
  while (cluster.past[0].at < look.at - PAST_MS - 2000) cluster.past.shift();
}

/** What the members keep of the time before this page was opened, put together and before all else. */
async function recall(state) {
  const asked = state.members.filter((row) => row.state === "up").map((row) => get(`/cluster/nodes/${row.id}/past`).then((told) => ({ told, at: Date.now() })));
  // A member that does not answer leaves its part out.
  const pasts = (await Promise.allSettled(asked)).filter((one) => one.status === "fulfilled").map((one) => one.value);
  if (!pasts.length || cluster.state?.cluster.id !== state.cluster.id) return;
  const step = Math.max(...pasts.map(({ told }) => told.interval_ms));
  const places = new Map();
  for (const { told, at } of pasts) {
    for (const row of told.rows) {
      const place = Math.floor((at - row.ago_ms) / step);
      if (!places.has(place)) places.set(place, new Map());
      places.get(place).set(told.node, row);
    }
  }
  const looks = [...places.keys()].sort((a, b) => a - b).map((place) => {
    // A row that fell into the place before stands for this one, too.
    const all = [...new Map([...(places.get(place - 1) || []), ...places.get(place)]).values()];
    const sum = (of) => all.reduce((total, row) => total + of(row), 0);
    const worst = (of) => Math.max(...all.map(of));
    return {
      at: place * step,
      requests: sum((row) => row.requests_per_second),
      reads: sum((row) => row.reads_per_second),
      writes: sum((row) => row.writes_per_second),
      p50: worst((row) => row.requests_p50_us),
      p99: worst((row) => row.requests_p99_us),
      sync50: worst((row) => row.log_sync_p50_us),
      sync99: worst((row) => row.log_sync_p99_us),
      lag: worst((row) => row.lag),
      recalled: true,
    };
  });
  const live = cluster.past.filter((look) => !look.recalled);
  const first = live.length ? live[0].at : Date.now();
  cluster.past = [...looks.filter((look) => look.at < first && look.at >= Date.now() - PAST_MS), ...live];
  tell("state");
}

function accept(state) {
  const before = cluster.state;
  cluster.state = state;
  if (before?.cluster.id !== state.cluster.id) recall(state);
  if (before && before.cluster.id === state.cluster.id) compare(before, state);
  for (const election of state.elections || []) elected(election.at_ms, election.term, election.leader);
  remember(state);
  tell("state");
}

function change(told) {
  const before = cluster.state;
  if (!before) return;
  const { members = [], gone = [], ...rest } = told;
  const rows = new Map(before.members.map((row) => [row.id, row]));
  for (const row of members) rows.set(row.id, row);
  for (const id of gone) rows.delete(id);
  const all = [...rows.values()].sort((a, b) => a.id - b.id);
  accept({ ...before, ...rest, members: all });
}

function standing(told) {
  const state = cluster.state;
  if (!state) return;
  if (told.role === "candidate") happened("vote", `${nameOf(told.node)} asks for votes in term ${told.term}`);
  else if (told.leader === null && state.leader !== null) happened("down", `no leader is known in term ${told.term}`);
  const rows = state.members.map((row) => (row.id === told.node ? { ...row, role: told.role, term: told.term } : row));
  cluster.state = { ...state, term: told.term, leader: told.leader, quorum: told.quorum, members: rows };
  if (told.leader !== null) elected(told.at_ms, told.term, told.leader);
  tell("state");
}

let stop = null;

/** Begins to listen; again is no harm. */
export function begin() {
  if (stop) return;
  stop = new AbortController();
  listen("/cluster/events", stop.signal, {
    open() {
      cluster.connected = true;
      cluster.trouble = "";
      tell("connection");
    },
    lost(refused) {
      cluster.connected = false;
      cluster.trouble = refused.message;
      tell("connection");
      if (refused.status >= 400) stop = null;
    },
    event(name, data) {
      if (name === "state") accept(data);
      else if (name === "change") change(data);
      else if (name === "standing") standing(data);
    },
  });
}

/** Stops listening: a page that nobody looks at holds no connection. */
export function end() {
  stop?.abort();
  stop = null;
}

/** A node's log behind a line. */
export const logs = (id, after, limit, signal) =>
  get(`/cluster/nodes/${id}/logs?after=${after}&limit=${limit}`, { signal });
