#!/bin/sh
# Makes one store of three Garage nodes: connects them, gives each its part of the data, and makes the
# bucket and the key that roomtape uses. Does nothing that has been done before, so that it may run
# at every start.
#
#   NODES          admin address and RPC address of each node: "host:3903/host:3901 …"
#   BUCKET         the bucket's name
#   CAPACITY       bytes that each node may hold
#   ADMIN_TOKEN    Garage's admin token       (or ADMIN_TOKEN_FILE)
#   STORE_KEY      GK and 24 hex digits       (or STORE_KEY_FILE)
#   STORE_SECRET   64 hex digits              (or STORE_SECRET_FILE)
set -eu

ADMIN_TOKEN=${ADMIN_TOKEN:-$(cat "$ADMIN_TOKEN_FILE")}
STORE_KEY=${STORE_KEY:-$(cat "$STORE_KEY_FILE")}
STORE_SECRET=${STORE_SECRET:-$(cat "$STORE_SECRET_FILE")}

# call HOST METHOD PATH [BODY]: prints the answer; an error's answer goes to standard error. Token
# and body go in by standard input: arguments can be seen by others.
call() {
  answer=$(printf 'header = "Authorization: Bearer %s"\nheader = "Content-Type: application/json"\n%s' \
      "$ADMIN_TOKEN" "${4:+data = \"$(printf %s "$4" | sed 's/"/\\"/g')\"}" |
    curl -sS --max-time 10 -K - -X "$2" -w '\n%{http_code}' "http://$1$3") || return 1
  case "$answer" in
    *2[0-9][0-9]) printf '%s' "${answer%???}" ;;
    *) printf '%s %s: %s\n' "$2" "$3" "$answer" >&2; return 1 ;;
  esac
}

# Where it was done before, a node that is away now is no reason to wait.
for node in $NODES; do
  if call "${node%%/*}" GET "/v2/GetBucketInfo?globalAlias=$BUCKET" 2>/dev/null |
      grep -q "$STORE_KEY"; then
    echo "the store is ready, as it was"
    exit 0
  fi
done

first=${NODES%% *}
first=${first%%/*}
peers='' roles='' nodes=0
for node in $NODES; do
  admin=${node%%/*}
  until curl -sS -o /dev/null --max-time 2 "http://$admin/health" 2>/dev/null; do sleep 1; done
  id=$(call "$admin" GET '/v2/GetNodeInfo?node=self' | tr -d '\n' |
    sed -n 's/.*"nodeId"[[:space:]]*:[[:space:]]*"\([0-9a-f]*\)".*/\1/p')
  nodes=$((nodes + 1))
  peers="$peers${peers:+,}\"$id@${node#*/}\""
  roles="$roles${roles:+,}{\"id\":\"$id\",\"zone\":\"zone$nodes\",\"capacity\":$CAPACITY,\"tags\":[]}"
done

call "$first" POST /v2/ConnectClusterNodes "[$peers]" >/dev/null

version=$(call "$first" GET /v2/GetClusterLayout | tr -d '\n' |
  sed -n 's/.*"version"[[:space:]]*:[[:space:]]*\([0-9]*\).*/\1/p')
if [ "$version" = 0 ]; then
  call "$first" POST /v2/UpdateClusterLayout "{\"roles\":[$roles]}" >/dev/null
  call "$first" POST /v2/ApplyClusterLayout '{"version":1}' >/dev/null
  echo "the layout of $nodes nodes is applied"
fi
until call "$first" GET /v2/GetClusterHealth | grep -q '"status"[[:space:]]*:[[:space:]]*"healthy"'; do
  sleep 1
done

if ! call "$first" GET "/v2/GetKeyInfo?id=$STORE_KEY" >/dev/null 2>&1; then
  call "$first" POST /v2/ImportKey \
    "{\"accessKeyId\":\"$STORE_KEY\",\"secretAccessKey\":\"$STORE_SECRET\",\"name\":\"roomtape\"}" >/dev/null
  echo "the key is there"
fi
bucket=$(call "$first" GET "/v2/GetBucketInfo?globalAlias=$BUCKET" 2>/dev/null || true)
if [ -z "$bucket" ]; then
  bucket=$(call "$first" POST /v2/CreateBucket "{\"globalAlias\":\"$BUCKET\"}")
  echo "the bucket is there"
fi
id=$(printf %s "$bucket" | tr -d '\n' | sed -n 's/^[^"]*"id"[[:space:]]*:[[:space:]]*"\([0-9a-f]*\)".*/\1/p')
call "$first" POST /v2/AllowBucketKey \
  "{\"bucketId\":\"$id\",\"accessKeyId\":\"$STORE_KEY\",\"permissions\":{\"read\":true,\"write\":true,\"owner\":false}}" >/dev/null
echo "the store is ready"
