# berth: make alone builds, checks and runs the unit tests; make help lists the rest.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
PREFIX  ?= /usr/local
GO      ?= go

# Binaries are static and the same for the same source.
export CGO_ENABLED = 0
# Not from git: the version below says it, and a checkout of another owner works.
export GOFLAGS := -buildvcs=false $(GOFLAGS)
GOBUILD = $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'
GOARCH := $(shell $(GO) env GOARCH)
TOOLBOX = image/toolbox/embed/$(GOARCH)/toolbox.tar

# Where the tests keep what is slow to make again (a Debian root file system).
BERTH_TEST_CACHE ?= /var/cache/berth-test
GOTEST = $(GO) test -p 2 -timeout 10m

GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Debian packages that the root tests use; see .ci/packages for what for.
TEST_PACKAGES = $(shell sed -e 's/\#.*//' .ci/packages)

.DEFAULT_GOAL := all

##@ Every day

.PHONY: all
all: build lint-light unit ## build, check, unit tests (what make alone does)

.PHONY: build
build: toolbox ## build bin/berth, bin/berthd and bin/berth-oci
	@mkdir -p bin
	$(GOBUILD) -o bin/ ./cmd/...

.PHONY: toolbox
toolbox: $(TOOLBOX) ## build the embedded image

$(TOOLBOX): $(shell find image/toolbox/mk image/toolbox/src -type f ! -name '*_test.go')
	GOARCH= $(GO) run ./image/toolbox/mk -arch $(GOARCH) -src image/toolbox/src -o $@

.PHONY: run
run: build ## run the main job: a shell in a new container; without a terminal, a tour of one
	@./image/toolbox/tour.sh bin/berth

##@ Tests

.PHONY: unit
unit: toolbox ## tests that need no root
	BERTH_TEST_ROOT= $(GOTEST) ./...

.PHONY: test
test: test-deps build cross ## install what the tests need, then run all of them (as root)
	cd image/toolbox/src && $(GO) test ./...
	BERTH_TEST_ROOT=1 BERTH_TEST_BIN='$(CURDIR)/bin' BERTH_TEST_CACHE='$(BERTH_TEST_CACHE)' $(GOTEST) -count=1 ./...

.PHONY: test-vm
test-vm: test-deps build ## the tests that need a kernel, on Linux 6.1 with cgroup v2 alone, emulated (as root; minutes; PACKAGES, RUN, BOOTS, COMMAND)
	test/vm/test.sh '$(BERTH_TEST_CACHE)/vm' $(PACKAGES)

.PHONY: dropin
dropin: test-deps build ## podman, docker and containerd with berth-oci, also what is rare or slow (as root; minutes)
	BERTH_TEST_ROOT=1 BERTH_DROPIN_ALL=1 BERTH_TEST_BIN='$(CURDIR)/bin' $(GO) test -count=1 -timeout 60m -v ./test/dropin

.PHONY: test-deps
test-deps: ## install the Debian packages of .ci/packages that are missing
	@missing=$$(for p in $(TEST_PACKAGES); do \
		dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | grep -q '^install ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		[ "$$(id -u)" = 0 ] || { echo "make test: run it as root: it needs $$missing and the kernel's privileges" >&2; exit 1; }; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
			apt-get install -q -y --no-install-recommends $$missing; \
	fi

.PHONY: cross
cross: ## check that the other architecture builds
	GOARCH=amd64 $(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...

.PHONY: race
race: toolbox ## unit tests under the race detector (needs gcc)
	CGO_ENABLED=1 BERTH_TEST_ROOT= $(GOTEST) -race ./...

.PHONY: conformance
conformance: build ## the OCI validation suite with berth-oci beside crun and runc (as root; some minutes)
	BERTH_TEST_CACHE='$(BERTH_TEST_CACHE)' $(GO) run ./test/conformance/compare -bin bin

.PHONY: bench
bench: build ## compare with crun, runc, podman and docker where they are installed (as root)
	$(GO) run ./bench/cmd/compare -bin bin
	$(GO) run ./bench/cmd/oci -bin bin $(BENCH_RUNTIMES)
	$(GO) test ./bench/pull -run '^$$' -bench . -benchtime 3x

.PHONY: bench-oci
bench-oci: build ## compare berth-oci with crun, runc and the kernel's floor (as root)
	$(GO) run ./bench/cmd/oci -bin bin $(BENCH_RUNTIMES)

.PHONY: bench-network
bench-network: build ## compare networks with those of docker and podman, where they are installed (as root)
	$(GO) build -trimpath -o .cache/bench/network ./bench/cmd/network
	unshare --net .cache/bench/network -bin bin

# The newest runc, for BENCH_RUNTIMES='-runtime runc=.cache/bench/runc' (needs gcc, pkg-config and libseccomp-dev).
.cache/bench/runc:
	GOBIN='$(CURDIR)/.cache/bench' CGO_ENABLED=1 $(GO) install -tags seccomp github.com/opencontainers/runc@latest

##@ Checks

.PHONY: lint-light
lint-light: ## gofmt, go vet, the architecture's rules
	@bad=$$(find . -name '*.go' -not -path '*/testdata/*' -not -path './.cache/*' | xargs gofmt -l); [ -z "$$bad" ] || { echo "run gofmt -w on:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) test ./internal/archtest

.PHONY: lint
lint: lint-light ## all linters (compiles golangci-lint the first time: minutes)
	$(GO) run $(GOLANGCI_LINT) run ./...

.PHONY: docs
docs: ## rewrite what docs/ takes from the code
	$(GO) test ./internal/archtest -run TestSecurityDocument -update

##@ Else

.PHONY: install
install: build ## install the binaries under PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/berth bin/berthd bin/berth-oci $(DESTDIR)$(PREFIX)/bin/

.PHONY: clean
clean: ## remove what was built
	rm -rf bin image/toolbox/embed/*/toolbox.tar

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
