#!/usr/bin/env bash
# etcd's own command line client: every command that speaks to what hstore serves, with what it
# prints. ETCDCTL is the program, ENDPOINTS the cluster.
set -uo pipefail

export ETCDCTL_API=3
ctl=${ETCDCTL:-etcdctl}
version=$("$ctl" version | sed -n 's/^etcdctl version: //p')
name=etcdctl-$version
one=${ENDPOINTS##*,}
scratch=$(mktemp -d)
trap 'jobs -p | xargs -r kill 2>/dev/null; rm -rf "$scratch"' EXIT
passed=0
failed=0

all() { timeout 20 "$ctl" --endpoints="$ENDPOINTS" "$@"; }
last() { timeout 20 "$ctl" --endpoints="$one" "$@"; }

# check WHAT FOUND WANTED: the same, up to spaces at the end.
check() {
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf '%s: %s: %q instead of %q\n' "$name" "$1" "$2" "$3"
  fi
}

# holds WHAT FOUND PART: the part is in it.
holds() {
  case "$2" in
    *"$3"*) passed=$((passed + 1)) ;;
    *)
      failed=$((failed + 1))
      printf '%s: %s: %q does not hold %q\n' "$name" "$1" "$2" "$3"
      ;;
  esac
}

# until WHAT SECONDS COMMAND...: it comes true.
until_true() {
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$end" ]; then
      failed=$((failed + 1))
      printf '%s: %s: not in time\n' "$name" "$what"
      return
    fi
    sleep 0.1
  done
  passed=$((passed + 1))
}

lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
empty() { [ -z "$(last get "$1")" ]; }
value() { [ "$(last get "$1" --print-value-only)" = "$2" ]; }
lines_of() { printf '%s\n' "$@"; }

# Keys.
all del '' --from-key=true >/dev/null
check 'put' "$(all put k/a 1)" OK
check 'get' "$(last get k/a)" "$(lines_of k/a 1)"
check 'put --prev-kv' "$(last put k/a 2 --prev-kv)" "$(lines_of OK k/a 1)"
check 'put --ignore-value' "$(all put k/a --ignore-value)" OK
check 'put --ignore-lease' "$(all put k/a 3 --ignore-lease)" OK
all put k/b 2 >/dev/null
all put k/c 1 >/dev/null
check 'get --prefix' "$(last get k/ --prefix)" "$(lines_of k/a 3 k/b 2 k/c 1)"
check 'get range' "$(last get k/a k/c --print-value-only)" "$(lines_of 3 2)"
check 'get --from-key' "$(last get k/b --from-key --print-value-only)" "$(lines_of 2 1)"
check 'get --limit' "$(last get k/ --prefix --limit=1)" "$(lines_of k/a 3)"
check 'get --keys-only' "$(last get k/ --prefix --keys-only | grep .)" "$(lines_of k/a k/b k/c)"
check 'get --sort-by value' "$(last get k/ --prefix --sort-by=VALUE --print-value-only)" "$(lines_of 1 2 3)"
check 'get --order' "$(last get k/ --prefix --sort-by=KEY --order=DESCEND --print-value-only)" "$(lines_of 1 2 3)"
check 'get --consistency' "$(last get k/a --consistency=s --print-value-only)" 3
holds 'get --write-out json' "$(last get k/a -w json)" '"version":4'
holds 'get --write-out fields' "$(last get k/a -w fields)" '"Version" : 4'
created=$(last get k/a -w fields | sed -n 's/^"CreateRevision" : //p')
check 'get --rev' "$(last get k/a --rev="$created" --print-value-only)" 1
holds 'get --rev of the future' "$(last get k/a --rev=99999999 2>&1)" 'etcdserver: mvcc: required revision is a future revision'
holds 'put of nothing' "$(all put '' x 2>&1)" 'etcdserver: key is not provided'
check 'del --prev-kv' "$(all del k/c --prev-kv)" "$(lines_of 1 k/c 1)"
check 'del range' "$(all del k/a k/b)" 1
check 'del --prefix' "$(last del k/ --prefix)" 1
check 'del of nothing' "$(last del k/ --prefix)" 0

# Transactions.
all put t/k 1 >/dev/null
txn=$'value("t/k") = "1"\nversion("t/k") > "0"\nmod("t/k") > "0"\ncreate("t/k") != "0"\n\nput t/k 2\nget t/k\n\ndel t/k\n\n'
check 'txn that holds' "$(last txn <<<"$txn" | grep .)" "$(lines_of SUCCESS OK t/k 2)"
check 'txn that does not' "$(last txn <<<"$txn" | grep .)" "$(lines_of FAILURE 1)"

# History.
all put h/k 1 >/dev/null
all put h/k 2 >/dev/null
newest=$(last get h/k -w fields | sed -n 's/^"Revision" : //p')
check 'compaction' "$(all compaction "$newest")" "compacted revision $newest"
holds 'compaction again' "$(all compaction "$newest" 2>&1)" 'etcdserver: mvcc: required revision has been compacted'
holds 'get of what is gone' "$(last get h/k --rev=1 2>&1)" 'etcdserver: mvcc: required revision has been compacted'

