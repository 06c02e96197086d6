# mcpool: build, test, run. `make help` lists the targets.

O        ?= build
SANITIZE ?=
DEBUG    ?=
COVERAGE ?=
V        ?=
PYTHON   ?= /usr/bin/python3
ifeq ($(origin CC),default)
CC       := gcc
endif

PKGS     := libevent_core libcjson libsystemd nettle
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2 -Werror
# LOG_CTX() and the option structs start from defaults that the caller's initialisers override.
WARN     += -Wno-override-init
# Without frame pointers, which cost 3 % of the instructions of a call; perf finds its way by -g (--call-graph dwarf).
OPT      ?= -O2 -g
HARDEN   := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
ifneq ($(SANITIZE),)
HARDEN   := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fPIE
OPT      := -O1 -g -fno-omit-frame-pointer
endif
ifneq ($(DEBUG),)
HARDEN   := $(filter-out -D_FORTIFY_SOURCE=2,$(HARDEN))
OPT      := -O0 -g3
endif
ifneq ($(COVERAGE),)
HARDEN   := --coverage -fPIE
OPT      := -O0 -g
endif
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)
CFLAGS_ALL  = -std=gnu17 -D_GNU_SOURCE $(OPT) $(WARN) $(HARDEN) -Iinclude -Isrc $(PKG_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(HARDEN) -pie -Wl,-z,relro,-z,now,--as-needed $(LDFLAGS)

# What the sanitizers do when they find something, unless the caller knows better.
export ASAN_OPTIONS  ?= strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS ?= print_stacktrace=1
# A unit test that takes this long hangs; libcheck's own 4 s are a statement about the machine.
export CK_DEFAULT_TIMEOUT ?= 60

# A make inside a make uses every processor, unless the outer one was given -j already.
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
SUBMAKE  = $(MAKE) --no-print-directory $(PARALLEL)

# $(call say,VERB,OBJECT) opens a recipe line: the short form of what follows, or the command itself with V=1.
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)

.DEFAULT_GOAL := all

# Rooms from the top of the layering table down; a test links its own room and those above it.
ROOMS := base wire policy config metrics io upstream proxy front

