# Fuzz targets: one file tests/fuzz/fuzz_<name>.c with LLVMFuzzerTestOneInput, seeds in tests/fuzz/corpus/<name>/.
#   make fuzz-<name>   build with libFuzzer (clang) and run for FUZZ_SECONDS; new inputs go to $(O)/fuzz/corpus-<name>,
#                      inputs that broke something to $(O)/fuzz/found-<name>-*
#   make fuzz-replay   build every target with $(CC) and tests/fuzz/replay.c, run it over its seeds
# Both have sanitizers, so they compile the rooms they need into object directories of their own.

FUZZ_SECONDS ?= 60
FUZZ_MAX_LEN ?= 4096
FUZZ_CC      ?= clang
FUZZ_SAN     ?= address,undefined
FUZZ_ROOMS   ?= base wire
FUZZ_FILES   ?=

comma := ,
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_ROOM_SRC := $(foreach r,$(FUZZ_ROOMS),$(call room_src,$(r))) $(FUZZ_FILES)
FUZZ_CFLAGS = -std=gnu17 -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all $(WARN) \
              -Iinclude -Isrc -Itests $(PKG_CFLAGS)

# $(1): directory under $(O)/fuzz, $(2): compiler, $(3): sanitizers
define FUZZ_OBJECTS
$(O)/fuzz/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(call say,CC,$$<) $(2) $$(FUZZ_CFLAGS) -fsanitize=$(3) -MMD -MP -c -o $$@ $$<

$(O)/fuzz/$(1)/librooms.a: $$(patsubst %.c,$(O)/fuzz/$(1)/%.o,$$(FUZZ_ROOM_SRC))
	@rm -f $$@
	$$(call say,AR,$$@) ar rcs $$@ $$^
endef
$(eval $(call FUZZ_OBJECTS,lib,$(FUZZ_CC),fuzzer-no-link$(comma)$(FUZZ_SAN)))
$(eval $(call FUZZ_OBJECTS,replay,$$(CC),$(FUZZ_SAN)))

# Clang is needed for searching alone, and asked for only then.
.PHONY: fuzz-deps
fuzz-deps:
	@scripts/deps build fuzz

$(patsubst %.c,$(O)/fuzz/lib/%.o,$(FUZZ_ROOM_SRC) $(wildcard tests/fuzz/fuzz_*.c)): | fuzz-deps

$(O)/fuzz/fuzz-%: $(O)/fuzz/lib/tests/fuzz/fuzz_%.o $(O)/fuzz/lib/librooms.a
	$(call say,LINK,$@) $(FUZZ_CC) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $^ $(PKG_LIBS)

$(O)/fuzz/replay-%: $(O)/fuzz/replay/tests/fuzz/fuzz_%.o $(O)/fuzz/replay/tests/fuzz/replay.o $(O)/fuzz/replay/librooms.a
	$(call say,LINK,$@) $(CC) -fsanitize=$(FUZZ_SAN) -o $@ $^ $(PKG_LIBS)

.PHONY: $(addprefix fuzz-,$(FUZZ_NAMES)) fuzz-replay fuzz-all
$(addprefix fuzz-,$(FUZZ_NAMES)): fuzz-%: $(O)/fuzz/fuzz-%
	@mkdir -p $(O)/fuzz/corpus-$*
	$< -max_total_time=$(FUZZ_SECONDS) -max_len=$(FUZZ_MAX_LEN) -timeout=10 -print_final_stats=1 \
	    -artifact_prefix=$(O)/fuzz/found-$*- $(wildcard tests/fuzz/$*.dict:%=-dict=%) \
	    $(O)/fuzz/corpus-$* tests/fuzz/corpus/$*

fuzz-all: $(addprefix fuzz-,$(FUZZ_NAMES))

fuzz-replay: $(addprefix $(O)/fuzz/replay-,$(FUZZ_NAMES))
	@set -e; for name in $(FUZZ_NAMES); do $(O)/fuzz/replay-$$name tests/fuzz/corpus/$$name; done

-include $(shell find $(O)/fuzz -name '*.d' 2>/dev/null)
