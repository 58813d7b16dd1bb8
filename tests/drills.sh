#!/bin/sh
# Kills and stalls the regions of a planet of five under load, each N times, and reports.
# Ends with what the drill ends with; leaves the report with its evidence in target/drills.
set -eu
photon=$(realpath "$1")
n=${2:-20}
regions="us-east-1 eu-west-1 ap-southeast-1 eu-central-1 us-west-2"
# A fault lasts 3 s, and the planet has 6 s to be whole again: 20 of each kind take 6 minutes.
lasts=3
every=9
case $n in '' | *[!0-9]* | 0) echo "N is \`$n\`: give a number from 1 to 25" >&2; exit 2 ;; esac
[ "$n" -le 25 ] || { echo "N is $n: more than 25 of each take longer than 10 minutes" >&2; exit 2; }

out=target/drills
folder=$(mktemp -d)
mkdir -p "$out"
: > "$out/up.log"
rm -f "$out/report.json"
up=
rebalancing=
finish() {
  [ -z "$rebalancing" ] || kill "$rebalancing" 2>/dev/null || true
  [ -z "$up" ] || { kill -INT "$up" 2>/dev/null || true; wait "$up" 2>/dev/null || true; }
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

at=3
i=0
while [ "$i" -lt "$n" ]; do
  for kind in kill-region stall-region; do
    # Each region in turn, and none killed right after it was stalled.
    turn=$(( (i * 2 + ${#kind}) % 5 + 1 ))
    region=$(echo "$regions" | cut -d' ' -f$turn)
    printf '[[fault]]\nat = "%ss"\nfor = "%ss"\nkind = "%s"\nregion = "%s"\n\n' \
      "$at" "$lasts" "$kind" "$region"
    at=$((at + every))
  done
  i=$((i + 1))
done > "$out/matrix.toml"

port=${PHOTON_DRILL_PORT:-27400}
"$photon" up --fresh --data "$folder/planet" --base-port "$port" \
  --regions "$(echo "$regions" | tr ' ' ,)" --placement us=us-east-1,us-west-2 > "$out/up.log" 2>&1 &
up=$!
tries=0
until grep -q 'planet ready' "$out/up.log"; do
  kill -0 "$up" 2>/dev/null || { cat "$out/up.log" >&2; exit 1; }
  tries=$((tries + 1))
  [ "$tries" -le 300 ] || { echo "the planet is not ready after 60 s" >&2; exit 1; }
  sleep 0.2
done

# A region that was lost is the home of nothing until somebody spreads the homes again.
# About 5.5 s after a fault has begun, the region is up again and counts as back.
(
  sleep 8.9
  due=$(date +%s%N)
  while :; do
    "$photon" region rebalance --url "http://127.0.0.1:$port" || true
    due=$((due + every * 1000000000))
    left=$((due - $(date +%s%N)))
    [ "$left" -le 0 ] || sleep "$((left / 1000000000)).$(printf %09d $((left % 1000000000)))"
  done
) > "$out/rebalance.log" 2>&1 &
rebalancing=$!

echo "$((2 * n)) faults in $at s; the report with its evidence will be in $out/report.json" >&2
code=0
timeout 590 "$photon" drill --schedule "$out/matrix.toml" --data "$folder/planet" \
  --report "$out/report.json" > "$out/table.txt" || code=$?
[ ! -f "$out/report.json" ] || cat "$out/report.json"
cat "$out/table.txt"
exit "$code"
