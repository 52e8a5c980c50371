# till: `make` builds ./till; `make help` lists the rest.
#
#   MODE=sanitize   build as one of the modes below, each in its own folder; ./till is the release
#   CC=clang        another compiler        CI=1   warnings are errors
#   SUITE="sim"     only these suites       V=1    show the commands
MODE   ?= release
B      ?= build/$(MODE)
PREFIX ?= /usr/local
Q      := $(if $(V),,@)

CFLAGS_release  := -O2 -g
CFLAGS_sanitize := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
                   -fno-omit-frame-pointer
CFLAGS_thread   := -O1 -g -fsanitize=thread
# gcc 12 with --coverage crashes in the pass behind -Wformat.
CFLAGS_coverage := -O0 -g --coverage -Wno-format
CFLAGS_check    := -O2 -g -march=x86-64-v3
CFLAGS_fuzz     := $(CFLAGS_sanitize) -fsanitize=fuzzer-no-link
FLAGS  := -std=gnu11 -D_GNU_SOURCE -I. -MMD -MP -pthread -fno-strict-aliasing \
          -Wall -Wextra -Wconversion -Wshadow -Wno-missing-field-initializers $(if $(CI),-Werror) $(CFLAGS_$(MODE))
LDLIBS := -luring -llz4 -lm -pthread

