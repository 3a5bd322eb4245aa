// etcd3 of npm: gRPC-js, with locks, elections and transactions over memory.

const { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError } = require('etcd3');

let passed = 0;
let failed = 0;

function check(what, holds, otherwise) {
  if (holds) {
    passed += 1;
  } else {
    failed += 1;
    console.log(`node-etcd3: ${what}: ${otherwise ?? 'is not so'}`);
  }
}

function equal(what, found, wanted) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)];
  check(what, left === right, `${left} instead of ${right}`);
}

async function fails(what, words, action) {
  try {
    check(what, false, `no failure, but ${JSON.stringify(await action())}`);
  } catch (error) {
    check(what, String(error).includes(words), `it says ${error}`);
  }
}

function within(promise, what) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: nothing came`)), 10000));
  return Promise.race([promise, late]);
}

const hosts = process.env.ENDPOINTS.split(',').map((pair) => `http://${pair}`);
const client = new Etcd3({ hosts });
const other = new Etcd3({ hosts: [hosts[hosts.length - 1]] });

async function keysAndValues() {
  await client.delete().prefix('js/');
  await client.put('js/a').value('1');
  equal('a value written through one node is read through another', await other.get('js/a').string(), '1');
  equal('as a number', await other.get('js/a').number(), 1);
  equal('nothing is nothing', await client.get('js/none'), null);
  equal('there or not', [await client.get('js/a').exists(), await client.get('js/none').exists()], [true, false]);
  equal('what was there before', (await client.put('js/a').value('2').getPrevious()).value.toString(), '1');
  await client.put('js/b').value(Buffer.from([0, 255]));
  equal('any bytes', [...(await other.get('js/b').buffer())], [0, 255]);
  equal('keys of a prefix', await client.getAll().prefix('js/').keys(), ['js/a', 'js/b']);
  equal('counted', await client.getAll().prefix('js/').count(), 2);
  equal('limited and sorted', await client.getAll().prefix('js/').sort('Key', 'Descend').limit(1).keys(), ['js/b']);
  equal('sorted by value', await client.getAll().prefix('js/').sort('Value', 'Ascend').keys(), ['js/b', 'js/a']);
  const first = (await client.get('js/a').exec()).kvs[0];
  equal('the past', await client.get('js/a').revision(first.create_revision).string(), '1');
  equal('filtered', await client.getAll().prefix('js/').minCreateRevision(Number(first.create_revision) + 1).keys(), ['js/b']);
  equal('serializable', await client.get('js/a').serializable(true).string(), '2');
  equal('what was deleted', (await client.delete().key('js/b').getPrevious()).length, 1);
  await client.put('js/a').touch();
  const touched = (await client.get('js/a').exec()).kvs[0];
  equal('touched, with its value', [touched.value.toString(), Number(touched.version)], ['2', 3]);
  equal('the rest goes', (await client.delete().prefix('js/')).deleted, '1');
  await fails('an empty key', 'etcdserver: key is not provided', () => client.put('').value('x'));
}

async function transactions() {
  const held = await client.if('js/t', 'Create', '==', 0).then(client.put('js/t').value('1')).else(client.get('js/t')).commit();
  equal('it holds', held.succeeded, true);
  const not = await client.if('js/t', 'Create', '==', 0).and('js/t', 'Value', '==', '1').then().else(client.get('js/t')).commit();
  equal('it does not hold', not.succeeded, false);
  equal('the other branch', not.responses[0].response_range.kvs[0].value.toString(), '1');
  const twice = client.if('js/t', 'Version', '>', 0).then(client.put('js/t').value('1'), client.put('js/t').value('2'));
  await fails('a key twice', 'duplicate key given in txn request', () => twice.commit());
  const moved = await client.stm().transact(async (tx) => {
    const value = await tx.get('js/t').number();
    await tx.put('js/t').value(value + 41);
    return value;
  });
  equal('over memory', [moved, await client.get('js/t').number()], [1, 42]);
  await client.delete().prefix('js/');
}

async function objectsOfKubernetes() {
  const key = 'js/registry/pods/a';
  const onlyIf = (who, revision, step) => who.if(key, 'Mod', '==', revision).then(step).else(client.get(key)).commit();
  const there = (answer) => answer.responses[0].response_range.kvs.map((kv) => kv.value.toString());
  await client.delete().prefix('js/registry/');
  equal('made where nothing is', (await onlyIf(client, 0, client.put(key).value('1'))).succeeded, true);
  const again = await onlyIf(other, 0, client.put(key).value('2'));
  equal('not made twice, and what is there is told', [again.succeeded, there(again)], [false, ['1']]);
  const first = again.responses[0].response_range.kvs[0].mod_revision;
  equal('changed as it was seen', (await onlyIf(other, first, client.put(key).value('3'))).succeeded, true);
  const late = await onlyIf(client, first, client.delete().key(key));
  equal('not deleted as it was seen before', [late.succeeded, there(late)], [false, ['3']]);
  for (let n = 0; n < 4; n += 1) await client.put(`js/registry/n/${n}`).value('x');
  const page = (start) => client.getAll().inRange({ start, end: 'js/registry/n0' }).limit(2);
  let answer = await page('js/registry/n/').exec();
  equal('how many there are, beside a page', [answer.count, answer.more], ['4', true]);
  const at = answer.header.revision;
  const listed = answer.kvs.map((kv) => kv.key.toString());
  await client.put('js/registry/n/9').value('later');
  while (answer.more) {
    answer = await page(`${listed[listed.length - 1]}\0`).revision(at).exec();
    listed.push(...answer.kvs.map((kv) => kv.key.toString()));
  }
  equal('pages as of one revision', listed, [0, 1, 2, 3].map((n) => `js/registry/n/${n}`));
  const watcher = await client.watch().prefix('js/registry/').startRevision(Number(at) + 1).create();
  const heard = [];
  const ended = within(new Promise((resolve) => watcher.on('data', ({ events }) => {
    heard.push(...events.map((one) => `${one.type} ${one.kv.key}`));
    if (heard.length === 3) resolve();
  })), 'what comes after the list');
  const { ID: lease } = await client.leaseClient.leaseGrant({ TTL: 2 });
  await client.put('js/registry/e').value('soon gone').lease(lease);
  await ended;
  equal('a watch from where they end, and a lease that ends', heard, ['Put js/registry/n/9', 'Put js/registry/e', 'Delete js/registry/e']);
  await watcher.cancel();
  await client.delete().prefix('js/');
}

