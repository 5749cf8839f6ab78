# Everything a developer runs. `make` lists it.

GO        ?= go
GOFMT     ?= gofmt
PKG       ?= ./...
TESTFLAGS ?= -race -shuffle=on -timeout 15m

RELAYSTORE := bin/relaystore
SQLC       := $(GO) tool -modfile=tools/sqlc.mod sqlc
LINT       := $(GO) tool -modfile=tools/lint.mod golangci-lint

.DEFAULT_GOAL := help
# generate-verify deletes files that the other checks compile.
.NOTPARALLEL:

.PHONY: help
help: ## list the targets and variables
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  DATABASE_URL and REDIS_URL, when set, are used instead of private servers;'
	@echo '  PKG=./repo/... and TESTFLAGS="-race -run Name" narrow down make test.'

.PHONY: build
build: ## build bin/relaystore and bin/examplegateway
	@mkdir -p bin && CGO_ENABLED=0 $(GO) build -o bin/ ./cmd/...

.PHONY: servers
servers:
	@if [ -z "$$DATABASE_URL" ] || [ -z "$$REDIS_URL" ]; then tools/install-servers.sh; fi

.PHONY: demo
demo: servers build ## show what relaystore does, on private servers
	@exec $(RELAYSTORE) demo

.PHONY: torture
torture: servers build ## kill everything while usage is recorded, and audit it; DURATION=60s bounds it
	@exec $(RELAYSTORE) torture $(if $(DURATION),--duration $(DURATION)) $(TORTUREFLAGS)

# The tests of the private servers need them installed whatever is set.
.PHONY: test
test: ## run all tests, on private servers
	@tools/install-servers.sh --with-cc
	@$(MAKE) --no-print-directory build
	CGO_ENABLED=1 $(RELAYSTORE) dev --only-missing -- $(GO) test $(TESTFLAGS) $(PKG)

.PHONY: check
check: fmt-check generate-verify sql-vet lint vet ## check format, generated code, SQL, lint
	$(GO) build ./...

.PHONY: fmt-check
fmt-check:
	@files=$$($(GOFMT) -l .) || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted: $$files" >&2; exit 1; fi

.PHONY: generate
generate: ## generate db/ from schema/ and queries/
	$(SQLC) generate

# Deleting first finds files that nothing generates any more. A failed
# generation leaves db/ as it was; another result stays, to be committed.
.PHONY: generate-verify
generate-verify:
	@before=$$(mktemp -d) && trap 'rm -rf "$$before"' EXIT && cp -R db/. "$$before" && \
	rm -f db/*.go && \
	{ $(MAKE) --no-print-directory generate || { cp -R "$$before"/. db; exit 1; }; } && \
	{ diff -r "$$before" db || { echo 'db/ was not what make generate makes' >&2; exit 1; }; }

.PHONY: sql-vet
sql-vet:
	@tools/install-servers.sh
	@$(MAKE) --no-print-directory build
	$(RELAYSTORE) dev -- sh -c '$(RELAYSTORE) migrate up && $(SQLC) vet -f tools/sqlc-vet.yaml'

.PHONY: lint
lint:
	$(LINT) run

.PHONY: vet
vet:
	$(GO) vet ./...
