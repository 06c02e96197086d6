# mcpool: build, test, run. `make help` lists the targets.

O        ?= build
SANITIZE ?=
CC       ?= gcc
PYTHON   ?= /usr/bin/python3

PKGS     := libevent_core libcjson libsystemd libcrypto
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2 -Werror
OPT      ?= -O2 -g -fno-omit-frame-pointer
HARDEN   := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
ifneq ($(SANITIZE),)
HARDEN   := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
OPT      := -O1 -g -fno-omit-frame-pointer
endif
CFLAGS_ALL  = -std=gnu17 -D_GNU_SOURCE $(OPT) $(WARN) $(HARDEN) -Iinclude -Isrc $(PKG_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(HARDEN) -pie -Wl,-z,relro,-z,now $(LDFLAGS)
PKG_CFLAGS  = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS    = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
CHECK_LIBS  = $(shell pkg-config --libs check 2>/dev/null)

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
PROGRAMS := $(O)/mcpoold $(O)/mcpool-demo

.PHONY: all
all: $(PROGRAMS)

# --- objects and libraries ---------------------------------------------------------------------------
$(O)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(O)/obj/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -Itests -MMD -MP -c -o $@ $<

define ROOM_RULE
$(call room_lib,$(1)): $(call room_obj,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call ROOM_RULE,$(r))))

$(O)/mcpoold: $(call room_obj,daemon) $(ALL_LIBS)
	$(CC) $(LDFLAGS_ALL) -o $@ $(call room_obj,daemon) $(ALL_LIBS) $(PKG_LIBS)

$(O)/mcpool-demo: $(call room_obj,demo) $(call room_lib,wire) $(call room_lib,base)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

# --- unit tests: tests/unit/<room>/test_<module>.c, one program each ------------------------------------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/%.c,$(O)/tests/%,$(UNIT_SRC))

define UNIT_RULE
$(O)/tests/unit/$(1)/%: $(O)/obj/tests/unit/$(1)/%.o $(foreach r,$(call libs_upto,$(1)),$(call room_lib,$(r)))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(PKG_LIBS) $$(CHECK_LIBS)

.PHONY: unit-$(1)
unit-$(1): $(filter $(O)/tests/unit/$(1)/%,$(UNIT_BIN))
	@set -e; for t in $$^; do $$$$t; done
endef
$(foreach r,$(ROOMS),$(eval $(call UNIT_RULE,$(r))))
.SECONDARY:

.PHONY: unit
unit: $(UNIT_BIN)
	@set -e; for t in $(UNIT_BIN); do $$t; done

.PHONY: clean
clean:
	rm -rf $(O)

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
