// The panel of the demo: it fills <section id="demo">, here or in the page of a node.
//
// Whatever comes from the demo is shown as text. Rows are made once and then changed, so that what
// has the focus keeps it.
"use strict";
(() => {
  const root = document.getElementById("demo");
  if (!root) return;
  root.hidden = false;

  if (!document.querySelector('link[href="/demo.css"]')) {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = "/demo.css";
    document.head.append(style);
  }

  /** An element with a text, properties and children. */
  const make = (tag, text = "", properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    if (text) element.textContent = text;
    element.append(...children);
    return element;
  };
  const set = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const button = (text, act, label) => {
    const made = make("button", text, { type: "button" });
    if (label) made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  const options = (select, pairs) => {
    for (const [value, text] of pairs) select.append(make("option", text, { value }));
    return select;
  };
  const labelled = (text, control) => make("label", `${text} `, {}, control);

  const error = make("p", "", { className: "demo-error" });
  error.setAttribute("role", "alert");

  /** Asks the demo for something; a refusal is shown. */
  const ask = async (wish) => {
    set(error, "");
    try {
      const answer = await fetch("/demo/act", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(wish),
      });
      if (!answer.ok) set(error, (await answer.json()).detail);
    } catch {
      set(error, "The demo does not answer; it may have ended.");
    }
  };

  // What is written.
  const writes = make("p", "", { className: "demo-writes" });
  const rate = make("span");
  const [acknowledged, readBack, lost] = [make("strong"), make("strong"), make("strong")];
  writes.append(acknowledged, " writes acknowledged, ", readBack, " read back, ", lost, " lost ", rate);
  const unknown = make("p");
  const violations = make("ul");
  let before = null;

  const showWrites = (told) => {
    set(acknowledged, String(told.acknowledged));
    set(readBack, String(told.read_back));
    set(lost, String(told.lost));
    lost.className = told.lost ? "demo-bad" : "demo-good";
    const now = performance.now();
    if (!before || now - before.at > 2000) {
      if (before) {
        const each = ((told.acknowledged - before.count) * 1000) / (now - before.at);
        set(rate, `(${each.toFixed(0)} each second)`);
      }
      before = { at: now, count: told.acknowledged };
    }
    const silent = told.silent_ms > 1000
      ? ` No write has been acknowledged for ${(told.silent_ms / 1000).toFixed(0)} s.` : "";
    set(unknown, `${told.unknown} without an answer, of which ${told.unknown_done} turned out to be done and `
      + `${told.unknown_not_done} not; ${told.refused} refused.${silent}`);
    unknown.className = silent ? "demo-warn" : "";
    while (violations.children.length > told.violations.length) violations.lastChild.remove();
    told.violations.forEach((text, place) => {
      if (!violations.children[place]) violations.append(make("li", "", { className: "demo-bad" }));
      set(violations.children[place], text);
    });
  };

  // The nodes.
  const body = make("tbody");
  const head = make("tr");
  for (const text of ["Node", "State", "Term", "Applied", "Disk", "Do"]) head.append(make("th", text, { scope: "col" }));
  const table = make("table", "", {}, make("caption", "Nodes"), make("thead", "", {}, head), body);
  const rows = new Map();

  const row = (node) => {
    const { number, name } = node;
    const disk = options(document.createElement("select"),
      [["free", "as it is"], ["slow", "slow"], ["stuck", "stuck"]]);
    disk.setAttribute("aria-label", `Disk of ${name}`);
    disk.addEventListener("change", () => ask({ action: "disk", node: number, mode: disk.value }));
    const cells = { state: make("td"), term: make("td"), applied: make("td") };
    const kill = button("Kill", () => ask({ action: "kill", node: number }), `Kill ${name}`);
    const pause = button("Pause", () => ask({ action: pause.dataset.act, node: number }));
    const restart = button("Restart", () => ask({ action: "restart", node: number }));
    const title = make("th", name, { scope: "row", title: node.client });
    body.append(make("tr", "", {}, title, cells.state, cells.term, cells.applied,
      make("td", "", {}, disk), make("td", "", {}, kill, pause, restart)));
    return { ...cells, disk, kill, pause, restart };
  };
  const state = (node, leader) => {
    if (node.life === "dead") return ["dead", "demo-bad"];
    if (node.life === "paused") return ["stands still", "demo-warn"];
    if (!node.says) return ["does not answer", "demo-warn"];
    if (node.number === leader) return ["leads", "demo-good"];
    if (node.says.problems.length) return [node.says.problems.join(", "), "demo-warn"];
    if (node.says.role === "leader") return ["believes that it leads", "demo-warn"];
    return [node.says.leader ? "follows" : "knows no leader", node.says.leader ? "" : "demo-warn"];
  };
  const showNodes = (nodes, leader) => {
    for (const node of nodes) {
      if (!rows.has(node.number)) rows.set(node.number, row(node));
      const known = rows.get(node.number);
      const [text, look] = state(node, leader);
      set(known.state, text);
      known.state.className = look;
      set(known.term, node.says ? String(node.says.term) : "");
      set(known.applied, node.says ? String(node.says.applied) : "");
      if (document.activeElement !== known.disk) known.disk.value = node.disk;
      known.kill.disabled = node.life === "dead";
      known.pause.disabled = node.life === "dead";
      const paused = node.life === "paused";
      known.pause.dataset.act = paused ? "resume" : "pause";
      set(known.pause, paused ? "Go on" : "Pause");
      known.pause.setAttribute("aria-label", `${paused ? "Let go on" : "Pause"} ${node.name}`);
      set(known.restart, node.life === "dead" ? "Start" : "Restart");
      known.restart.setAttribute("aria-label", `${known.restart.textContent} ${node.name}`);
    }
    if (from.options.length !== nodes.length) {
      for (const select of [from, to]) {
        select.replaceChildren();
        options(select, nodes.map((node) => [String(node.number), node.name]));
      }
      if (nodes.length > 1) to.value = String(nodes[1].number);
    }
  };

  // The links.
  const [from, to] = [make("select"), make("select")];
  const both = make("input", "", { type: "checkbox", checked: true });
  const mode = options(make("select"), [["cut", "cut"], ["slow", "slow"], ["open", "open"]]);
  const link = (mode) => ask({
    action: "link", from: Number(from.value), to: Number(to.value), "both-ways": both.checked, mode,
  });
  const harmed = make("ul");
  const showLinks = (links) => {
    const texts = links.map(({ from, to, mode }) => `n${from} to n${to}: ${mode}`);
    if (harmed.dataset.now === texts.join()) return;
    harmed.dataset.now = texts.join();
    harmed.replaceChildren(...texts.map((text) => make("li", text, { className: "demo-warn" })));
    if (!texts.length) harmed.append(make("li", "All links are open."));
  };

  // The stories.
  const choices = make("div", "", { className: "demo-row" });
  const stop = button("Stop the story", () => ask({ action: "stop-telling" }));
  const title = make("h4");
  const lines = make("ol");
  lines.setAttribute("aria-live", "polite");
  const verdict = make("ul");
  verdict.setAttribute("aria-live", "polite");
  let shown = "";

  const outcome = (line) => {
    if (line.state === "waiting") return ["…", ""];
    const took = `after ${(line.took_ms / 1000).toFixed(1)} s: ${line.note}`;
    return line.state === "held" ? [`Yes, ${took}`, "demo-good"] : [`Not so, ${took}`, "demo-bad"];
  };
  const showStories = ({ stories, telling, told }) => {
    if (!choices.children.length) {
      for (const story of stories) {
        choices.append(button(story.title, () => ask({ action: "tell", story: story.name })));
      }
    }
    for (const choice of choices.children) choice.disabled = telling;
    stop.hidden = !telling;
    if (!told) return;
    if (shown !== told.story || lines.children.length > told.lines.length) {
      shown = told.story;
      lines.replaceChildren();
    }
    set(title, told.title);
    told.lines.forEach((line, place) => {
      if (!lines.children[place]) {
        lines.append(make("li", line.says, {}, make("span", "", { className: "demo-note" })));
      }
      const [text, look] = outcome(line);
      const note = lines.children[place].lastChild;
      set(note, text);
      note.className = `demo-note ${look}`;
    });
    const promises = told.verdict ? told.verdict.promises : [];
    while (verdict.children.length > promises.length) verdict.lastChild.remove();
    promises.forEach(({ says, held }, place) => {
      if (!verdict.children[place]) verdict.append(make("li"));
      set(verdict.children[place], `${held ? "Kept" : "Broken"}: ${says}`);
      verdict.children[place].className = held ? "demo-good" : "demo-bad";
    });
  };

  root.append(
    make("h2", "Demo", { id: "demo-title" }),
    writes, unknown, violations, error,
    make("h3", "Stories"), choices, make("div", "", { className: "demo-row" }, stop), title, lines, verdict,
    make("h3", "Break it"),
    make("div", "", { className: "demo-row" },
      button("Isolate the leader", () => ask({ action: "isolate-leader" })),
      button("Heal everything", () => ask({ action: "heal" }))),
    make("div", "", { className: "demo-scroll" }, table),
    make("div", "", { className: "demo-row" },
      labelled("Link from", from), labelled("to", to), make("label", "", {}, both, " both ways"),
      labelled("is", mode), button("Do it", () => link(mode.value), "Change the link")),
    harmed,
  );

  const events = new EventSource("/demo/events");
  events.addEventListener("message", (event) => {
    const now = JSON.parse(event.data);
    showWrites(now.writes);
    showNodes(now.nodes, now.leader);
    showLinks(now.links);
    showStories(now);
  });
  events.addEventListener("open", () => set(error, ""));
  events.addEventListener("error", () => set(error, "The demo does not answer; it may have ended."));
})();
