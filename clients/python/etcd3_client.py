"""python-etcd3: gRPC, with watches and keep-alives in threads."""

import io
import os
import threading

# Its generated code is older than the protobuf of today; this is what protobuf tells to do then.
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"

import etcd3  # noqa: E402
import grpc  # noqa: E402

from check import Checks, endpoints  # noqa: E402

checks = Checks("python-etcd3")
nodes = [etcd3.client(host=host, port=port, timeout=10) for host, port in endpoints()]
client, other = nodes[0], nodes[-1]


def keys_and_values():
    client.delete_prefix("py/")
    client.put("py/a", "1")
    value, meta = other.get("py/a")
    checks.equal("a value written through one node is read through another", value, b"1")
    checks.equal("its version", meta.version, 1)
    checks.equal("its creation and its change", meta.create_revision, meta.mod_revision)
    checks.equal("what was there before", client.put("py/a", "2", prev_kv=True).prev_kv.value, b"1")
    checks.equal("nothing is nothing", client.get("py/none"), (None, None))
    client.put("py/b", b"\x00\xff")
    checks.equal("any bytes", other.get("py/b")[0], b"\x00\xff")
    found = [(meta.key, value) for value, meta in client.get_prefix("py/")]
    checks.equal("a prefix", found, [(b"py/a", b"2"), (b"py/b", b"\x00\xff")])
    down = client.get_prefix("py/", sort_order="descend", sort_target="key")
    checks.equal("sorted", [meta.key for _, meta in down], [b"py/b", b"py/a"])
    names = client.get_prefix("py/", keys_only=True)
    checks.equal("keys only", [value for value, _ in names], [b"", b""])
    found = [value for value, _ in client.get_range("py/a", "py/b")]
    checks.equal("a range", found, [b"2"])
    checks.equal("serializable", client.get("py/a", serializable=True)[0], b"2")
    checks.equal("a key is made once", client.put_if_not_exists("py/a", "x"), False)
    checks.equal("a new one is made", client.put_if_not_exists("py/c", "x"), True)
    checks.equal("replaced", client.replace("py/c", "x", "y"), True)
    checks.equal("not replaced", client.replace("py/c", "x", "z"), False)
    checks.equal("deleted", client.delete("py/c"), True)
    checks.equal("deleted twice", client.delete("py/c"), False)
    answer = client.delete("py/b", prev_kv=True, return_response=True)
    checks.equal("what was deleted", answer.prev_kvs[0].value, b"\x00\xff")
    checks.equal("the rest goes", client.delete_prefix("py/").deleted, 1)
    checks.equal("and is gone", list(client.get_prefix("py/")), [])


def transactions():
    tx = client.transactions
    client.put("py/t", "old")
    held, answers = client.transaction(
        compare=[tx.value("py/t") == "old", tx.version("py/t") > 0, tx.create("py/t") != 0, tx.mod("py/t") > 0],
        success=[tx.put("py/t", "new"), tx.get("py/t")],
        failure=[tx.delete("py/t")],
    )
    checks.equal("it holds", held, True)
    checks.equal("a step sees the one before", answers[1][0][0], b"new")
    held, answers = client.transaction(
        compare=[tx.value("py/t") == "old"], success=[], failure=[tx.get("py/t"), tx.delete("py/t")]
    )
    checks.equal("it does not hold", held, False)
    checks.equal("the other branch", answers[0][0][0], b"new")
    checks.equal("its deletion", answers[1].response_delete_range.deleted, 1)
    inner = tx.txn(compare=[], success=[tx.put("py/t", "inner")], failure=[])
    checks.equal("nested", client.transaction(compare=[], success=[inner], failure=[])[0], True)
    checks.equal("what the inner one wrote", client.get("py/t")[0], b"inner")

    def twice():
        return client.transaction(compare=[], success=[tx.put("py/t", "1"), tx.put("py/t", "2")], failure=[])

    checks.raises("a key twice", grpc.RpcError, "etcdserver: duplicate key given in txn request", twice)
    client.delete("py/t")


def objects_of_kubernetes():
    """Writes that compare one revision, a list, and a watch from where it ended."""
    client.delete_prefix("py/registry/")
    tx = client.transactions
    key = "py/registry/pods/a"

    def only_if(who, revision, step):
        return who.transaction(compare=[tx.mod(key) == revision], success=[step], failure=[tx.get(key)])

    checks.equal("made where nothing is", only_if(client, 0, tx.put(key, "1"))[0], True)
    held, there = only_if(other, 0, tx.put(key, "2"))
    first = there[0][0][1].mod_revision
    checks.equal("not made twice, and what is there is told", (held, there[0][0][0]), (False, b"1"))
    checks.equal("changed as it was seen", only_if(other, first, tx.put(key, "3"))[0], True)
    held, there = only_if(client, first, tx.put(key, "4"))
    checks.equal("not changed as it was seen before", (held, there[0][0][0]), (False, b"3"))
    second = there[0][0][1].mod_revision
    checks.equal("nor deleted", only_if(client, first, tx.delete(key))[0], False)
    checks.equal("deleted as it was seen", only_if(client, second, tx.delete(key))[0], True)
    checks.equal("what is gone is told as nothing", only_if(other, second, tx.put(key, "5")), (False, [[]]))

    for n in range(5):
        client.put(f"py/registry/n/{n}", "x")
    # This client has no pages: it takes a limit and does not send it.
    listed = other.get_prefix_response("py/registry/")
    at = listed.header.revision
    checks.equal("a list", [kv.key for kv in listed.kvs], [b"py/registry/n/%d" % n for n in range(5)])
    client.put("py/registry/n/9", "later")
    client.delete("py/registry/n/3")
    events, cancel = other.watch_prefix("py/registry/", start_revision=at + 1, prev_kv=True)
    checks.equal("a watch from where it ended", next(events).key, b"py/registry/n/9")
    checks.equal("with what was deleted", next(events).prev_value, b"x")
    client.put("py/registry/e", "soon gone", lease=client.lease(2))
    checks.equal("a key with a lease", next(events).value, b"soon gone")
    ended = next(events)
    checks.equal("ends with it", (type(ended), ended.prev_value), (etcd3.events.DeleteEvent, b"soon gone"))
    cancel()
    client.delete_prefix("py/registry/")


