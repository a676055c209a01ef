# What one does with tblb. Each target installs what it lacks (Debian and Ubuntu) and builds what it needs;
# the work is done by scripts/, and docs/building.md tells more.
#
# NGINX=installed (the default) or vendored, the nginx 1.28 that the crate nginx-src brings.
# NGINX_SOURCE_DIR=… NGINX_BUILD_DIR=… for any other from 1.22 to 1.31.

NGINX ?= installed
PROFILE ?= release
T ?= 60
MINUTES ?= 30
CHECKER ?=
export NGINX_SOURCE_DIR NGINX_BUILD_DIR PROFILE
# nginx itself takes a variable NGINX, for the sockets that a former nginx left to it.
unexport NGINX
# cargo and nginx's own make spread over the cores by themselves.
.NOTPARALLEL:

.PHONY: help setup build demo real live test faults soak nginx-tests fuzz check bench results install uninstall clean

help: ## print this
	@echo "make TARGET [NGINX=installed|vendored] [NGINX_SOURCE_DIR=… NGINX_BUILD_DIR=…] [PROFILE=release|dev]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing to build and test: nginx and its headers, libclang, a C compiler, Rust
	@scripts/setup.sh

build: setup ## build ngx_http_upstream_tblb_module.so into target/nginx-VERSION/
	@scripts/build.sh $(NGINX)

demo: build ## show least_conn and tblb side by side before unequal engines, in under two minutes
	@scripts/demo.sh $(NGINX)

real: build ## the same before two real vLLM servers on this machine's CPU, which it installs into .real/ (6 GB)
	@tests/real/setup.sh
	@scripts/real.sh $(NGINX)

live: build ## play both published pools through nginx in real time, in 20 minutes, and compare with the simulator
	@scripts/live.sh $(NGINX)

test: setup ## test the crates, then the module in the installed and in the vendored nginx
	@scripts/build.sh installed
	@scripts/build.sh vendored
	@scripts/test.sh

nginx-tests: $(if $(NGINX_TESTS),build) ## run nginx's own tests with the module at work, from a checkout of them (NGINX_TESTS=directory)
	@scripts/setup.sh nginx-tests
	@scripts/nginx-tests.sh $(NGINX) "$(NGINX_TESTS)"

faults: ## the long tests, in both: faults of engines, storms of reloads, processes that die; in 20 minutes
	@scripts/setup.sh faults
	@scripts/build.sh installed
	@scripts/build.sh vendored
	@scripts/build.sh installed failpoints
	@scripts/build.sh vendored failpoints
	@scripts/faults.sh

soak: build ## put nginx under load and random faults for MINUTES=30, and see what grows, or what CHECKER=valgrind|asan finds
	@scripts/setup.sh $(filter valgrind,$(CHECKER))
	@scripts/soak.sh $(NGINX) $(MINUTES) $(CHECKER)

fuzz: ## make up inputs that might break the core, T= seconds for each kind of them (needs a nightly Rust)
	@scripts/fuzz.sh $(T)

check: ## check format, lints, licences and documentation
	@scripts/setup.sh lints
	@scripts/check.sh

bench: ## measure what a request, a pick, a rescoring and reading metrics cost, and write that into docs/algorithms.md
	@scripts/setup.sh bench
	@scripts/bench.sh $(NGINX)

results: ## simulate all that docs/results says of the algorithms, and write it anew, in minutes
	@scripts/setup.sh
	@scripts/results.sh

install: build ## put the module where that nginx looks for modules, and enable it (DESTDIR=, MODULES_DIR=)
	@scripts/install.sh install $(NGINX)

uninstall: ## take it away again
	@scripts/install.sh uninstall $(NGINX)

clean: ## remove target/
	rm -rf target
