// Keys and values over HTTP. A key is bytes here, and so is a value.

import { ask, get, listen, post } from "./api.js";
import { bytesOf, fromBase64, inPath, toBase64 } from "./text.js";

/** The bytes that JSON tells as text, or in base64 where they are none. */
export const told = (of, name) =>
  of[name] !== undefined ? bytesOf(of[name]) : of[`${name}_base64`] !== undefined ? fromBase64(of[`${name}_base64`]) : null;

/**
 * A key as it is: { value, revision }; null when it is not there. It is asked for as etcd's clients do
 * it, for whom a key that is not there is no failure that a browser would complain of.
 */
export async function read(key, signal) {
  const { kvs = [] } = await post("/v3/kv/range", { key: toBase64(key) }, { signal });
  if (!kvs.length) return null;
  return { value: fromBase64(kvs[0].value || ""), revision: Number(kvs[0].mod_revision) };
}

/** Writes a key, if it is still at `revision`, or not there for null. Answers the new revision. */
export async function write(key, value, revision) {
  const condition = revision === null ? { "If-None-Match": "*" } : { "If-Match": `"${revision}"` };
  const options = { method: "PUT", body: value, headers: { "Content-Type": "application/octet-stream", ...condition } };
  return (await (await ask(`/write/${inPath(key)}`, options)).json()).revision;
}

/** Deletes a key, if it is still at `revision`. */
export const remove = (key, revision) =>
  post(`/delete/${inPath(key)}`, undefined, { method: "DELETE", headers: { "If-Match": `"${revision}"` } });

/** What is under a prefix, as a folder shows it: { names: [{ key, count, is_prefix }], more }. */
export const children = (prefix, after, limit, signal) =>
  get(`/keys?prefix=${inPath(prefix)}&limit=${limit}${after ? `&after=${inPath(after)}` : ""}`, { signal });

/** The records of a key, the newest first. */
export const history = (key, before, limit, signal) =>
  get(`/history/${inPath(key)}?limit=${limit}${before ? `&before=${before}` : ""}`, { signal });

/** What happens to a key, or to all that begin with it, from now on. */
export const watch = (key, prefix, signal, on) =>
  listen(`/watch/${inPath(key)}${prefix ? "?prefix=true" : ""}`, signal, on);