objects   = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
LIB      := $(call objects,base/*.c engine/*.c wal/*.c snapshot/*.c net/*.c cli/*.c bench/*.c)
REAL     := $(B)/base/disk_posix.o $(filter $(B)/net/io_uring%.o,$(LIB))
PROGRAMS := $(B)/till $(B)/test-unit $(B)/test-model $(B)/test-sim
FUZZERS  := $(B)/fuzz-block $(B)/fuzz-frames $(B)/fuzz-link $(B)/fuzz-text
TARGETS  := all run bench test sanitize fuzz coverage tidy schema-check format install help
BUILD     = +$(Q)$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: $(TARGETS) programs fuzzers deps deps-check clean
# Under -j these come first when they are asked for together with others.
$(TARGETS): | $(filter deps deps-check clean,$(MAKECMDGOALS))

all: ## build ./till
	$(BUILD) $(if $(filter release,$(MODE)),till,$(B)/till)
run: all ## a small flash sale with a kill -9 in the middle, and what comes after; checked
	./till demo
bench: all ## measure a server on this machine
	./till bench
test: all ## all tests, or those of SUITE
	$(BUILD) programs
	$(Q)tests/run --mode $(MODE) $(SUITE)
sanitize: ## the tests under the address and undefined behaviour sanitizers
	$(BUILD) MODE=sanitize programs
	$(Q)tests/run --mode sanitize $(SUITE)
coverage: ## the tests, and how much of each file they reach
	$(BUILD) MODE=coverage programs
	$(Q)tests/run --mode coverage $(SUITE)
	$(Q)tests/coverage
fuzz: ## each fuzzer for FUZZ_SECONDS (30)
	$(BUILD) MODE=fuzz CC=clang fuzzers
	$(Q)tests/fuzz/run
tidy: all ## layout, include rules, clang-tidy, cppcheck, of what has changed
	$(Q)tests/tidy/run
schema-check: ## the rows of engine/tables against the recorded schemas
	$(Q)tests/schema/run
format: ## settle the layout of all sources
	clang-format -i $$(find . -path ./build -prune -o -name '*.[ch]' -print)
install: all ## to PREFIX (/usr/local), under DESTDIR
	install -D -m 755 till $(DESTDIR)$(PREFIX)/bin/till
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / {name[++count] = $$1; text[count] = $$2; \
	    if (length($$1) > width) width = length($$1)} END {for (i = 1; i <= count; i++) \
	    printf "  %-" width "s  %s\n", name[i], text[i]}' Makefile
	@echo 'With them: MODE=sanitize CC=clang CI=1 SUITE="sim unit" V=1, as the head of Makefile says.'
clean: ## remove what was built
	rm -rf build till compile_commands.json

deps: ## install with apt-get what building and testing needs and is not there
deps-check: ## the same for the sanitizers, fuzz, tidy and format
deps:       PACKAGES := liburing-dev libxxhash-dev liblz4-dev python3
deps-check: PACKAGES := clang clang-tidy clang-format libclang-rt-14-dev cppcheck valgrind
deps deps-check:
	@missing=$$(for package in $(PACKAGES); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || \
	    echo $$package; \
	done); \
	if [ -z "$$missing" ]; then echo "  DEPS nothing is missing"; exit; fi; \
	missing=$$(echo $$missing); \
	root=$$([ $$(id -u) = 0 ] || command -v sudo || echo none); \
	if ! command -v apt-get >/dev/null; then \
	    why="there is no apt-get"; \
	elif [ "$$root" = none ]; then \
	    why="that needs root, and there is no sudo"; \
	else \
	    echo "  DEPS installing $$missing"; \
	    $$root apt-get -q update && $$root env DEBIAN_FRONTEND=noninteractive \
	        apt-get -q -y --no-install-recommends install $$missing && exit; \
	    why="it was refused"; \
	fi; \
	echo "make $@: these packages of Debian 12 are missing: $$missing." >&2; \
	echo "They could not be installed: $$why. As root:" >&2; \
	echo "  apt-get update && apt-get install --no-install-recommends $$missing" >&2; \
	exit 1

till: $(B)/till
	$(Q)cp -f $< $@
programs: $(PROGRAMS) ## build till and the tests
fuzzers: $(FUZZERS) ## build the fuzzers (CC=clang)
$(B)/till: $(B)/main.o $(LIB)
$(B)/test-unit: $(call objects,tests/unit/*.c tests/test.c) $(LIB)
test-model := $(call objects,tests/model/*.c tests/test.c) \
              $(filter $(B)/base/% $(B)/engine/%,$(LIB))
test-sim   := $(call objects,tests/sim/*.c tests/test.c) $(filter-out $(REAL),$(LIB))
$(B)/test-model: $(test-model)
$(B)/test-sim: $(test-sim)

# Tests with a fault planted in what they test, which they have to find: test-sim with those of
# net/plant.h for tests/sim/plants, test-model with those of engine/plant.h for tests/model/plants.
# $(1): the folder, $(2): its program, $(3): the flag, $(4): the sources that the fault may be in.
define PLANT
$(B)/$(1)/$(2): $(4:%.c=$(B)/$(1)/%.o) $(filter-out $(4:%.c=$(B)/%.o),$($(2)))
$(B)/$(1)/%.o: FLAGS += $(3)
$(B)/$(1)/%.o: %.c
	@echo "  CC   $$< for $(1)"
	@mkdir -p $$(@D)
	$(Q)$$(CC) $$(FLAGS) $$(CFLAGS) -c -o $$@ $$<
endef
planted = $(shell grep -l '"$(1)/plant.h"' $(1)/*.c)
PLANTS       := 1 2 3 4 5 6 7 8
OFFER_PLANTS := 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
$(foreach n,$(PLANTS),$(eval $(call PLANT,plant-$n,test-sim,-DTILL_PLANT=$n,$(call planted,net))))
$(foreach n,$(OFFER_PLANTS),$(eval $(call \
    PLANT,offer-plant-$n,test-model,-DTILL_OFFER_PLANT=$n,$(call planted,engine))))
PLANTED_SIM   := $(PLANTS:%=$(B)/plant-%/test-sim)
PLANTED_MODEL := $(OFFER_PLANTS:%=$(B)/offer-plant-%/test-model)
plants: $(PLANTED_SIM) ## build the simulation with planted faults
offer-plants: $(PLANTED_MODEL) ## build the model's tests with planted faults
.PHONY: plants offer-plants

$(FUZZERS): $(B)/fuzz-%: $(B)/tests/fuzz/fuzz_%.o $(filter-out $(B)/bench/%,$(LIB))
$(FUZZERS): LDFLAGS += -fsanitize=fuzzer

$(PROGRAMS) $(FUZZERS) $(PLANTED_SIM) $(PLANTED_MODEL):
	@echo "  LINK $@"
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/%.o: %.c
	@echo "  CC   $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -c -o $@ $<

# What git calls the source, where this is a clone: a part of the version.
SOURCE := $(if $(wildcard .git),$(shell git describe --always --dirty --tags 2>/dev/null))
$(B)/source: FORCE
	@mkdir -p $(@D)
	@echo '$(SOURCE)' | cmp -s - $@ || echo '$(SOURCE)' >$@
$(B)/cli/version.o: $(B)/source
$(B)/cli/version.o: FLAGS += -DTILL_SOURCE='"$(SOURCE)"'
.PHONY: FORCE

# What clangd and other tools must know of each source; made anew each time, as sources come and go.
SOURCES := $(wildcard *.c */*.c */*/*.c)
compile_commands.json: FORCE ## how each source is compiled, for editors
	$(Q)separator='['; for source in $(SOURCES); do \
	    printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' "$$separator" \
	        '$(CURDIR)' "$$source" '$(CC) $(filter-out -MMD -MP,$(FLAGS)) $(CFLAGS)' "$$source"; \
	    separator=,; done >$@; echo ']' >>$@

# Beside ./till: the yardstick, the client of its peers, fixed work to count instructions of,
# hostile clients, and a replica that does nothing but acknowledge.
BESIDE := $(B)/limit $(B)/peer-client $(B)/stages $(B)/soak $(B)/sink
.PHONY: bench-soak bench-limit bench-peers bench-goals bench-scaling bench-snapshots bench-replicas bench-check
bench-limit: all ## till beside a bare server that only answers and writes
	$(BUILD) $(B)/limit >&2
	$(Q)python3 bench/peers/peers.py --build $(B) --only till,limit $(PEERS)
bench-peers: all ## the same beside Redis, PostgreSQL and Tarantool; PEERS="--seconds 2"
	$(BUILD) $(B)/limit $(B)/peer-client >&2
	$(Q)python3 bench/peers/peers.py --build $(B) $(PEERS)
bench-goals: all ## what till has to show, met or not; GOALS="--peers --only hot,log"
	$(BUILD) $(B)/limit $(B)/peer-client >&2
	$(Q)python3 bench/goals/goals.py --build $(B) $(GOALS)
bench-scaling: all ## curves: in flight, connections, customers; SCALING="--only recovery"
	$(BUILD) $(B)/limit >&2
	$(Q)python3 bench/scaling/scaling.py --build $(B) $(SCALING)
bench-snapshots: all ## what they cost while taken, and save at the start; SNAPSHOTS="--millions 2"
	$(Q)python3 bench/snapshots/snapshots.py --build $(B) $(SNAPSHOTS)
bench-replicas: all ## what they cost the primary, and how they keep up; REPLICAS="--quick"
	$(BUILD) $(B)/sink >&2
	$(Q)python3 bench/replicas/replicas.py --build $(B) $(REPLICAS)
bench-check: all ## against the recorded ratio to the limit and instruction counts; RECORD=1
	$(BUILD) $(B)/limit >&2
	$(BUILD) MODE=check build/check/stages
	$(Q)python3 bench/check/check.py --build $(B) $(if $(RECORD),--record)
bench-soak: all ## honest clients beside hostile ones, half an hour; SOAK="--seconds 60"
	$(BUILD) $(B)/soak >&2
	$(Q)$(B)/soak --till ./till --seconds 1800 --strict $(SOAK)
programs: $(B)/limit $(B)/soak $(B)/sink
$(B)/test-unit: $(call objects,$(filter-out bench/peers/client.c,$(wildcard bench/peers/*.c)))
OPTIONS := cli/options.c cli/nearest.c bench/options.c
$(B)/limit: $(call objects,bench/limit/*.c base/*.c engine/messages.c $(OPTIONS))
$(B)/peer-client: $(call objects,bench/peers/*.c base/*.c engine/messages.c $(OPTIONS) \
                    bench/load.c bench/histogram.c)
$(B)/soak: $(call objects,bench/soak/*.c) $(LIB)
$(B)/sink: $(call objects,bench/replicas/*.c) $(LIB)
$(B)/stages: $(call objects,bench/check/*.c base/*.c engine/*.c wal/block.c)
$(BESIDE):
	@echo "  LINK $@"
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
