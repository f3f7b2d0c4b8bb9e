GO ?= go
# Leave out the database drivers of Caddy's certificate authority, which this
# project does not use: a cold build takes 15 s less.
TAGS ?= nobadger,nomysql,nopgx
BIN := bin
GOLANGCI_LINT := $(BIN)/golangci-lint
GOLANGCI_LINT_VERSION := 2.15.0

.PHONY: help build demo test lint bench scale soak clean

## help: list these targets
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk -F ': ' '{ text = $$0; sub(/^[^:]*: /, "", text); printf "  make %-6s  %s\n", $$1, text }'

## build: build Caddy with this module, as bin/caddy
build:
	$(GO) build -tags $(TAGS) -o $(BIN)/caddy ./tests/caddy

# The demo's first port. It also uses the next four.
PORT ?= 9080

## demo: run Caddy in front of stand-ins for Authelia and RomM, on http://localhost:9080
demo: build
	$(GO) build -o $(BIN)/demo ./tests/demo
	@exec $(BIN)/demo -caddy $(BIN)/caddy -port $(PORT)

## test: run all tests, and list the skipped ones with their reasons
test:
	$(GO) vet -tags $(TAGS) ./...
	tests/gotest.sh -race -timeout 30m ./flow/... ./handler/... ./tests/authelia/ ./tests/nodes/ ./tests/romm/
	tests/gotest.sh -race -timeout 30m -tags $(TAGS) -count=1 . ./tests/ ./tests/demo/
	cd tests/e2e && ../gotest.sh -tags $(TAGS) -count=1 ./...
	cd tests/e2e && ROMM_OIDC_BROWSER_MODE=http ../gotest.sh -tags $(TAGS) -count=1 ./browser/
	cd tests/e2e && ROMM_OIDC_BROWSER_MODE=stripped ../gotest.sh -tags $(TAGS) -count=1 ./browser/

## lint: run the linters and check go.mod; installs golangci-lint into bin/ if it is missing
lint: $(GOLANGCI_LINT)-$(GOLANGCI_LINT_VERSION)
	$(GOLANGCI_LINT) run ./...
	cd tests/e2e && ../../$(GOLANGCI_LINT) run -c ../../.golangci.yml ./...
	$(GO) mod tidy -diff
	cd tests/e2e && $(GO) mod tidy -diff

# The version is part of the name, so that a new one is installed over an old one.
$(GOLANGCI_LINT)-$(GOLANGCI_LINT_VERSION):
	GOBIN=$(abspath $(BIN)) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_LINT_VERSION)
	@rm -f $(GOLANGCI_LINT)-*
	@ln -s golangci-lint $@

## bench: benchmark requests through the gate, also against a handler that does nothing
bench:
	$(GO) test -run '^$$' -bench . -benchmem -count 5 ./handler/ ./flow/session/
	$(GO) test -tags $(TAGS) -count=1 -v -run '^TestCost$$' ./tests/ -cost | grep -E '^(signed|the same|a known|anonymous|forged| +above|FAIL|ok)'

## scale: simulate a million sessions in a network storage
scale:
	$(GO) test -v -run TestScale -timeout 30m ./flow/session/ -sessions 1000000

## soak: three nodes and their users for two hours of a clock of their own, while everything around them fails
soak:
	$(GO) test -count=1 -v -run TestSoak -timeout 30m ./tests/nodes/ -soak 2h

## clean: remove bin/
clean:
	rm -rf $(BIN)
