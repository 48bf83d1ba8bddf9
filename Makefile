# Everything below makes its own virtual environment: python3 (3.11 or newer), make and a C compiler
# are all that a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where `make install` puts things; `make install-files` puts its files below DESTDIR.
PREFIX ?= /usr/local
HOME_OF_SERVICE := /opt/sharpend
# While a container image is built no systemd runs, so that it cannot be reloaded.
if-booted := test ! -d /run/systemd/system ||
UNITS := $(DESTDIR)$(PREFIX)/lib/systemd/system
UNIT_FILES := sharpend.service sharpend@.service sharpend-web.service sharpend-metrics.service \
	sharpend-metrics.timer
HOME_OF_USER := $(HOME)/.local/share/sharpend

.PHONY: demo test fast lint documents faults soak clean install install-files uninstall install-user install-user-files uninstall-user

demo: $(VENV)/.demo  ## degrade sample images, sharpen them with a real daemon, compare
	$(BIN)/sharpend demo --model lite-photo  # by default another one where OpenVINO is installed

test: $(VENV)/.dev  ## all tests: the fast ones and, if they pass, the slow ones
	$(BIN)/python -m tests.twice -m "not slow" --hypothesis-profile=all
	$(BIN)/python -m tests.twice -m slow

fast: $(VENV)/.dev  ## the fast tests: about a minute
	$(BIN)/python -m tests.twice -m "not slow"

lint: $(VENV)/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

documents: $(VENV)/.dev  ## tables of config/README.md, man page and completions, after a change of their source
	$(BIN)/python -m tests.renew_documents

faults: $(VENV)/.dev  ## the fault campaign, about an hour; run again, it continues where it was
	$(BIN)/python -m tests.campaign

soak: $(VENV)/.dev  ## an hour of one image a second; Ctrl-C ends it with what was found
	$(BIN)/python -m tests.soak

clean:  ## remove what the targets above made
	rm -rf $(VENV) demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis sharpend/model/*.so sharpend/imaging/*.so sharpend/imaging/containers/*.so

# On Linux, pip takes torch for CUDA; `PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make …`
# takes the build for CPUs, which is 4.5 GB smaller.
install: install-files  ## as root: the service, its user, folders, settings and virtual environment
	$(PYTHON) -m venv $(HOME_OF_SERVICE)
	$(HOME_OF_SERVICE)/bin/python -m pip install --quiet --disable-pip-version-check '.[heic,web]'
	install -d $(PREFIX)/bin
	ln -sf $(HOME_OF_SERVICE)/bin/sharpend $(PREFIX)/bin/sharpend
	systemd-sysusers $(PREFIX)/lib/sysusers.d/sharpend.conf
	systemd-tmpfiles --create $(PREFIX)/lib/tmpfiles.d/sharpend.conf
	$(if-booted) systemctl daemon-reload

install-files:  ## only the files of the service, below DESTDIR
	install -D -m 644 -t $(UNITS) $(addprefix systemd/,$(UNIT_FILES))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d systemd/sysusers.d/sharpend.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/tmpfiles.d systemd/tmpfiles.d/sharpend.conf
	$(call shell-files,$(DESTDIR)$(PREFIX))
	install -d $(DESTDIR)/etc/sharpend
	$(call settings,$(DESTDIR)/etc/sharpend/sharpend.toml,/srv/sharpend,s|^#state = |state = |)

uninstall:  ## as root: remove it; settings, state, folders and user stay
	-$(if-booted) systemctl disable --now sharpend sharpend-web sharpend-metrics.timer
	rm -rf $(HOME_OF_SERVICE) $(PREFIX)/bin/sharpend $(addprefix $(UNITS)/,$(UNIT_FILES))
	rm -f $(PREFIX)/lib/sysusers.d/sharpend.conf $(PREFIX)/lib/tmpfiles.d/sharpend.conf
	cd $(PREFIX) && rm -f $(SHELL_FILES)
	$(if-booted) systemctl daemon-reload

install-user: install-user-files  ## for yourself: a service for ~/Pictures, no root needed
	$(PYTHON) -m venv $(HOME_OF_USER)
	$(HOME_OF_USER)/bin/python -m pip install --quiet --disable-pip-version-check '.[heic,web]'
	install -d $(HOME)/.local/bin
	ln -sf $(HOME_OF_USER)/bin/sharpend $(HOME)/.local/bin/sharpend
	systemctl --user daemon-reload

install-user-files:  ## only its files and folders, below HOME
	install -d $(HOME)/.config/sharpend $(HOME)/Pictures/incoming
	install -D -m 644 -t $(HOME)/.config/systemd/user systemd/user/sharpend.service
	$(call shell-files,$(HOME)/.local)
	$(call settings,$(HOME)/.config/sharpend/sharpend.toml,~/Pictures)

uninstall-user:  ## remove it; settings, state and images stay
	-systemctl --user disable --now sharpend
	rm -rf $(HOME_OF_USER) $(HOME)/.local/bin/sharpend $(HOME)/.config/systemd/user/sharpend.service
	cd $(HOME)/.local && rm -f $(SHELL_FILES)
	systemctl --user daemon-reload

# Man page and completions below a prefix, $(1), where man and the shells look for them.
MAN_PAGE := share/man/man1/sharpend.1
OF_BASH := share/bash-completion/completions/sharpend
OF_ZSH := share/zsh/site-functions/_sharpend
OF_FISH := share/fish/vendor_completions.d/sharpend.fish
SHELL_FILES := $(MAN_PAGE) $(OF_BASH) $(OF_ZSH) $(OF_FISH)
define shell-files
install -D -m 644 config/shell/sharpend.1 $(1)/$(MAN_PAGE)
	install -D -m 644 config/shell/sharpend.bash $(1)/$(OF_BASH)
	install -D -m 644 config/shell/_sharpend $(1)/$(OF_ZSH)
	install -D -m 644 config/shell/sharpend.fish $(1)/$(OF_FISH)
endef

# The example with its first folder switched on, where no settings are yet: $(1) the file, $(2) the
# place of the folders, $(3) one change more.
settings = test -e $(1) || sed -e '0,/^\#\[\[folder/s//[[folder/' \
	-e '0,/^\#input = .*/s||input = "$(2)/incoming"|' -e '0,/^\#output = .*/s||output = "$(2)/sharp"|' \
	-e '/^\# As it is, this file sets nothing/d' -e '$(3)' config/sharpend.toml >$(1)

$(VENV)/.%: pyproject.toml hatch_build.py $(wildcard sharpend/*/_*.c sharpend/*/*/_*.c sharpend/*/*/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
