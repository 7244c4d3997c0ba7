# Each experiment is a binary of its name under experiments/, and a target here.
EXPERIMENTS := digits alexnet sentiment-neuron gpt1 scaling-laws rlhf

# Passed on to an experiment when given: make alexnet PRESET=overnight STUDY=relu-vs-tanh SEEDS=5
PRESET ?=
STUDY ?=
DEVICE ?=
SEEDS ?=
DATA ?=
ARGS ?=
# Which libtorch: auto, cpu or gpu (setup/install-libtorch says what they are).
KIND ?= auto

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
# One after the other, also under -j: cargo uses all cores by itself.
.NOTPARALLEL:

# What the environment may hold against .cargo/config.toml: another libtorch, flags that replace the run paths, a target
# folder of another work tree. Only doctor sees these, to report them.
strangers := LIBTORCH LIBTORCH_INCLUDE LIBTORCH_LIB LIBTORCH_STATIC LIBTORCH_USE_PYTORCH \
  LIBTORCH_BYPASS_VERSION_CHECK LIBTORCH_CXX11_ABI LD_LIBRARY_PATH RUSTFLAGS CARGO_ENCODED_RUSTFLAGS \
  CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR
clean := env $(addprefix -u ,$(strangers))
cargo := $(clean) cargo

preset := $(if $(PRESET),--preset $(PRESET))
run_flags := $(preset) $(if $(DEVICE),--device $(DEVICE)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(DATA),--data "$(DATA)")
# The programs named. All of the workspace's features count: chosen by package, the crates below would be built once more.
build = $(cargo) build --release --workspace $(addprefix --bin ,$1)
bin := $(clean) target/release

.PHONY: help experiments tools ledger setup test lint bench report verify publish doctor clean-cache $(EXPERIMENTS)

help: ## list the targets
	@echo 'make TARGET, where TARGET is one of'
	@printf '  %-12s %s\n' $(foreach e,$(EXPERIMENTS),'$(e)' 'set up, run the experiment, draw its figures, write the results page')
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done
	@echo 'An experiment takes PRESET= STUDY= DEVICE= SEEDS= DATA= ARGS=, as in: make alexnet PRESET=smoke'

experiments:
	@echo '$(EXPERIMENTS)'

tools:
	@setup/check-tools

ledger: tools
	@$(call build,ledger)

setup: tools ## fetch libtorch once, 1 GB (KIND=cpu|gpu overrides what is found)
	@setup/install-libtorch $(KIND)

$(EXPERIMENTS): setup
	@$(call build,$@ ledger)
	@$(bin)/$@ run $(STUDY) $(run_flags) $(ARGS)
	@$(bin)/$@ figures $(STUDY) $(preset)
	@$(bin)/ledger report

# The tests called `process` only start programs and go side by side; in the others one process seeds libtorch's only generator.
# The patterns stand for all other names, so that none may begin with `pr`.
test: setup ## run every test
	@setup/check-tools tests
	@$(cargo) test --release --workspace --lib --bins --test '[!p]*' --test 'p[!r]*'
	@RUST_TEST_THREADS=$$(nproc) $(cargo) test --release --workspace --test process
	@$(cargo) test --release --workspace --doc

lint: setup ## check formatting and lints
	@$(cargo) fmt --check
	@$(cargo) clippy --release --workspace --all-targets -- -D warnings

bench: setup ## time the hot paths beside PyTorch, and write results/bench.md
	@for table in deep_nets run data_parallel photos tokenizer language_model fits small_models rlhf; do $(clean) bench/$$table; done
	@$(call build,ledger)
	@$(bin)/ledger report

report: ledger ## write results/ledger.csv and results/index.html from what is in results/
	@$(bin)/ledger report

verify: setup ## recompute every published number from its stored files
	@$(call build,$(EXPERIMENTS) ledger)
	@for name in $(EXPERIMENTS); do [ ! -d results/reference/$$name ] || $(bin)/$$name verify --out results/reference $(preset); done
	@$(bin)/ledger verify --results results/reference

publish: setup ## copy finished runs to results/reference and rebuild its pages
	@$(call build,$(EXPERIMENTS) ledger)
	@$(bin)/ledger publish
	@for name in $(EXPERIMENTS); do [ ! -d results/reference/$$name ] || $(bin)/$$name figures --out results/reference; done
	@$(bin)/ledger report --results results/reference

doctor: ## say what this machine has, what is missing, and what mends it
	@if command -v cargo >/dev/null && command -v cc >/dev/null; then $(call build,ledger) && $(bin)/ledger doctor $(ARGS); else setup/check-tools; fi

clean-cache: ## remove libtorch, data and checkpoints from the cache, after asking (YES=1: without)
	@YES='$(YES)' setup/clean-cache
