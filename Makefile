# SPDX-License-Identifier: GPL-2.0
# Forwards to ci/, where every step can be run by hand; Kbuild has the modules.
# The kernel's make never comes here: it reads Kbuild.

ifdef KDIR
.DEFAULT_GOAL := module
else
.DEFAULT_GOAL := help
endif

MACHINE ?= x86_64-direct
DRIVER ?= rust
MACHINES := x86_64-direct x86_64-swiotlb x86_64-iommu x86_64-28bit \
	arm64-coherent arm64-noncoherent arm64-smmu arm64-mixed
# Debian's kernel, which is fetched, unless there is a tree of the user's own to build one from.
suffix := $(if $(KSRC),,-debian)
# A machine's name begins with that of the kernel it boots. A misspelt one is refused before
# minutes are spent on set-up, whatever would have been made of it; one in the environment may be
# of other tools, and is when it is used.
machine = $(or $(filter $(MACHINES),$(MACHINE)),$(error unknown machine '$(MACHINE)': say one of $(MACHINES)))
kernel = $(firstword $(subst -, ,$(machine)))$(suffix)
$(if $(filter environment,$(origin MACHINE)),,$(if $(machine),))
# Likewise a driver of no such name.
driver = $(or $(filter rust c,$(DRIVER)),$(error unknown driver '$(DRIVER)': say rust or c))
$(if $(filter environment,$(origin DRIVER)),,$(if $(driver),))
# And a variable for which a target has no use: it would do without what was asked for.
only = $(foreach said,$(filter-out $1,ONLY UNTIL ARGS MACHINE DRIVER EXEC CHECK),$(if $(filter command,$(firstword \
	$(origin $(said)))),$(error make $@ has no use for $(said)=: make help says what has)))
# Text that no test has in its name is refused as soon as the harness is there that knows them.
known = $(if $(ONLY),ci/setup --tools $1 && ci/cargo build --locked --quiet -p harness && \
	ci/harness test $2 --only '$(ONLY)' --list > /dev/null)
# All that tests boot. Debian has no kernel with KUnit, and its one for arm64 has no system heap.
tested := x86_64$(suffix) x86_64-check arm64

# One set-up, one build, one harness at a time; these use all CPUs.
.NOTPARALLEL:

.PHONY: help run test test-more attack coverage matrix virtio-gpu installed clients bench shell vm trace setup check mutants \
	series docs rust-analyzer module deb clean distclean

help: ## This list
	@awk -F' *:.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'EXEC="./program arguments"  for vm, trace: any static program; ci/harness keeps its exit code,'
	@echo '                            which make turns into 2 (0 stays 0)'
	@echo 'DRIVER=rust|c               for run, virtio-gpu, clients, shell, vm, trace: the driver behind /dev/udmabuf:'
	@echo '                            ours, or the one in the kernel tree'
	@echo 'MACHINE=name                for run, shell, vm, trace: one of'
	@echo '                            $(wordlist 1,4,$(MACHINES))'
	@echo '                            $(wordlist 5,$(words $(MACHINES)),$(MACHINES))'
	@echo 'ARGS="--machine M --flow F"  for matrix: a part of it, see ci/harness matrix --help'
	@echo 'ARGS="--machine M --case C"  for bench: the same, see ci/harness bench --help'
	@echo 'CHECK=1                     for trace: looks for wrong accesses as well'
	@echo 'ONLY=text                   for test, test-more, attack, coverage, virtio-gpu, clients, mutants: only what has the text in its name'
	@echo 'UNTIL=seconds               for test: nothing begins after that time, in seconds since 1970, but the host'\''s tests and all programs'
	@echo '                            in the usual kernel; it does without the checking kernel if that is not there, and'
	@echo '                            says what is left out'
	@echo 'KSRC=directory              a kernel tree of your own for the test kernels'
	@echo 'KDIR=directory              for module: a kernel build, or the headers of a distribution'

.DEFAULT:
	@: $(error no target '$@': make help lists them)

run: ## The main job as a story; sets everything up first
	@: $(call only,MACHINE DRIVER)
	@ci/prepare --only story '$(kernel)'
	@ci/harness run --machine '$(MACHINE)' --driver '$(driver)'

test: ## The tests that a change has to pass
	@: $(call only,ONLY UNTIL)
	@case '$(UNTIL)' in *[!0-9]*) echo "UNTIL= is a time in seconds since 1970, such as date -d '+1 hour' +%s prints" >&2; exit 2 ;; esac
	@$(call known,$(tested))
	@ci/prepare --clients $(if $(UNTIL),$(filter-out x86_64-check,$(tested)),$(tested))
	@ci/setup.d/clients --suite trixie lavapipe tracers
	@ci/harness test $(if $(ONLY),--only '$(ONLY)') $(if $(UNTIL),--until '$(UNTIL)')

test-more: ## All programs in further kernels of Debian, and the package in an installed Debian
	@: $(call only,ONLY)
	@$(call known,x86_64$(suffix) arm64-debian,--more)
	@ci/prepare --clients x86_64$(suffix) x86_64-debian-rt x86_64-debian-7.2 arm64-debian arm64-debian-16k
	@ci/setup.d/installed
	@ci/harness test --more $(if $(ONLY),--only '$(ONLY)')

attack: ## What attacks the driver, for an hour or two: failing allocations, random calls, races, hostile users
	@: $(call only,ONLY)
	@$(call known,$(tested) x86_64-kcsan,--attack)
	@ci/prepare $(tested) x86_64-kcsan
	@ci/harness test --attack $(if $(ONLY),--only '$(ONLY)')