async function watches() {
  const watcher = await client.watch().prefix('js/w/').withPreviousKV().create();
  const heard = [];
  const next = () => within(new Promise((resolve) => watcher.once('data', resolve)), 'an event');
  for (const [key, value] of [['js/w/1', 'a'], ['js/w/1', 'b'], ['js/w/2', 'c']]) {
    const event = next();
    await other.put(key).value(value);
    const { events } = await event;
    heard.push(...events.map((one) => `${one.type} ${one.kv.key} ${one.kv.value} ${one.prev_kv ? one.prev_kv.value : ''}`));
  }
  equal('writes are heard', heard, ['Put js/w/1 a ', 'Put js/w/1 b a', 'Put js/w/2 c ']);
  const deleted = within(new Promise((resolve) => watcher.once('delete', (kv) => resolve(kv.key.toString()))), 'a deletion');
  await other.delete().key('js/w/1');
  equal('a deletion is heard', await deleted, 'js/w/1');
  await watcher.cancel();
  const start = (await other.put('js/w/3').value('x')).header.revision;
  await other.put('js/w/3').value('y');
  const past = client.watch().key('js/w/3').startRevision(start).watcher();
  const values = [];
  await within(new Promise((resolve) => past.on('put', (kv) => values.push(kv.value.toString()) === 2 && resolve())), 'the past');
  equal('the past is heard', values, ['x', 'y']);
  await past.cancel();
  const only = await client.watch().prefix('js/w/').only('delete').create();
  const kinds = [];
  const done = within(new Promise((resolve) => only.on('data', ({ events }) => {
    kinds.push(...events.map((one) => one.type));
    resolve();
  })), 'what is left of the events');
  await other.put('js/w/3').value('z');
  await other.delete().key('js/w/3');
  await done;
  equal('filtered', kinds, ['Delete']);
  await only.cancel();
  await client.delete().prefix('js/');
}

async function leases() {
  const lease = client.lease(60);
  const id = await lease.grant();
  await lease.put('js/leased').value('x');
  equal('the lease of a key', (await other.get('js/leased').exec()).kvs[0].lease, id);
  equal('renewed', (await lease.keepaliveOnce()).TTL, '60');
  const info = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  equal('its keys and its time', [info.grantedTTL, info.keys.map(String)], ['60', ['js/leased']]);
  equal('listed', (await client.leaseClient.leaseLeases()).leases.some((one) => one.ID === id), true);
  await lease.revoke();
  equal('its keys go with it', await other.get('js/leased').exists(), false);
  try {
    await client.put('js/leased').value('x').lease(id);
    check('a lease that is gone', false, 'no failure');
  } catch (error) {
    check('a lease that is gone', error instanceof EtcdLeaseInvalidError, `it is ${error}`);
  }
}

async function locks() {
  const lock = client.lock('js/lock').ttl(20);
  await lock.acquire();
  try {
    await other.lock('js/lock').acquire();
    check('not twice', false, 'it was locked twice');
  } catch (error) {
    check('not twice', error instanceof EtcdLockFailedError, `it is ${error}`);
  }
  await lock.release();
  equal('free again', await other.lock('js/lock').do(async () => 'done'), 'done');
}

async function elections() {
  const election = client.election('js', 20);
  const first = election.campaign('one');
  await within(first.wait(), 'the first is elected');
  equal('who leads', await other.election('js').leader(), 'one');
  const second = other.election('js', 20).campaign('two');
  await first.proclaim('one, again');
  equal('who leads says something else', await election.leader(), 'one, again');
  await second.getCampaignKey();
  const elected = second.wait();
  await first.resign();
  await within(elected, 'the second is elected');
  equal('the next one leads', await election.leader(), 'two');
  await second.resign();
}

async function members() {
  const { members: found } = await client.cluster.memberList({});
  equal('as many as there are', found.length, hosts.length);
  const status = await client.maintenance.status({});
  check('who leads', found.some((member) => member.ID === status.leader));
}

async function main() {
  for (const part of [keysAndValues, transactions, objectsOfKubernetes, watches, leases, locks, elections, members]) {
    try {
      await part();
    } catch (error) {
      failed += 1;
      console.log(`node-etcd3: ${part.name}:`, error);
    }
  }
  console.log(`node-etcd3: ${passed} passed, ${failed} failed`);
  // Not by itself: what a client still holds open would hold the process.
  process.exit(failed || !passed ? 1 : 0);
}

main();
