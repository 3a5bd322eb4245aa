// The node, over HTTP: requests, refusals, streams of events. The token of who signed in is kept for
// this tab alone.

const TOKEN = "hstore-token";

let onSignIn = () => {};

/** What to do when the node asks who is there. */
export function whenAsked(listener) {
  onSignIn = listener;
}

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

export function signOut() {
  sessionStorage.removeItem(TOKEN);
}

/** A refusal of the node, or of the way to it. */
export class Refusal extends Error {
  constructor(code, detail, status) {
    super(detail);
    this.code = code;
    this.status = status;
  }
}

function headers(given) {
  const all = new Headers(given);
  const token = sessionStorage.getItem(TOKEN);
  if (token) all.set("Authorization", `Bearer ${token}`);
  return all;
}

async function refusal(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // Whoever stands between did not say it in JSON.
  }
  const code = told.code && typeof told.code === "string" ? told.code : `http_${response.status}`;
  const detail = told.detail || told.message || `the answer was ${response.status}`;
  if (response.status === 401) onSignIn(new Refusal(code, detail, 401));
  return new Refusal(code, detail, response.status);
}

/** The response to a request; a refusal is thrown. */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      ...options,
      headers: headers(options.headers),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refusal("unreachable", "the node does not answer", 0);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export const get = async (path, options) => (await ask(path, options)).json();

export async function post(path, body, options = {}) {
  const sent = { ...options, method: options.method || "POST" };
  if (body !== undefined) {
    sent.body = JSON.stringify(body);
    sent.headers = { "Content-Type": "application/json", ...options.headers };
  }
  const text = await (await ask(path, sent)).text();
  return text ? JSON.parse(text) : null;
}

/** Signs in; the refusal of a wrong password is thrown. */
export async function signIn(name, password) {
  signOut();
  const told = await post("/v3/auth/authenticate", { name, password });
  sessionStorage.setItem(TOKEN, told.token);
}

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** Parts of a text that comes piece by piece, ended by an empty line. */
async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      yield rest.slice(0, end);
      rest = rest.slice(end + 2);
    }
  }
}

function event(block) {
  const found = { name: "message", id: null, data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) found.name = line.slice(7);
    else if (line.startsWith("id: ")) found.id = line.slice(4);
    else if (line.startsWith("data: ")) found.data += line.slice(6);
  }
  return found.data ? found : null;
}

/**
 * Listens to a stream of events until the signal says to stop, and comes back when it breaks.
 * `on.event(name, data)`, `on.open()`, `on.lost(refusal)`. EventSource is not used: it cannot say
 * who asks.
 */
export async function listen(path, signal, on) {
  let last = null;
  let wait = 250;
  while (!signal.aborted) {
    try {
      const known = last === null ? {} : { "Last-Event-ID": last };
      const response = await ask(path, {
        signal,
        headers: { Accept: "text/event-stream", ...known },
      });
      on.open?.();
      wait = 250;
      for await (const block of blocks(response.body)) {
        const heard = event(block);
        if (!heard) continue;
        if (heard.id !== null) last = heard.id;
        on.event(heard.name, JSON.parse(heard.data));
      }
      if (!signal.aborted) on.lost?.(new Refusal("unreachable", "the stream ended", 0));
    } catch (error) {
      if (signal.aborted) return;
      const refused = error instanceof Refusal ? error : new Refusal("unreachable", "the stream broke", 0);
      on.lost?.(refused);
      // What was refused for a reason is not asked for again by itself.
      if (refused.status >= 400 && refused.status < 500 && refused.status !== 429) return;
    }
    await pause(wait, signal);
    wait = Math.min(wait * 2, 2000);
  }
}
