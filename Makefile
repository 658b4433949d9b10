# Cofre: every task of a developer or a first visitor. `make` alone explains them.
BUILD ?= build
PREFIX ?= /usr/local
NINJA := ninja -C $(BUILD)

.PHONY: help deps build run test test-applications stress soak bench fuzz fresh gdb install lint format clean

help:
	@echo 'make run      convert a Debian image with Redis, run it in an enclave, use it, measure it against native'
	@echo 'make test     everything that CI checks (TEST=unit|conformance|e2e|fuzz for one part)'
	@echo 'make test-applications   runtimes and servers from Debian, on both sides (ROUNDS=5 for figures); not part of `make test`'
	@echo 'make stress   processes made, disturbed, killed at random, also by the host: nothing stays (TIME=seconds, default 120; SEED=)'
	@echo 'make soak     volumes: the simulated disk for longer, the engine with faults put in, programs killed 1560 times; interrupted, it goes on (SOAK=times as long, default 20; SEED=first seed; ONLY=pieces)'
	@echo 'make bench    figures against native, interleaved; build/bench.json (ONLY=name for one)'
	@echo 'make fuzz     fuzz every parser (TIME=seconds for each, default 60; ONLY=name for one)'
	@echo 'make fresh    prove `make run` and `make test` in a minimal Debian made by mmdebstrap'
	@echo 'make gdb      debug a program in an enclave: IMAGE=folder ARGS="..."'
	@echo 'make build    compile; the command is then build/cofre'
	@echo 'make install  PREFIX=/usr/local'
	@echo 'make lint     formatting, clang-tidy, layer and kernel checks'
	@echo 'make format   clang-format everything'
	@echo 'make deps     install the Debian packages that all of this needs (as root; otherwise names them)'

deps:
	@tools/install-deps build run test

$(BUILD)/build.ninja:
	@tools/install-deps build
	@meson setup $(BUILD) > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

build: $(BUILD)/build.ninja
	@$(NINJA) --quiet || $(NINJA)

run: build
	@tools/install-deps run
	@tools/demo

test: build
	@tools/install-deps run test
	@tools/run-tests $(TEST)

test-applications: build
	@tools/install-deps run test applications
	@rm -f $(BUILD)/applications.tsv
	@COFRE_ROUNDS=$(or $(ROUNDS),1) bats tests/e2e/languages.bats tests/applications
	@tools/application-figures $(BUILD)/applications.tsv

stress: build
	@tools/install-deps run test
	@COFRE_STRESS_SECONDS=$(or $(TIME),120) COFRE_SEED=$(SEED) bats --show-output-of-passing-tests -f 'random processes' tests/e2e/processes.bats

soak: build
	@tools/install-deps run test
	@tests/volumes/soak --times $(or $(SOAK),20) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

bench: build
	@tools/install-deps run test
	@bench/run $(ONLY)

fuzz:
	@tools/install-deps build test
	@fuzz/run --time $(or $(TIME),60) $(ONLY)

fresh:
	@tools/install-deps fresh
	@tools/fresh

gdb: build
	@[ -n "$(IMAGE)" ] || { echo "usage: make gdb IMAGE=folder [ARGS=...]" >&2; exit 2; }
	@build/cofre gdb $(IMAGE) -- $(ARGS)

install: build
	@meson configure $(BUILD) -Dprefix="$(PREFIX)"
	@$(NINJA) --quiet
	@meson install -C $(BUILD) --destdir "$(DESTDIR)" --quiet --no-rebuild

lint: build
	@tools/install-deps test
	@tools/lint

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(BUILD)
