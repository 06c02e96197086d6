# Where things go, and `make install`, `make uninstall`, `make deb`. Paths are absolute and without DESTDIR; units name the
# programs where they were installed. Everything below prefix that systemd reads is looked for in /usr/local as well as in /usr.

prefix         ?= /usr/local
bindir         ?= $(prefix)/bin
datadir        ?= $(prefix)/share
mandir         ?= $(datadir)/man
docdir         ?= $(datadir)/doc/mcpool
completionsdir ?= $(datadir)/bash-completion/completions
sysconfdir     ?= /etc
libdir         ?= $(prefix)/lib
unitdir        ?= $(libdir)/systemd/system
userunitdir    ?= $(libdir)/systemd/user
catalogdir     ?= $(libdir)/systemd/catalog
sysusersdir    ?= $(libdir)/sysusers.d
tmpfilesdir    ?= $(libdir)/tmpfiles.d

# FROM TO lines, DIR being one of the variables above. The configuration is not among them: it is the operator's.
INSTALLED := \
	$(O)/mcpoold:bindir:mcpoold:755 \
	$(O)/mcpoolctl:bindir:mcpoolctl:755 \
	$(O)/mcpool-demo:bindir:mcpool-demo:755 \
	src/daemon/mcpoold.8:mandir:man8/mcpoold.8:644 \
	src/demo/mcpool-demo.1:mandir:man1/mcpool-demo.1:644 \
	src/ctl/mcpoolctl.1:mandir:man1/mcpoolctl.1:644 \
	$(O)/mcpool.json.5:mandir:man5/mcpool.json.5:644 \
	scripts/completion/mcpoolctl.bash:completionsdir:mcpoolctl:644 \
	scripts/completion/mcpoold.bash:completionsdir:mcpoold:644 \
	README.md:docdir:README.md:644 \
	conf/README.md:docdir:options.md:644 \
	systemd/mcpool.service:unitdir:mcpool.service:644 \
	systemd/mcpool.socket:unitdir:mcpool.socket:644 \
	systemd/user/mcpool.service:userunitdir:mcpool.service:644 \
	systemd/http-only.conf:docdir:http-only.conf:644 \
	systemd/mcpool.catalog:catalogdir:mcpool.catalog:644 \
	systemd/mcpool.sysusers:sysusersdir:mcpool.conf:644 \
	systemd/mcpool.tmpfiles:tmpfilesdir:mcpool.conf:644

field = $(word $(1),$(subst :, ,$(2)))
to    = $(DESTDIR)$($(call field,2,$(1)))/$(call field,3,$(1))
# Units call the programs by their path.
paths = sed 's|/usr/bin/|$(bindir)/|g'

define INSTALL_LINE
	@install -d '$(dir $(call to,$(1)))'
	@$(if $(filter systemd/%.service systemd/http-only.conf,$(call field,1,$(1))),$(paths) $(call field,1,$(1)) >'$(call to,$(1))' && chmod $(call field,4,$(1)) '$(call to,$(1))',install -m $(call field,4,$(1)) $(call field,1,$(1)) '$(call to,$(1))')

endef

##@ Install

.PHONY: install
install: all $(filter $(O)/%.5,$(foreach i,$(INSTALLED),$(call field,1,$(i)))) ## programs, manuals, units; DESTDIR= prefix= (default /usr/local)
	$(foreach i,$(INSTALLED),$(call INSTALL_LINE,$(i)))
	@install -d '$(DESTDIR)$(sysconfdir)/mcpool'
	@[ -e '$(DESTDIR)$(sysconfdir)/mcpool/mcpool.json' ] || install -m 644 conf/mcpool.json '$(DESTDIR)$(sysconfdir)/mcpool/mcpool.json'
	@[ -n '$(DESTDIR)' ] || printf '%s\n' 'installed below $(prefix). As a system service, once:' \
		'  systemd-sysusers && systemd-tmpfiles --create mcpool.conf' \
		'  journalctl --update-catalog' \
		'  systemctl daemon-reload && systemctl enable --now mcpool'

.PHONY: uninstall
uninstall: ## what install put there, but for the configuration
	rm -f $(foreach i,$(INSTALLED),'$(call to,$(i))')

.PHONY: deb
deb: ## a Debian package in build/deb
	@scripts/deps build deb
	@O=$(O) scripts/deb
