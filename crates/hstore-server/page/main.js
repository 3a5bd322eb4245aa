// The page: views by the part of the address behind the hash, one stream of events for all of them.

import { ask, isSignedIn, signIn, signOut, whenAsked } from "./api.js";
import { drawCharts, drawHappenings } from "./charts.js";
import { begin, cluster, end, follow } from "./cluster.js";
import { credentials, notice } from "./dialog.js";
import { $ } from "./dom.js";
import { drawHealth } from "./health.js";
import { beginKeys, closeKeys, openKeys } from "./keys.js";
import { beginLogs, closeLogs, openLogs } from "./logs.js";
import { beginNodes, drawNodes } from "./nodes.js";
import { drawPicture } from "./picture.js";
import { beginSettings, closeSettings, openSettings } from "./settings.js";

const VIEWS = {
  cluster: { open: draw, close() {} },
  keys: { open: openKeys, close: closeKeys },
  logs: { open: openLogs, close: closeLogs },
  settings: { open: openSettings, close: closeSettings },
};

let view = null;
let drawing = false;

function draw() {
  drawHealth();
  if (view !== "cluster" || document.hidden) return;
  drawPicture();
  drawNodes();
  drawCharts();
  drawHappenings();
}

/** Draws once, however much came since the last time. */
function soon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function go() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const wanted = VIEWS[name] ? name : "cluster";
  if (wanted !== view) {
    if (view) VIEWS[view].close();
    view = wanted;
    for (const other of Object.keys(VIEWS)) $(`view-${other}`).hidden = other !== wanted;
    for (const link of document.querySelectorAll("nav a")) {
      if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  VIEWS[wanted].open(rest.join("/"));
}

let asking = false;

async function whoIsThere(refused) {
  if (asking) return;
  asking = true;
  end();
  let why = { text: isSignedIn() ? refused.message : "This cluster asks who is there.", bad: isSignedIn() };
  for (;;) {
    const given = await credentials(why);
    if (!given) break;
    try {
      await signIn(given.name, given.password);
      break;
    } catch (wrong) {
      why = { text: wrong.message, bad: true };
    }
  }
  asking = false;
  $("sign-out").hidden = !isSignedIn();
  if (!isSignedIn()) return notice("Not signed in: nothing can be shown.", true);
  notice("");
  begin();
  const now = view;
  VIEWS[now].close();
  view = null;
  go();
}

/** What a demo adds to the page, where this node is one. */
async function demo() {
  try {
    // A node that is no demo says that it has nothing to say.
    if ((await ask("/demo/state")).status !== 200) return;
  } catch {
    return;
  }
  $("demo").hidden = false;
  await import("/demo.js");
}

whenAsked(whoIsThere);
follow(soon);
$("sign-out").hidden = !isSignedIn();
$("sign-out").addEventListener("click", () => {
  signOut();
  location.reload();
});
beginNodes();
beginKeys();
beginLogs();
beginSettings();
addEventListener("hashchange", go);
addEventListener("resize", soon);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) end();
  else if (!asking) begin();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
go();
begin();
demo();
// Times go on when nothing else does.
setInterval(() => cluster.state && soon(), 1000);
