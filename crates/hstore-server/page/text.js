// Words and numbers for people, and bytes that may be hostile.

import { h } from "./dom.js";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** What would hide, reorder or break a line: controls, directions, widths of nothing, specials. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\uffff]|[\u{e0000}-\u{e0fff}]/gu;

/** The text of bytes; null when they are none. */
export function textOf(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

export const bytesOf = (text) => encoder.encode(text);

export function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) {
    text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  }
  return btoa(text);
}

/** The bytes of base64; null when it is none. */
export function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text.replace(/\s+/g, "")), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Bytes as a part of a path: every byte that is no plain letter is escaped. */
export function inPath(bytes) {
  let path = "";
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    path += /[A-Za-z0-9_~-]/.test(char)
      ? char
      : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
  }
  return path;
}

/** Bytes of a part of an address, the other way round. */
export function outOfPath(text) {
  const bytes = [];
  for (let at = 0; at < text.length; at += 1) {
    const escape = /^%([0-9a-f]{2})/i.exec(text.slice(at, at + 3));
    if (escape) {
      bytes.push(parseInt(escape[1], 16));
      at += 2;
    } else bytes.push(...bytesOf(text[at]));
  }
  return Uint8Array.from(bytes);
}

const hex = (number, digits) => number.toString(16).toUpperCase().padStart(digits, "0");

function escapedText(text, into) {
  let at = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > at) into.append(text.slice(at, match.index));
    const point = match[0].codePointAt(0);
    into.append(h("span", { class: "escape", title: "a character that does not show" }, `U+${hex(point, 4)}`));
    at = match.index + match[0].length;
  }
  if (at < text.length) into.append(text.slice(at));
}

/** Bytes, shown as what they are and as nothing else, at most so many of them. */
export function show(bytes, most = 65536) {
  const shown = h("bdi", { class: "bytes" });
  if (bytes.length === 0) {
    shown.append(h("span", { class: "escape" }, "empty"));
    return shown;
  }
  let part = bytes.subarray(0, most);
  let text = textOf(part);
  // The cut may be in the middle of a character.
  for (let cut = 1; text === null && cut < 4 && bytes.length > most; cut += 1) {
    text = textOf(part.subarray(0, part.length - cut));
  }
  if (text !== null) escapedText(text, shown);
  else {
    // Escapes cost an element each, so fewer of them are shown at a time.
    part = part.subarray(0, 4096);
    let plain = "";
    for (const byte of part) {
      if (byte >= 0x20 && byte < 0x7f) plain += String.fromCharCode(byte);
      else {
        if (plain) shown.append(plain);
        plain = "";
        shown.append(h("span", { class: "escape" }, `\\x${hex(byte, 2)}`));
      }
    }
    if (plain) shown.append(plain);
  }
  if (part.length < bytes.length) {
    const rest = bytes.length - part.length;
    shown.append(h("span", { class: "escape" }, `… ${size(rest)} more`));
  }
  return shown;
}

/** A word of the wire in a line of its own: names of nodes, problems. */
export const plain = (text) => show(bytesOf(String(text)), 2048);

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let unit = -1;
  let number = bytes;
  do {
    number /= 1024;
    unit += 1;
  } while (number >= 1024 && unit < units.length - 1);
  return `${number >= 100 ? number.toFixed(0) : number.toFixed(1)} ${units[unit]}`;
}

export const count = (number) => Number(number || 0).toLocaleString("en-US");

/** Microseconds. */
export function micros(number) {
  if (!number) return "–";
  if (number < 1000) return `${number} µs`;
  if (number < 1e6) return `${(number / 1000).toFixed(number < 1e4 ? 1 : 0)} ms`;
  return `${(number / 1e6).toFixed(1)} s`;
}

export function rate(number) {
  const value = number || 0;
  return value >= 100 ? count(Math.round(value)) : value.toFixed(value && value < 10 ? 1 : 0);
}

/** Milliseconds, in the largest two units that say something. */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB", { hour12: false });
