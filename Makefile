# Each target sets up .venv first; afterwards .venv/bin/port25 runs. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo demo-live demo-web demo-cluster test check same bench bench-live bench-kafka bench-cluster bench-flink bench-leases bench-web quality fit wheel deb release container site kafka lab soak schema picture conformance fuzz fixtures lock clean

help: ## what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: .venv/ready ## bots and legitimate mailers in one capture: who is found, and why
	@echo "The first run compiles the kernels, which takes half a minute; later runs do not."
	$(BIN)/port25 replay pcaps/demo.pcap
	$(BIN)/port25 explain 203.0.113.30 -r pcaps/demo.pcap
	@echo "make demo-live shows it as it happened, on this terminal; make demo-web, in a browser."

demo-live: .venv/ready ## the same as it happened, ten times as fast, with port25 watch open
	deploy/demo-live

demo-web: .venv/ready ## the same with port25 web
	deploy/demo-live web

demo-cluster: .venv/ready ## three borders, Kafka, two who correlate: what one sensor would have seen? (Java, Maven)
	$(BIN)/python -m lab.demo_cluster

test: .venv/ready ## the tests; CI=true: the slow ones too, and none is skipped
	$(BIN)/python -m pytest -n auto --dist loadgroup

check: .venv/ready ## formatter, linter, types, and the order of the stages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

same: .venv/ready ## are alerts, sessions and segments of every capture as they were at BASE=commit?
	rm -rf build/base && git worktree prune && git worktree add --quiet --detach build/base $(BASE)
	PYTHONPATH=build/base $(BIN)/python benchmarks/same.py keep build/base.json
	$(BIN)/python -m benchmarks.same hold build/base.json

bench: .venv/ready ## this sensor beside tcpdump, tshark, dpkt and scapy on the same files
	$(BIN)/python -m benchmarks.start --page
	$(BIN)/python -m benchmarks.bench --page
	$(BIN)/python -m benchmarks.shares --page

bench-live: .venv/ready ## drops beside tcpdump, and latency, in network namespaces (root)
	$(BIN)/python -m benchmarks.live --page

bench-kafka: .venv/ready ## alerts a second to Kafka, and packet to acknowledgement (root, Java)
	$(BIN)/python -m benchmarks.delivery --page

bench-cluster: .venv/ready ## what forwarding and correlating cost beside replay, and bytes on Kafka
	$(BIN)/python -m benchmarks.cluster

bench-flink: .venv/ready ## the join of two directions beside Apache Flink (Java, Maven, 0.8 GB into build/)
	$(BIN)/python -m benchmarks.flink

bench-leases: .venv/ready ## what a million leases cost the pipeline, memory of ten million, changes a second
	$(BIN)/python -m benchmarks.leases --page

bench-web: .venv/ready ## the page with 100,000 alerts, and with 200 who follow (Chromium)
	$(BIN)/python -m benchmarks.web --page

quality: .venv/ready ## docs/quality.md: found, missed, falsely accused, on simulated traffic (15 minutes)
	$(BIN)/python -m benchmarks.evaluate

fit: .venv/ready ## docs/fit.md: what each detector's decibans are worth by kinds of senders (five minutes)
	$(BIN)/python -m benchmarks.fit

wheel: .venv/ready ## an installation with machine code, into dist/ (two minutes)
	deploy/wheel

deb: wheel ## packages for Debian 12, 13 and Ubuntu 24.04, from that wheel, into dist/
	deploy/deb

release: .venv/ready ## all of it from a tag, with what changed and digests, into dist/
	deploy/release

container: ## an image for podman or docker from that package (BASE=image; podman, or buildah)
	deploy/container/build

site: ## the pages as a site, in build/site/html, each link checked
	deploy/site/build

kafka: ## Apache Kafka on 127.0.0.1:9092, from Maven Central (needs Java 17 and Maven)
	deploy/kafka/broker

lab: .venv/ready ## a small provider in network namespaces, alerts live (root)
	$(BIN)/python -m lab.provider

soak: .venv/ready ## the same for 30 minutes under mixed load: is memory flat? (root)
	$(BIN)/python -m lab.soak 1800

schema: .venv/ready ## write the JSON Schemas in docs/ from the program
	$(BIN)/python -m sensor.alerts.alert > docs/alert.schema.json
	$(BIN)/python -m sensor.smtp.record > docs/session.schema.json
	$(BIN)/python -m sensor.blocking.decision > docs/decision.schema.json
	$(BIN)/python -m sensor.blocking.desk_record > docs/desk.schema.json
	$(BIN)/python -m sensor.blocking.enforcement > docs/enforcement.schema.json
	$(BIN)/python -m sensor.blocking.acts > docs/act.schema.json
	$(BIN)/python -m sensor.alerts.notice > docs/notice.schema.json
	$(BIN)/python -m sensor.alerts.notice health > docs/health.schema.json
	$(BIN)/python -m sensor.service.metrics > docs/metrics.md
	$(BIN)/python -m sensor.console.web.openapi > docs/openapi.json
	$(BIN)/python -m sensor.console.web.reference > docs/api.html
	$(BIN)/python -m sensor.sinks.kafka.asyncapi > docs/asyncapi.json
	$(BIN)/python deploy/grafana/make.py > deploy/grafana/port25.json

picture: .venv/ready ## the pictures in docs/, of the real thing (Chromium)
	$(BIN)/python -m lab.picture
	$(BIN)/python -m lab.way > docs/architecture.svg

conformance: .venv/ready ## docs/conformance.md: the peers' captures and what they expect of them
	$(BIN)/python -m lab.conformance > docs/conformance.md

fuzz: .venv/ready ## streams and dialogue against a thousand million bytes; DNS answers for an hour
	PORT25_CHECKED_LOADS=1 NUMBA_BOUNDSCHECK=1 $(BIN)/python -m lab.fuzz.smtp 1000
	$(BIN)/python -m lab.fuzz.dns 3600

fixtures: .venv/ready ## make the captures in pcaps/ anew
	$(BIN)/python pcaps/scenarios.py
	$(BIN)/python pcaps/customers.py

lock: ## pin what pyproject.toml asks for (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --group dev \
	  --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	cd deploy/site && uv pip compile requirements.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## remove what was made
	rm -rf .venv build dist *.egg-info
