# jail: one page of knobs, then the rules.
#   make [BUILD=release|debug|asan|cov] [V=1] [LTO=1] [STATIC=0|1] [WERROR=1] [CC=clang]
#   make install [PREFIX=/usr/local] [DESTDIR=]      make uninstall
#   make demo | check | bench | fault | lab | lint        (HACKING.md says what each does)
PREFIX     ?= /usr/local
DESTDIR    ?=
BINDIR     ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/jail
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
# jls and jexec, FreeBSD's names, beside jail.
BSDNAMES   ?= 1
BUILD      ?= release
LTO        ?= 0
WERROR     ?= 0
V          ?= 0
CC         ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif

COMMA   := ,
# STATIC=1: jail has no shared library, each of which costs every start 0.1 ms (docs/adr/0003).
# Where the archives cannot be linked (Debian 13's libcgroup wants libsystemd, which has none) all are shared.
ifeq ($(origin STATIC),undefined)
STATIC := $(shell mkdir -p build; printf '\043include <libcgroup.h>\nint main(void) { return cgroup_init(); }\n' | \
	$(CC) -x c -static-pie -fPIE -o build/.static-probe - -lcgroup 2>/dev/null && echo 1 || echo 0)
endif
VERSION := $(shell cat VERSION)
O       := build/$(BUILD)$(if $(filter clang%,$(notdir $(CC))),-clang)
Q       := $(if $(filter 1,$(V)),,@)

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wformat=2 -Wundef -Wno-format-nonliteral -Wno-missing-field-initializers \
	$(if $(findstring clang,$(CC)),,-Wno-format-truncation) $(if $(filter 1,$(WERROR)),-Werror)
HARD := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2
CFLAGS_debug   := -O0 -g3
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CFLAGS_cov     := -O0 -g --coverage -fprofile-update=atomic
CPPFLAGS += -D_GNU_SOURCE -DJAIL_VERSION='"$(VERSION)"' -DJAIL_LIBEXECDIR='"$(LIBEXECDIR)"' -Isrc
ALL_CFLAGS  := -std=c17 $(WARN) $(HARD) $(CFLAGS_$(BUILD)) $(if $(filter 1,$(LTO)),-flto) $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(CFLAGS_$(BUILD)) $(if $(filter 1,$(LTO)),-flto) $(LDFLAGS)
LIBS := $(if $(filter 1,$(STATIC)),-Wl$(COMMA)-Bstatic) -lcgroup -lseccomp -lcap -ljson-c -Wl$(COMMA)-Bdynamic -lmnl
# The monitor unpacks kernels; only its objects need these, so only they are linked with them.
LIBS_unpack  := $(if $(filter 1,$(STATIC)),-Wl$(COMMA)-Bstatic) -llzma -lzstd -llz4 -lz -Wl$(COMMA)-Bdynamic
LIBS_jail-vmm = $(LIBS_unpack)
LIBS_unit_vm  = $(LIBS_unpack)
# All static, and nothing of libmnl in them: the guest's PID 1, which has no libraries beside it, and jail, whose
# start the dynamic loader would make 0.3 ms longer (docs/adr/0003).  What the linker would say is of libcgroup's
# rules daemon, which looks users up; nothing of ours calls it.
STATIC_PROGRAMS := jail-agent $(if $(filter 1,$(STATIC)),jail)

# What only the image worker needs: jail itself starts without them.
LIBS_IMAGE      := -larchive -lcurl -lcrypto -lzstd -lisal -lpthread
LIBS_jail-image := $(LIBS_IMAGE)
LIBS_unit_image := $(LIBS_IMAGE)

