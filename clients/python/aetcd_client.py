"""aetcd: gRPC under asyncio."""

import asyncio

import aetcd

from check import Checks, endpoints

checks = Checks("python-aetcd")
ClientError = aetcd.exceptions.ClientError


async def fails(what, kind, words, call):
    """Holds if the call fails with this exception, which says these words."""
    try:
        found = await call
    except kind as error:
        checks.true(what, words in str(error), f"it says {str(error)!r}")
    except Exception as error:  # any other is what this check is about
        checks.true(what, False, f"{type(error).__name__}: {error}")
    else:
        checks.true(what, False, f"no failure, but {found!r}")


async def keys_and_values(client, other):
    await client.delete_prefix(b"ae/")
    put = await client.put(b"ae/a", b"1")
    found = await other.get(b"ae/a")
    checks.equal("a value written through one node is read through another", found.value, b"1")
    checks.equal("the revision of the write", found.mod_revision, put.header.revision)
    checks.equal("what was there before", (await client.put(b"ae/a", b"2", prev_kv=True)).prev_kv.value, b"1")
    checks.equal("nothing is nothing", await client.get(b"ae/none"), None)
    await client.put(b"ae/b", b"3")
    pairs = await client.get_prefix(b"ae/")
    checks.equal("a prefix", [(kv.key, kv.value) for kv in pairs], [(b"ae/a", b"2"), (b"ae/b", b"3")])
    down = await client.get_prefix(b"ae/", sort_order="descend")
    checks.equal("sorted", [kv.key for kv in down], [b"ae/b", b"ae/a"])
    by_value = await client.get_range(b"ae/", b"ae0", sort_order="descend", sort_target="value")
    checks.equal("sorted by value", [kv.value for kv in by_value], [b"3", b"2"])
    names = await client.get_prefix(b"ae/", keys_only=True)
    checks.equal("keys only", [kv.value for kv in names], [b"", b""])
    checks.equal("serializable", (await client.get(b"ae/a", serializable=True)).value, b"2")
    checks.equal("replaced", await client.replace(b"ae/a", b"2", b"4"), True)
    checks.equal("not replaced", await client.replace(b"ae/a", b"2", b"5"), False)
    gone = await client.delete(b"ae/a", prev_kv=True)
    checks.equal("what was deleted", gone.prev_kv.value, b"4")
    checks.equal("deleted twice", await client.delete(b"ae/a"), None)
    checks.equal("a range goes", (await client.delete_range(b"ae/", b"ae0", prev_kv=True)).deleted, 1)
    await fails("an empty key", ClientError, "etcdserver: key is not provided", client.put(b"", b"x"))


async def transactions(client, _other):
    tx = client.transactions
    await client.put(b"ae/t", b"old")
    held, answers = await client.transaction(
        compare=[tx.value(b"ae/t") == b"old", tx.version(b"ae/t") > 0],
        success=[tx.put(b"ae/t", b"new"), tx.get(b"ae/t")],
        failure=[],
    )
    checks.equal("it holds", held, True)
    checks.equal("a step sees the one before", answers[1][0][0], b"new")
    held, _answers = await client.transaction(compare=[tx.value(b"ae/t") == b"old"], success=[], failure=[])
    checks.equal("it does not hold", held, False)
    twice = client.transaction(compare=[], success=[tx.put(b"ae/t", b"1"), tx.put(b"ae/t", b"2")], failure=[])
    await fails("a key twice", ClientError, "duplicate key given in txn request", twice)


async def watches(client, other):
    watch = await client.watch(b"ae/w", prev_kv=True)
    events = aiter(watch)
    await other.put(b"ae/w", b"1")
    first = await asyncio.wait_for(anext(events), 10)
    checks.equal("a write is heard", (first.kind, first.kv.value), (aetcd.rtypes.EventKind.PUT, b"1"))
    await other.put(b"ae/w", b"2")
    second = await asyncio.wait_for(anext(events), 10)
    checks.equal("with what it replaced", second.prev_kv.value, b"1")
    await other.delete(b"ae/w")
    third = await asyncio.wait_for(anext(events), 10)
    checks.equal("a deletion is heard", third.kind, aetcd.rtypes.EventKind.DELETE)
    await watch.cancel()
    start = (await other.put(b"ae/w/1", b"a")).header.revision
    await other.delete(b"ae/w/1")
    await other.put(b"ae/w/2", b"b")
    past = await client.watch_prefix(b"ae/w/", start_revision=start, kind=aetcd.rtypes.EventKind.PUT)
    events = aiter(past)
    heard = [(await asyncio.wait_for(anext(events), 10)).kv.value for _ in range(2)]
    checks.equal("the past is heard, filtered", heard, [b"a", b"b"])
    await past.cancel()
    asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(other.put(b"ae/once", b"x")))
    once = await client.watch_once(b"ae/once", timeout=10)
    checks.equal("once", once.kv.value, b"x")
    none = aetcd.exceptions.WatchTimeoutError
    await fails("nothing comes", none, "", client.watch_once(b"ae/none", timeout=0.3))


async def leases(client, other):
    lease = await client.lease(60)
    await client.put(b"ae/leased", b"x", lease=lease)
    info = await client.get_lease_info(lease.id)
    checks.equal("its keys", list(info.keys), [b"ae/leased"])
    checks.equal("granted", info.grantedTTL, 60)
    checks.true("what is left", 55 <= info.TTL <= 60)
    renewed = await lease.refresh()
    checks.equal("renewed", renewed.TTL, 60)
    await lease.revoke()
    checks.equal("its keys go with it", await other.get(b"ae/leased"), None)
    await fails("a lease that is gone", ClientError, "requested lease not found", lease.revoke())
    named = await client.lease(60, lease_id=4243)
    taken = aetcd.exceptions.DuplicateLeaseError
    await fails("the name is taken", taken, "", client.lease(60, lease_id=4243))
    await named.revoke()


async def locks(client, other):
    async with client.lock(b"ae/lock", ttl=20) as lock:
        checks.equal("held", await lock.is_acquired(), True)
        second = other.lock(b"ae/lock", ttl=20)
        checks.equal("not twice", await second.acquire(timeout=0.5), False)
    checks.equal("free again", await second.acquire(timeout=10), True)
    checks.equal("released", await second.release(), True)


async def members(client, _other):
    found = [member async for member in client.members()]
    checks.equal("as many as there are", len(found), len(endpoints()))
    status = await client.status()
    checks.true("who leads", status.leader is not None)


async def main():
    nodes = [aetcd.Client(host=host, port=port, timeout=10) for host, port in endpoints()]
    for part in (keys_and_values, transactions, watches, leases, locks, members):
        try:
            await part(nodes[0], nodes[-1])
        except Exception:
            checks.broke()
    checks.end()


asyncio.run(main())