room_src  = $(wildcard src/$(1)/*.c)
room_obj  = $(patsubst src/%.c,$(O)/obj/%.o,$(call room_src,$(1)))
room_lib  = $(O)/lib/lib$(1).a
# Libraries for a test of room $(1): that room and every one above it, lowest layer last.
rev       = $(if $(1),$(call rev,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
upto      = $(if $(filter $(1),$(firstword $(2))),$(1),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,$(words $(2)),$(2))))
libs_upto = $(call rev,$(call upto,$(1),$(ROOMS)))

ALL_LIBS := $(foreach r,$(call rev,$(ROOMS)),$(call room_lib,$(r)))
PROGRAMS := $(O)/mcpoold $(O)/mcpoolctl $(O)/mcpool-demo

# The control program stands beside that table and uses these rooms of it; a test of its modules links it like a room.
CTL_ROOMS := ctl config policy wire base

##@ Use

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nVariables: O=DIR (build directory, default build)  CC=gcc|clang  SANITIZE=address,undefined  DEBUG=1  V=1\n'
	@printf '           TEST=NAME (only this functional or interop test)  CFLAGS= LDFLAGS= (added to ours)\n'
	@printf '           SEEDS=N SEED=N SCENARIO=N TRACE=1 (make sim)\n'

.PHONY: run
run: ## dependencies, build, then the daemon in the foreground with conf/mcpool.json
	@scripts/deps build run
	@$(SUBMAKE) all
	@chmod go-w conf/mcpool.json # a checkout under umask 002; the daemon refuses a file that others can write
	@PATH="$(abspath $(O)):$$PATH" exec $(O)/mcpoold --config conf/mcpool.json

.PHONY: all
all: $(PROGRAMS) ## build the programs (the default)

.PHONY: deps
deps: ## install the Debian packages that building and testing need
	@scripts/deps build test

.PHONY: clean
clean: ## remove the build directory
	rm -rf $(O)

# --- objects and libraries ---------------------------------------------------------------------------
# Everything compiled depends on this file, whose content changes when compiler or flags do.
FLAGS_STAMP := $(O)/flags
FLAGS_TEXT   = $(shell $(CC) --version 2>/dev/null | head -n 1) | $(CC) $(CFLAGS_ALL) | $(LDFLAGS_ALL) $(PKG_LIBS)

$(FLAGS_STAMP): FORCE
	@pkg-config --exists $(PKGS) check 2>/dev/null && command -v $(firstword $(CC)) >/dev/null || { \
		echo "make: a compiler or a library is missing: $$(scripts/deps --list build | tr '\n' ' ')"; \
		echo "make: 'scripts/deps build' installs what is needed"; exit 1; } >&2
	@mkdir -p $(@D)
	@echo '$(FLAGS_TEXT)' | cmp -s - $@ || echo '$(FLAGS_TEXT)' >$@

.PHONY: FORCE
FORCE:

$(O)/obj/%.o: src/%.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(O)/obj/tests/%.o: tests/%.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(CFLAGS_ALL) -Itests -MMD -MP -c -o $@ $<

# What is taken into the program as it is.
$(O)/obj/front/admin_page.o: src/front/page/index.html

# The folder is a prerequisite too: its time changes when a source goes away.
define ROOM_RULE
$(call room_lib,$(1)): $(call room_obj,$(1)) $(wildcard src/$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call say,AR,$$@) ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach r,$(ROOMS) ctl daemon,$(eval $(call ROOM_RULE,$(r))))

# The mains of the daemon and the control program are in archives too, where a test that has a main of its own leaves them.
$(O)/mcpoold: $(call room_lib,daemon) $(ALL_LIBS)
	@$(if $(call room_src,daemon),,echo "make: src/daemon holds no source yet, there is no mcpoold to link" >&2; exit 1)
	$(call say,LINK,$@) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(O)/mcpool.json.5: $(O)/mcpoold
	$(call say,MAN,$@) $(O)/mcpoold --config-manual >$@.tmp && mv $@.tmp $@

$(O)/mcpoolctl: $(foreach r,$(CTL_ROOMS),$(call room_lib,$(r)))
	$(call say,LINK,$@) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(O)/mcpool-demo: $(call room_obj,demo) $(call room_lib,wire) $(call room_lib,base)
	@$(if $(call room_src,demo),,echo "make: src/demo holds no source yet, there is no mcpool-demo to link" >&2; exit 1)
	$(call say,LINK,$@) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

# --- unit tests: tests/unit/<room>/test_<module>.c, one program each ------------------------------------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/%.c,$(O)/tests/%,$(UNIT_SRC))

define UNIT_RULE
$(O)/tests/unit/$(1)/%: $(O)/obj/tests/unit/$(1)/%.o $(foreach r,$(2),$(call room_lib,$(r)))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@) $$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(PKG_LIBS) $$(CHECK_LIBS)

.PHONY: unit-$(1)
unit-$(1): $(filter $(O)/tests/unit/$(1)/%,$(UNIT_BIN))
	@set -e; for t in $$^; do $$$$t; done
endef
$(foreach r,$(ROOMS),$(eval $(call UNIT_RULE,$(r),$(call libs_upto,$(r)))))
$(eval $(call UNIT_RULE,ctl,$(CTL_ROOMS)))
$(eval $(call UNIT_RULE,daemon,daemon $(call libs_upto,front)))
.SECONDARY:

.PHONY: unit
unit: $(UNIT_BIN)
	@$(if $(UNIT_BIN),,echo "make: no unit tests below tests/unit" >&2; exit 1;) $(PYTHON) scripts/run-unit $(UNIT_BIN)

# --- the simulator: one program over the rooms that make no system calls ----------------------------------
SIM      := $(O)/tests/sim/sim
SIM_OBJ  := $(patsubst tests/%.c,$(O)/obj/tests/%.o,$(wildcard tests/sim/*.c))
SIM_WRAP := $(foreach f,malloc calloc realloc free realpath,-Wl,--wrap=$(f))

$(SIM): $(SIM_OBJ) $(foreach r,$(call libs_upto,proxy),$(call room_lib,$(r)))
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(CC) $(LDFLAGS_ALL) $(SIM_WRAP) -o $@ $^ $(PKG_LIBS)

# --- the benchmark suite: load generator, servers to load, and references -----------------------------------
BENCH_PROGRAMS := $(addprefix $(O)/bench/,load stdio-server http-server floor probe)
bench_obj = $(patsubst tests/%.c,$(O)/obj/tests/%.o,$(wildcard $(addprefix tests/bench/,lib/*.c $(1))))

$(O)/bench/load: $(call bench_obj,load/*.c)
$(O)/bench/stdio-server: $(call bench_obj,server/mcp.c server/stdio_server.c)
$(O)/bench/http-server: $(call bench_obj,server/mcp.c server/http_server.c)
$(O)/bench/floor: $(call bench_obj,floor.c)
$(O)/bench/probe: $(call bench_obj,probe.c)
$(BENCH_PROGRAMS): $(call room_lib,wire) $(call room_lib,base)
	@mkdir -p $(@D)
	$(call say,LINK,$@) $(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(PKG_LIBS)

# What of the load generator can be tested by itself.
$(call room_lib,bench): $(filter-out %/load.o,$(call bench_obj,load/*.c))
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR,$@) ar rcs $@ $^
$(eval $(call UNIT_RULE,bench,bench wire base))

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS)

# --- fuzz targets and their corpus: fuzz-replay runs every corpus file once ----------------------------------
FUZZ_ROOMS := base wire config
# Single files of other rooms that need nothing but these.
FUZZ_FILES := src/io/journal_text.c src/proxy/keep.c src/proxy/session_id.c
-include tests/fuzz/fuzz.mk

# --- functional tests: the real daemon, driven from outside ----------------------------------------------
# Whoever drives the daemon finds it by this variable; mcpool-demo lies beside it.
DAEMON = MCPOOLD=$(abspath $(O))/mcpoold

.PHONY: functional
functional: $(PROGRAMS) $(BENCH_PROGRAMS)
	@$(DAEMON) $(PYTHON) tests/functional/run.py $(if $(TEST),-k '$(TEST)')

##@ Test

TALLY  := $(O)/results/tally
ASAN   := O=$(O)/asan SANITIZE=address,undefined
UBSAN  := O=$(O)/ubsan SANITIZE=undefined

# Each part runs even if one before it failed; the last line is the sum of all. What does not build fails at once.
.PHONY: check
check: ## dependencies, build, every test that needs only Debian packages
	@scripts/deps build test
	@rm -rf $(dir $(TALLY))
	@$(SUBMAKE) check-build
	@$(SUBMAKE) $(ASAN) check-build
	@scripts/tally $(TALLY) 'unit' $(SUBMAKE) unit
	@scripts/tally $(TALLY) 'unit, address and undefined' $(SUBMAKE) $(ASAN) unit
	@scripts/tally $(TALLY) 'simulator' $(SUBMAKE) sim
	@scripts/tally $(TALLY) 'simulator, address and undefined' $(SUBMAKE) $(ASAN) sim SEEDS=300
	@scripts/tally $(TALLY) 'fuzz corpus' $(SUBMAKE) fuzz-replay
	@scripts/tally $(TALLY) 'functional' $(SUBMAKE) functional
	@scripts/tally $(TALLY) 'functional, address and undefined' $(SUBMAKE) $(ASAN) functional
	@echo
	@scripts/tally --sum $(TALLY)

# `check` has begun the tally; its own failures are in there too.
.PHONY: check-all
check-all: ## check, and what takes minutes: the model, chaos
	@$(SUBMAKE) check || [ -s $(TALLY) ]
	@scripts/tally $(TALLY) 'model' $(SUBMAKE) model
	@scripts/tally $(TALLY) 'chaos' $(SUBMAKE) chaos
	@echo
	@scripts/tally --sum $(TALLY)

.PHONY: chaos
chaos: $(PROGRAMS) ## real processes under faults of every kind; FAULTS=n SEED=n
	@$(DAEMON) $(PYTHON) tests/chaos/chaos.py $(if $(FAULTS),--faults $(FAULTS)) $(if $(SEED),--seed $(SEED))

.PHONY: check-build
check-build: $(PROGRAMS) $(UNIT_BIN) $(SIM) $(BENCH_PROGRAMS)

.PHONY: check-unit
check-unit: deps ## the unit tests; unit-<room> runs those of one room
	@$(SUBMAKE) unit

.PHONY: sim
sim: ## the simulator; SEEDS=n so many seeds, SEED=n TRACE=1 one of them step by step
	+@$(SUBMAKE) $(SIM)
	@$(SIM) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(TRACE),--trace)

.PHONY: check-functional
check-functional: deps ## the functional tests; TEST=NAME runs one
	@$(SUBMAKE) functional

.PHONY: check-interop
check-interop: ## real MCP clients and servers from npm through the daemon
	@scripts/deps build interop
	@$(SUBMAKE) all
	@$(DAEMON) tests/interop/run $(if $(TEST),--only '$(TEST)')

.PHONY: check-lab
check-lab: ## as root: units and package on a systemd of their own, in namespaces; TEST=NAME runs one
	@scripts/deps build test deb
	@$(SUBMAKE) all
	@$(SUBMAKE) deb
	@$(DAEMON) $(PYTHON) tests/lab/run.py $(if $(TEST),-k '$(TEST)')

.PHONY: check-browser
check-browser: ## the status page in headless Chromium; leaves screenshots in build/browser
	@scripts/deps build test browser
	@$(SUBMAKE) all
	@$(DAEMON) SCREENSHOTS=$(abspath $(O))/browser $(PYTHON) tests/functional/run.py $(if $(TEST),-k '$(TEST)') tests/browser/test_page.py

.PHONY: asan
asan: deps ## unit and functional tests under AddressSanitizer and UBSan
	@$(SUBMAKE) $(ASAN) unit functional

.PHONY: ubsan
ubsan: deps ## unit and functional tests under UBSan alone
	@$(SUBMAKE) $(UBSAN) unit functional

VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
.PHONY: valgrind
valgrind: ## unit tests under valgrind
	@scripts/deps build test valgrind
	@$(SUBMAKE) $(UNIT_BIN)
	@CK_TIMEOUT_MULTIPLIER=20 $(PYTHON) scripts/run-unit --timeout 900 --wrap '$(VALGRIND)' $(UNIT_BIN)

.PHONY: coverage
coverage: ## line and branch coverage of unit and functional tests
	@scripts/deps build test coverage
	@find $(O)/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(SUBMAKE) O=$(O)/coverage COVERAGE=1 unit functional
	@gcovr --root . --filter 'src/|include/' --print-summary --html-details $(O)/coverage/index.html $(O)/coverage
	@echo "pages: $(O)/coverage/index.html"

.PHONY: model
model: ## breaker, recovery queue and watchdog as a Spin model: what holds, and that seeded bugs are caught
	@scripts/deps model
	@O=$(O) $(PYTHON) scripts/model

# Where its results go, and what is measured: see tests/bench/README.md.
BENCH = O=$(O) $(DAEMON) $(PYTHON) tests/bench/bench.py $(if $(QUICK),--quick) $(if $(RUNS),--runs $(RUNS)) $(if $(ONLY),--only $(ONLY)) \
	$(if $(JSON),--json $(JSON))

.PHONY: bench
bench: ## where mcpool stands, beside nginx, haproxy and what is possible; QUICK=1 RUNS=n ONLY=row,row JSON=file
	@scripts/deps build bench
	@$(SUBMAKE) all bench-programs
	@$(BENCH)

.PHONY: bench-peers
bench-peers: ## the same, and beside other MCP proxies from npm
	@scripts/deps build bench interop
	@$(SUBMAKE) all bench-programs
	@$(BENCH) --peers

.PHONY: bench-limits
bench-limits: ## what the limits cost: memory of idle sessions, of a big result, of a slow reader
	@scripts/deps build test
	@$(SUBMAKE) all
	@$(DAEMON) $(PYTHON) tests/bench/limits.py

.PHONY: bench-recovery
bench-recovery: ## time from kill -9 of an idle server to the next answered call
	@scripts/deps build test
	@$(SUBMAKE) all
	@$(DAEMON) $(PYTHON) tests/bench/recovery.py

# What cost.py loads into the daemon to mark the measured part.
COST_MARKS := $(O)/bench/cost-marks.so

$(COST_MARKS): tests/bench/cost_marks.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) -std=gnu17 -D_GNU_SOURCE -O2 $(WARN) -fPIC -shared -o $@ $<

.PHONY: bench-cost
bench-cost: ## instructions and system calls a call, against ceilings; ROWS=PATTERN only these, PROFILE=DIR keeps the profiles
	@scripts/deps build test cost
	@$(SUBMAKE) all $(COST_MARKS)
	@$(DAEMON) $(PYTHON) tests/functional/run.py tests/bench/test_cost.py
	@$(DAEMON) $(PYTHON) tests/bench/cost.py $(if $(ROWS),--rows '$(ROWS)') $(if $(PROFILE),--profile '$(PROFILE)')

include scripts/install.mk

##@ Keep tidy

.PHONY: lint
lint: ## layout, layers, banned functions, static analysis, spelling
	@scripts/deps build lint
	@O=$(O) PYTHON=$(PYTHON) scripts/lint

.PHONY: format
format: ## lay out every C file with clang-format
	@git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 clang-format -i

# For scripts/lint: the flags that say what is compiled, not how.
.PHONY: print-cflags
print-cflags:
	@echo '-std=gnu17 -D_GNU_SOURCE $(filter-out -Werror,$(WARN)) -Iinclude -Isrc -Itests $(PKG_CFLAGS)'

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
