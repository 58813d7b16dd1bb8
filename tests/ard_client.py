"""The unmodified package `ard-publish` finds nothing wrong with a planet's catalog and registry.

Usage: ard_client.py REGION_URL

The agent `shout` is registered; others may be.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request

import ard_publish


def must(holds, what):
    if not holds:
        sys.exit(f"a promise is broken: {what}")


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer), answer.headers


def entries_are_well(entries):
    """What the registry tells is what a manifest could hold."""
    if entries:
        problems = ard_publish.validate({"specVersion": "1.0", "entries": entries})
        must(problems == [], problems)


def main(base):
    for path in ["ard.json", "ai-catalog.json"]:
        manifest, headers = ask(f"{base}/.well-known/{path}")
        must(headers["access-control-allow-origin"] == "*", "pages of others may read it")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(manifest, file)
            file.flush()
            command = [sys.executable, "-m", "ard_publish", "validate", file.name]
            done = subprocess.run(command, capture_output=True, text=True)
        must(done.returncode == 0, done.stdout + done.stderr)
    registries = [it for it in manifest["entries"] if it["type"] == "application/ai-registry+json"]
    registry = registries[0]["url"]
    found, _ = ask(f"{registry}/search", {"query": {"text": "text in capitals, text.upper"}})
    must(found["results"][0]["displayName"] == "shout", found)
    entries_are_well(found["results"])
    must(all(0 < it["score"] <= 100 and it["source"] for it in found["results"]), found)
    listed, _ = ask(f"{registry}/agents?pageSize=100")
    entries_are_well(listed["items"])
    facets = {"resultType": {"facets": [{"field": "capabilities"}]}}
    counted, _ = ask(f"{registry}/explore", facets)
    values = [it["value"] for it in counted["facets"]["capabilities"]["buckets"]]
    must("text.upper" in values, counted)
    card, _ = ask(found["results"][0]["url"])
    must(card["skills"][0]["id"] == "text.upper", "what was found is the card of an agent")
    print(f"all promises are kept: {len(manifest['entries'])} entries, {listed['total']} agents")


main(*sys.argv[1:])
