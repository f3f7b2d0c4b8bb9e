GO ?= go
# Database drivers for certificates that nothing here uses: a cold build is 15 s shorter without them.
TAGS ?= nobadger,nomysql,nopgx
BIN := bin

.PHONY: build demo test lint bench scale clean

## build: Caddy with this module, in bin/caddy
build:
	$(GO) build -tags $(TAGS) -o $(BIN)/caddy ./tests/caddy

## demo: Caddy in front of stand-ins for Authelia and RomM, on http://localhost:9080
demo: build
	$(GO) build -o $(BIN)/demo ./tests/demo
	@exec $(BIN)/demo -caddy $(BIN)/caddy

## test: everything, saying what was skipped and why
test:
	$(GO) vet -tags $(TAGS) ./...
	tests/gotest.sh -race ./flow/... ./handler/... ./tests/authelia/ ./tests/romm/
	tests/gotest.sh -tags $(TAGS) -count=1 ./tests/
	cd tests/e2e && ../gotest.sh -tags $(TAGS) -count=1 ./...

## lint: what CI asks of the code's form
lint:
	golangci-lint run ./...
	cd tests/e2e && golangci-lint run -c ../../.golangci.yml ./...
	$(GO) mod tidy -diff
	cd tests/e2e && $(GO) mod tidy -diff

## bench: a signed-in request through the gate
bench:
	$(GO) test -run '^$$' -bench . -benchmem -count 5 ./handler/ ./flow/session/

## scale: what a million sessions cost a storage on the network, simulated
scale:
	$(GO) test -v -run TestScale -timeout 30m ./flow/session/ -sessions 1000000

clean:
	rm -rf $(BIN)
