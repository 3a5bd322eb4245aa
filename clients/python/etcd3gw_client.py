"""etcd3gw: JSON over HTTP, as OpenStack uses it."""

import threading

import etcd3gw

from check import Checks, endpoints

checks = Checks("python-etcd3gw")
nodes = [etcd3gw.client(host=host, port=port, timeout=10) for host, port in endpoints()]
client, other = nodes[0], nodes[-1]
Refused = etcd3gw.exceptions.Etcd3Exception


def refused(what, words, action):
    """Holds if the server refuses it in these words."""
    try:
        found = action()
    except Refused as error:
        checks.true(what, words in (error.detail_text or ""), f"it says {error.detail_text!r}")
    else:
        checks.true(what, False, f"no failure, but {found!r}")


def keys_and_values():
    client.delete_prefix("gw/")
    checks.equal("a write", client.put("gw/a", "1"), True)
    checks.equal("a value written through one node is read through another", other.get("gw/a"), [b"1"])
    value, meta = client.get("gw/a", metadata=True)[0]
    checks.equal("its version", (value, meta["version"]), (b"1", "1"))
    checks.equal("nothing is nothing", client.get("gw/none"), [])
    checks.equal("a key is made once", client.create("gw/a", "2"), False)
    checks.equal("a new one is made", client.create("gw/b", "2"), True)
    checks.equal("replaced", client.replace("gw/b", "2", "3"), True)
    checks.equal("not replaced", client.replace("gw/b", "2", "4"), False)
    found = [(meta["key"], value) for value, meta in client.get_prefix("gw/")]
    checks.equal("a prefix", found, [(b"gw/a", b"1"), (b"gw/b", b"3")])
    down = client.get_prefix("gw/", sort_order="descend", sort_target="key")
    checks.equal("sorted", [value for value, _ in down], [b"3", b"1"])
    checks.equal("deleted", client.delete("gw/b"), True)
    checks.equal("deleted twice", client.delete("gw/b"), False)
    refused("an empty key", "etcdserver: key is not provided", lambda: client.put("", "x"))


def leases():
    lease = client.lease(60)
    client.put("gw/leased", "x", lease=lease)
    checks.equal("its keys", lease.keys(), [b"gw/leased"])
    checks.true("what is left", 55 <= lease.ttl() <= 60)
    checks.equal("renewed", lease.refresh(), 60)
    checks.equal("revoked", lease.revoke(), True)
    checks.equal("its keys go with it", other.get("gw/leased"), [])
    checks.equal("the time of a lease that is gone", lease.ttl(), -1)
    checks.equal("a renewal of a lease that is gone", lease.refresh(), -1)
    refused("a lease that is gone", "etcdserver: requested lease not found", lease.revoke)


def watches():
    events, cancel = client.watch("gw/w", prev_kv=True)
    other.put("gw/w", "1")
    checks.equal("a write is heard", next(events)["kv"]["value"], b"1")
    other.put("gw/w", "2")
    checks.equal("another one", next(events)["kv"]["value"], b"2")
    other.delete("gw/w")
    checks.equal("a deletion is heard", next(events)["type"], "DELETE")
    cancel()
    threading.Timer(1, lambda: other.put("gw/once", "x")).start()
    once = client.watch_once("gw/once", timeout=10)
    checks.equal("once", once["kv"]["key"], b"gw/once")


def locks():
    with client.lock("gw", ttl=20) as lock:
        checks.equal("held", lock.is_acquired(), True)
        checks.equal("renewed", lock.refresh(), 20)
        checks.equal("not twice", other.lock("gw", ttl=20).acquire(), False)
    second = other.lock("gw", ttl=20)
    checks.equal("free again", second.acquire(), True)
    checks.equal("released", second.release(), True)


def members():
    checks.equal("as many as there are", len(client.members()), len(nodes))
    status = client.status()
    checks.true("who leads", status["leader"] in [member["ID"] for member in client.members()])


for part in (keys_and_values, leases, watches, locks, members):
    try:
        part()
    except Exception:
        checks.broke()
checks.end()
