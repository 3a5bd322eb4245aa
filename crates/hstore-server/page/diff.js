// What changed between two texts, line by line.

/** More lines than this are not compared: the work grows with their product. */
const LINES_MAX = 2000;

const split = (text) => text.split("\n");

/**
 * The lines of both: [{ kind: "same" | "old" | "new", text }]; null when they are too many.
 */
export function diff(before, after) {
  let [a, b] = [split(before), split(after)];
  const all = [];
  const behind = [];
  while (a.length && b.length && a[0] === b[0]) {
    all.push({ kind: "same", text: a.shift() });
    b.shift();
  }
  while (a.length && b.length && a[a.length - 1] === b[b.length - 1]) {
    behind.unshift({ kind: "same", text: a.pop() });
    b.pop();
  }
  if (a.length > LINES_MAX || b.length > LINES_MAX || a.length * b.length > LINES_MAX * 500) return null;
  // longest[i][j]: how many lines of a from i on and b from j on are in both, in order.
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      all.push({ kind: "same", text: a[i] });
      i += 1;
      j += 1;
    } else if (j === b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) {
      all.push({ kind: "old", text: a[i] });
      i += 1;
    } else {
      all.push({ kind: "new", text: b[j] });
      j += 1;
    }
  }
  return [...all, ...behind];
}