# Watches.
timeout 60 "$ctl" --endpoints="$ENDPOINTS" watch w/ --prefix --prev-kv --rev="$newest" >"$scratch/heard" &
all put w/1 a >/dev/null
all put w/1 b >/dev/null
all del w/1 >/dev/null
until_true 'watch' 20 lines "$scratch/heard" 13
check 'watch hears' "$(cat "$scratch/heard")" "$(lines_of PUT w/1 a PUT w/1 a w/1 b DELETE w/1 b w/1 '')"
holds 'watch of what is gone' "$(last watch h/k --rev=1 2>&1)" 'etcdserver: mvcc: required revision has been compacted'

# Leases.
granted=$(all lease grant 60)
lease=$(awk '{ print $2 }' <<<"$granted")
check 'lease grant' "$granted" "lease $lease granted with TTL(60s)"
check 'put --lease' "$(last put l/k x --lease="$lease")" OK
holds 'lease timetolive' "$(last lease timetolive "$lease" --keys)" 'attached keys([l/k])'
holds 'lease list' "$(last lease list)" "$lease"
check 'lease keep-alive' "$(last lease keep-alive --once "$lease")" "lease $lease keepalived with TTL(60)"
check 'lease revoke' "$(all lease revoke "$lease")" "lease $lease revoked"
check 'its keys' "$(last get l/k)" ''
holds 'lease timetolive of nothing' "$(last lease timetolive "$lease")" "lease $lease already expired"
holds 'lease revoke of nothing' "$(all lease revoke "$lease" 2>&1)" 'etcdserver: requested lease not found'
holds 'put with a lease of nothing' "$(all put l/k x --lease="$lease" 2>&1)" 'etcdserver: requested lease not found'
lease=$(all lease grant 2 | awk '{ print $2 }')
all put l/short x --lease="$lease" >/dev/null
until_true 'a lease ends' 20 empty l/short

# The cluster.
count=$(tr ',' '\n' <<<"$ENDPOINTS" | wc -l)
check 'member list' "$(last member list | wc -l)" "$count"
check 'endpoint status' "$(all endpoint status | awk -F', ' '$5 == "true"' | wc -l)" 1
check 'endpoint status --cluster' "$(last endpoint status --cluster | wc -l)" "$count"
check 'endpoint health' "$(all endpoint health 2>&1 | grep -c 'is healthy')" "$count"
check 'endpoint hashkv' "$(all endpoint hashkv | awk -F', ' '{ print $2 }' | sort -u | wc -l)" 1
check 'alarm list' "$(last alarm list)" ''
check 'alarm disarm' "$(all alarm disarm)" ''
holds 'defrag' "$(all defrag 2>&1)" 'Finished defragmenting etcd member'
added=$(all member add learner --learner --peer-urls=http://127.0.0.1:1)
member=$(sed -n 's/^Member *\([0-9a-f]*\) added to cluster.*/\1/p' <<<"$added")
holds 'member add' "$added" 'added to cluster'
holds 'member update' "$(all member update "$member" --peer-urls=http://127.0.0.1:2)" 'updated in cluster'
holds 'member promote of one that does not run' "$(all member promote "$member" 2>&1)" 'etcdserver: can only promote a learner member which is in sync with leader'
sleep 1
holds 'member remove' "$(all member remove "$member")" "Member $(printf '%16s' "$member") removed from cluster"
if [ "$count" -gt 1 ]; then
  other=$(all endpoint status | awk -F', ' '$5 == "false" { print $2; exit }')
  holds 'move-leader' "$(all move-leader "$other" 2>&1)" 'Leadership transferred from'
fi

# Locks and elections.
check 'lock' "$(last lock lock/a echo held)" held
: >"$scratch/elected"
timeout 60 "$ctl" --endpoints="$ENDPOINTS" elect election/a one >"$scratch/elected" &
until_true 'elect' 20 lines "$scratch/elected" 2
check 'who is elected' "$(tail -n 1 "$scratch/elected")" one
: >"$scratch/observed"
timeout 60 "$ctl" --endpoints="$one" elect --listen election/a >"$scratch/observed" &
until_true 'elect --listen' 20 lines "$scratch/observed" 2
check 'who is observed' "$(tail -n 1 "$scratch/observed")" one

# A mirror: what is written below a prefix here is below another one, too.
all put m/old 1 >/dev/null
timeout 60 "$ctl" --endpoints="$ENDPOINTS" make-mirror --prefix=m/ --dest-prefix=n/ "$one" >/dev/null 2>&1 &
until_true 'make-mirror of what was there' 20 value n/old 1
all put m/new 2 >/dev/null
until_true 'make-mirror of what comes' 20 value n/new 2

# Backups.
holds 'snapshot save' "$(last snapshot save "$scratch/backup" 2>&1)" "Snapshot saved at $scratch/backup"
check 'its size' $(($(stat -c %s "$scratch/backup") % 512)) 32

printf '%s: %s passed, %s failed\n' "$name" "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
