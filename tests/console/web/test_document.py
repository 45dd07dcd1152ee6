"""The API keeps to its OpenAPI document: schemathesis tries to find where it does not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from lab import ROOT
from lab.alerts import alert
from lab.browser import browsing
from lab.web import TOKENS
from sensor.console.web import reference
from sensor.sinks.kafka.connection import KafkaSettings
from sensor.sinks.kafka.topics import wanted
from tests.conftest import needs


@pytest.mark.slow
def test_schemathesis_finds_nothing(server):
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.base}/openapi.json",
        "--header", f"Authorization: Bearer {TOKENS['operator']}",
        "--exclude-path", "/api/v1/stream",  # never ends
        "--exclude-path", "/api/v1/complaints",  # no schema says what mail is a report
        "--max-examples", "8", "--seed", "25", "--no-color", "--suppress-health-check", "all",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-8000:]
    (selected,) = re.findall(r"Selected: (\d+)/", done.stdout)
    assert f"Tested: {selected}" in done.stdout and int(selected) > 20


@pytest.mark.parametrize("role", ["viewer", None])
def test_the_document_is_for_everybody(server, role):
    assert server.get("/openapi.json", role).json()["openapi"].startswith("3.1")


def links(text):
    return set(re.findall(r'href="#([^"]+)"', text)), set(re.findall(r' id="([^"]+)"', text))


def test_the_reference_says_all_of_the_document_and_its_links_lead_somewhere(server):
    document = server.get("/openapi.json", None).json()
    page = server.get("/reference", None)
    assert page.ok and "script" not in page.text and "http" not in page.text.split("<main>")[0]
    there, ids = links(page.text)
    assert there <= ids and set(document["components"]["schemas"]) <= ids
    for path, does in document["paths"].items():
        for method in does:
            assert f"<code>{method.upper()} {path}</code></h3>" in page.text
    assert (ROOT / "docs" / "api.html").read_text() == reference.page(), "make schema"
    style = re.search(r'href="(/static/[^"]+)"', page.text)[1]
    assert server.get(style, None).ok


def test_topics_are_described_by_the_schemas_that_messages_keep_to(server):
    document = server.get("/asyncapi.json", None).json()
    assert json.loads((ROOT / "docs" / "asyncapi.json").read_text()) == document, "make schema"

    def found(reference):
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
        return part

    references = set(re.findall(r'"(#/[^"]+)"', json.dumps(document)))
    assert all(found(one) is not None for one in references) and len(references) > 20
    topics = {one["address"]: one for one in document["channels"].values()}
    made = set(wanted(KafkaSettings(acts_topic="port25.acts")))
    assert made | {KafkaSettings().enforcement_topic} == set(topics)
    payload = {"$ref": "#/components/schemas/alert", "components": document["components"]}
    jsonschema.validate(msgspec.to_builtins(alert()), payload)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"host": 7}, payload)


@pytest.mark.xdist_group("browser")
def test_the_reference_is_read_in_a_browser_without_a_complaint(server):
    needs("chromium")
    with browsing(server.base) as desk:
        page = desk.go("/reference")
        page.get_by_role("link", name="GET /api/v1/alerts", exact=True).first.click()
        assert page.url.endswith("#get-api-v1-alerts")
        desk.keep("reference")
        assert [one for one in desk.complaints if "401" not in one] == []