# Rooms and who may know whom: src/rooms.txt.  One archive per room.
ROOMS    := $(shell sed -n 's/^\([a-z]*\):.*/\1/p' src/rooms.txt)
room_may  = $(shell sed -n 's/^$(1)://p' src/rooms.txt)
room_src  = $(filter-out src/$(1)/main.c,$(wildcard src/$(1)/*.c))
room_obj  = $(patsubst src/%.c,$(O)/obj/%.o,$(call room_src,$(1)))
# Archives in link order for a room: itself, then what it may know, most dependent first.
room_order := cli jail oci agent isolation vm image net spec base
room_libs  = $(foreach r,$(filter $(1) $(call room_may,$(1)),$(room_order)),$(O)/lib$(r).a)

# Programs: src/<room>/main.c becomes jail (cli), jail-vmm (vm) or jail-<room>.
MAINS    := $(wildcard src/*/main.c)
PROGRAMS := $(patsubst src/%/main.c,$(O)/jail-%,$(MAINS))
PROGRAMS := $(PROGRAMS:$(O)/jail-cli=$(O)/jail)
PROGRAMS := $(PROGRAMS:$(O)/jail-vm=$(O)/jail-vmm)

UNITS := $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/*_test.c))

all: $(O)/.libs-ok $(PROGRAMS)

# Flags are a dependency: a change of any rebuilds all.
$(O)/flags: FORCE
	@mkdir -p $(O); echo '$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $@

# Missing libraries are one plain sentence.
$(O)/.libs-ok: src/packages.txt $(O)/flags
	@tests/packages.sh --missing-sentence src/packages.txt $(CC) && touch $@

$(O)/obj/%.o: src/%.c $(O)/flags | $(O)/.libs-ok
	@mkdir -p $(@D)
	@$(if $(filter 0,$(V)),echo "  CC    $<")
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define room_rules
$(O)/lib$(1).a: $(call room_obj,$(1))
	@rm -f $$@; mkdir -p $$(@D)
	@$(if $(filter 1,$(LTO)),gcc-ar,ar) rcsD $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rules,$(r))))

program_room = $(if $(filter jail,$(1)),cli,$(patsubst jail-%,%,$(1:jail-vmm=jail-vm)))
# cli knows few rooms, but the program holds what those rooms need.
room_closure = $(sort $(1) $(foreach r,$(call room_may,$(1)),$(call room_closure,$(r))))
closure_libs = $(foreach r,$(filter $(call room_closure,$(1)),$(room_order)),$(O)/lib$(r).a)

define program_rule
$(1): $(O)/obj/$(call program_room,$(notdir $(1)))/main.o $(call closure_libs,$(call program_room,$(notdir $(1))))
	@$$(if $$(filter 0,$$(V)),echo "  LINK  $$@")
	$$(Q)$$(CC) $$(call program_flags,$$(notdir $$@)) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(call program_libs,$$(notdir $$@))
endef
static_program = $(if $(filter asan cov,$(BUILD)),,$(filter $(STATIC_PROGRAMS),$(1)))
program_flags = $(if $(call static_program,$(1)),$(patsubst -pie,-static-pie,$(ALL_LDFLAGS)) -Wl$(COMMA)--no-warnings -Wl$(COMMA)-z$(COMMA)defs,$(ALL_LDFLAGS))
program_libs = $(if $(call static_program,$(1)),$(filter-out -lmnl -Wl$(COMMA)-B%,$(LIBS)),$(LIBS)) $(LIBS_$(1))
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))

# Unit tests link their room with the rooms it may know and no other: the linker proves the layers.
unit_room = $(firstword $(subst _, ,$(notdir $(1))))
define unit_rule
$(1): tests/unit/$(notdir $(1)).c tests/unit/test.h $(call room_libs,$(call unit_room,$(1))) $(O)/flags
	@mkdir -p $$(@D)
	@$$(if $$(filter 0,$$(V)),echo "  UNIT  $$@")
	$$(Q)$$(CC) $$(CPPFLAGS) -Itests/unit $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -MMD -MP -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LIBS) $$(LIBS_unit_$(call unit_room,$(1)))
endef
$(foreach u,$(UNITS),$(eval $(call unit_rule,$(u))))

units: $(UNITS) $(O)/jail-test-guest

# Runs one program in a micro-VM without a manager: for the tests of monitor and agent together.
$(O)/jail-test-guest: tests/vm/guest.c $(foreach r,agent isolation vm spec base,$(O)/lib$(r).a) $(O)/flags
	@mkdir -p $(@D)
	@$(if $(filter 0,$(V)),echo "  TEST  $@")
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

# What is installed, and so what is uninstalled: one list of "mode:from:to", "link:target:to".
MAN_PAGES := $(sort $(wildcard man/*.[1-8]))
HELPERS   := $(filter-out $(O)/jail,$(PROGRAMS))
INSTALLED  = 755:$(O)/jail:$(BINDIR)/jail link:jail:$(BINDIR)/jail-oci \
	$(if $(filter 0,$(BSDNAMES)),,link:jail:$(BINDIR)/jls link:jail:$(BINDIR)/jexec) \
	$(foreach h,$(HELPERS),755:$(h):$(LIBEXECDIR)/$(notdir $(h))) \
	$(foreach m,$(MAN_PAGES),644:$(m):$(MANDIR)/man$(patsubst .%,%,$(suffix $(m)))/$(notdir $(m))) \
	644:completions/jail.bash:$(DATADIR)/bash-completion/completions/jail \
	644:completions/jail.zsh:$(DATADIR)/zsh/site-functions/_jail \
	644:completions/jail.fish:$(DATADIR)/fish/vendor_completions.d/jail.fish

install: all
	@set -e; for row in $(INSTALLED); do \
		mode=$${row%%:*}; rest=$${row#*:}; from=$${rest%%:*}; to="$(DESTDIR)$${rest#*:}"; \
		mkdir -p "$$(dirname "$$to")"; \
		if [ $$mode = link ]; then ln -sf $$from "$$to"; else install -m $$mode $$from "$$to"; fi; \
	done
	@echo "installed below $(DESTDIR)$(PREFIX)"

uninstall:
	@for row in $(INSTALLED); do rest=$${row#*:}; rm -f "$(DESTDIR)$${rest#*:}"; done
	@rmdir "$(DESTDIR)$(LIBEXECDIR)" 2>/dev/null || true

demo:
	@tests/packages.sh --install src/packages.txt tests/packages.txt
	@$(MAKE) --no-print-directory all
	@tests/demo.sh $(O)/jail

completions: $(O)/jail
	@for s in bash zsh fish; do $(O)/jail --complete-table | completions/generate.sh $$s >completions/jail.$$s; done

lint:
	tests/lint/run.sh

check:
	tests/packages.sh --install src/packages.txt tests/packages.txt
	$(MAKE) all units
	tests/run.sh

# The project's own machine: pure cgroup v2, a real /dev/kvm, a plain user with a delegated subtree.
lab:
	@tests/packages.sh --install src/packages.txt tests/packages.txt
	@tests/lab/build.sh

bench:
	@tests/packages.sh --install src/packages.txt tests/packages.txt tests/bench/packages.txt
	@$(MAKE) --no-print-directory all
	@tests/bench/run.sh

# Kills every command at every system call of each of its processes, and counts what is left.
fault: all
	tests/fault/run.sh $(if $(EVERY),--every $(EVERY))

format:
	clang-format -i $(shell git ls-files 'src/*.[ch]' 'tests/*.[ch]')

clean:
	rm -rf build

FORCE:
.PHONY: fault all units install uninstall demo completions lint check format clean lab bench FORCE
-include $(shell find $(O) -name '*.d' 2>/dev/null)