def watches():
    events, cancel = client.watch("py/w", prev_kv=True)
    other.put("py/w", "1")
    first = next(events)
    checks.true("a write is heard", isinstance(first, etcd3.events.PutEvent) and first.value == b"1")
    other.put("py/w", "2")
    checks.equal("with what it replaced", next(events).prev_value, b"1")
    other.delete("py/w")
    checks.true("a deletion is heard", isinstance(next(events), etcd3.events.DeleteEvent))
    cancel()
    start = other.put("py/w/1", "a").header.revision
    other.put("py/w/2", "b")
    events, cancel = client.watch_prefix("py/w/", start_revision=start)
    checks.equal("the past is heard", [next(events).value, next(events).value], [b"a", b"b"])
    cancel()
    threading.Timer(0.2, lambda: other.put("py/once", "x")).start()
    checks.equal("once", client.watch_once("py/once", timeout=10).value, b"x")
    none = etcd3.exceptions.WatchTimedOut
    checks.raises("nothing comes", none, "", lambda: client.watch_once("py/none", timeout=0.3))
    heard = threading.Event()
    name = client.add_watch_callback("py/callback", lambda response: heard.set())
    other.put("py/callback", "x")
    checks.true("a callback is called", heard.wait(10))
    client.cancel_watch(name)
    client.put("py/old", "1")
    last = client.put("py/old", "2").header.revision
    client.compact(last)
    events, cancel = client.watch("py/old", start_revision=start)
    gone = etcd3.exceptions.RevisionCompactedError
    checks.raises("history that is gone", gone, "", lambda: next(events))
    client.delete_prefix("py/")


def leases():
    lease = client.lease(60)
    checks.equal("as long as asked for", lease.ttl, 60)
    client.put("py/leased", "x", lease=lease)
    checks.equal("its keys", list(lease.keys), [b"py/leased"])
    checks.equal("granted", lease.granted_ttl, 60)
    checks.true("what is left", 55 <= lease.remaining_ttl <= 60)
    checks.equal("renewed", lease.refresh()[0].TTL, 60)
    checks.equal("the lease of a key", other.get("py/leased")[1].lease_id, lease.id)
    lease.revoke()
    checks.equal("its keys go with it", other.get("py/leased")[0], None)
    checks.raises("a lease that is gone", grpc.RpcError, "etcdserver: requested lease not found", lease.revoke)
    named = client.lease(60, lease_id=4242)
    checks.equal("a name of one's own", named.id, 4242)
    exists = etcd3.exceptions.PreconditionFailedError
    checks.raises("the name is taken", exists, "", lambda: client.lease(60, lease_id=4242))
    named.revoke()


def locks():
    with client.lock("py", ttl=20) as lock:
        checks.equal("held", lock.is_acquired(), True)
        checks.equal("renewed", lock.refresh()[0].TTL, 20)
        second = other.lock("py", ttl=20)
        checks.equal("not by another", second.is_acquired(), False)
    checks.equal("free again", second.acquire(timeout=10), True)
    checks.equal("released", second.release(), True)


def failures():
    checks.raises("an empty key", grpc.RpcError, "etcdserver: key is not provided", lambda: client.put("", "x"))
    first = client.put("py/f", "1").header.revision
    client.put("py/f", "2")
    client.compact(first + 1)
    again = "etcdserver: mvcc: required revision has been compacted"
    checks.raises("compacted already", grpc.RpcError, again, lambda: client.compact(first))
    later = "etcdserver: mvcc: required revision is a future revision"
    checks.raises("not there yet", grpc.RpcError, later, lambda: client.compact(first + 1000))
    client.delete("py/f")


def members():
    found = list(client.members)
    checks.equal("as many as there are", len(found), len(nodes))
    checks.true("each has a name and an address", all(m.name and m.client_urls for m in found))
    status = client.status()
    checks.true("who leads", status.leader is not None and status.leader.id in [m.id for m in found])
    checks.true("a version", status.version.startswith("3."))


for part in (keys_and_values, transactions, objects_of_kubernetes, watches, leases, locks, failures, members):
    try:
        part()
    except Exception:
        checks.broke()
checks.end()