coverage: ## Which lines of src/ the tests execute, in Debian's kernel for x86-64; ONLY= as for test
	@: $(call only,ONLY)
	@$(call known,x86_64-debian)
	@ci/prepare x86_64-debian
	@ci/harness test --coverage --only '$(or $(ONLY),debian)'

matrix: ## Both drivers and the system heap on every machine, a table
	@: $(call only,ARGS)
	@ci/prepare x86_64$(suffix) arm64
	@ci/harness matrix $(ARGS)

virtio-gpu: ## A guest in the guest: what its screen shows has gone through the driver
	@: $(call only,DRIVER ONLY)
	@ci/prepare x86_64$(suffix) arm64
	@ci/harness virtio-gpu --driver '$(driver)' $(if $(ONLY),--only '$(ONLY)')

installed: ## Boots Debian 13 with the package: rights, names, upgrade, removal
	@: $(call only,)
	@ci/prepare --clients x86_64$(suffix)
	@ci/setup.d/installed
	@ci/harness installed

clients: ## Runs programs of Debian on the driver, and compares what comes out
	@: $(call only,DRIVER ONLY)
	@ci/prepare --clients x86_64$(suffix) arm64
	@ci/setup.d/clients
	@$(if $(filter rust,$(driver)),ci/setup.d/installed)
	@ci/harness clients --driver '$(driver)' $(if $(ONLY),--only '$(ONLY)')

bench: ## What both drivers cost, in instructions, a table and plots
	@: $(call only,ARGS)
	@ci/prepare x86_64$(suffix) arm64-bench
	@ci/harness bench $(ARGS)

mutants: ## Broken variants of the module, which the tests have to notice
	@: $(call only,ONLY)
	@ci/prepare x86_64$(suffix) x86_64-check arm64
	@ci/harness mutants $(if $(ONLY),--only '$(ONLY)')

shell: ## A shell in a guest with the module loaded
	@: $(call only,MACHINE DRIVER)
	@ci/prepare '$(kernel)'
	@ci/harness shell --machine '$(MACHINE)' --driver '$(driver)'

# The program's words reach the harness as they are, quotes and all.
vm: export EXEC := $(value EXEC)
vm: ## EXEC="./program arguments": runs it in a guest
	@: $(call only,MACHINE DRIVER EXEC)
	@: $(if $(value EXEC),,$(error no program: say EXEC="./program arguments"))
	@ci/prepare '$(kernel)'
	@ci/harness vm --machine '$(MACHINE)' --driver '$(driver)' "$$EXEC"

trace: export EXEC := $(value EXEC)
trace: ## EXEC="./program arguments": runs it in a guest and draws what happened to its buffers; CHECK=1 looks for wrong accesses
	@: $(call only,MACHINE DRIVER EXEC CHECK)
	@: $(if $(value EXEC),,$(error no program: say EXEC="./program arguments"))
	@ci/prepare '$(kernel)'
	@ci/harness trace $(if $(filter-out 0,$(CHECK)),--check) --machine '$(MACHINE)' --driver '$(driver)' "$$EXEC"

setup: ## Fetches and builds what tests need: tools and kernels
	@: $(call only,)
	@ci/setup $(tested)

check: ## Formatting, lints, licences, ABI, a model of the hand-over: no boot
	@: $(if $(ONLY),$(error make check runs all of them: say ci/check $(ONLY)))$(call only,)
	@ci/setup x86_64$(suffix) arm64
	@ci/check

docs: ## The documentation in the source of modules and programs, in build/docs/
	@: $(call only,)
	@ci/setup x86_64-check
	@ci/docs

rust-analyzer: ## rust-project.json, by which an editor finds the kernel crate
	@: $(call only,)
	@ci/setup x86_64-check
	@ci/rust-analyzer

series: ## The module as patches for the kernel tree, in build/series; each is built, as a module and as a part of it
	@: $(call only,)
	@ci/setup arm64
	@ci/series --build arm64

# The kernel's name: that of the running one, unless another one's build or headers are given.
RELEASE = $(if $(KDIR),$(or $(shell cat '$(KDIR)/include/config/kernel.release' 2>/dev/null),$(error \
	KDIR=$(KDIR) has no include/config/kernel.release: name a kernel build or headers)),$(shell uname -r))

module: ## Just the module, for the running kernel or for KDIR=
	@: $(call only,)
	@ci/packaging/build-module '$(RELEASE)' '$(or $(KDIR),/lib/modules/$(RELEASE)/build)' \
		build/crates build/module >/dev/null || \
		{ echo 'For another kernel, say make module KDIR=directory' >&2; exit 1; }
	@echo 'The module is build/module/udmabuf_rs.ko, for $(RELEASE).'
	@echo "Load it with 'insmod build/module/udmabuf_rs.ko'; 'make deb' makes a package that keeps it there."

deb: ## A Debian package that builds the module for every kernel of a machine
	@: $(call only,)
	@ci/packaging/deb

clean: ## Removes what builds and tests made, keeps what set-up fetched and the kernels
	rm -rf build/target build/modules build/module build/deb build/mutants build/check build/kernel-selftest \
		build/results build/bench build/screens build/series build/logs build/docs rust-project.json

distclean: ## Removes everything that was made or fetched
	rm -rf build rust-project.json
