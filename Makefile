# The only entry: `make run` starts the recorder, `make test` runs the whole suite. Both set up what they need.
VENV := .venv
BIN := $(VENV)/bin
# Without compiled modules each of a recorder's processes compiles all of them anew: seconds of every start.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: bench-capture bench-peers run demo test check bench chaos codecs lock clean

run: $(VENV)/runtime
	$(BIN)/recorder run --config config/recorder.toml $(ARGS)

demo: $(VENV)/runtime
	$(BIN)/python -m recorder.demo

test: $(VENV)/development
	.ci/install-peers
	$(BIN)/pytest $(ARGS)

check: $(VENV)/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Random calls under random faults: make chaos ARGS="--rounds 20 --seed 7".
chaos: $(VENV)/development
	$(BIN)/python -m tests.failover.chaos $(ARGS)

bench: $(VENV)/development
	.ci/install-peers
	$(BIN)/python -m benchmarks $(ARGS)

# CPU per captured packet against plain C, in under 50 s; ends with `ratio X.XX, lost N, streams N`.
# More: make bench-capture ARGS="--source ring", ARGS="--growth --seconds 20"; see benchmarks/capture/README.md.
bench-capture: $(VENV)/development
	@$(BIN)/python -m benchmarks.capture --short $(ARGS)

# Calls per core next to rtpengine and a plain asyncio recorder; as root (benchmarks/peers/README.md).
bench-peers: $(VENV)/development
	@command -v rtpengine >/dev/null || apt-get install -y -qq --no-install-recommends rtpengine-daemon >/dev/null
	@$(BIN)/python -m benchmarks.peers $(ARGS)

# Compiles pyproject.toml's ranges into hashed locks that hold for every supported Python.
lock: $(VENV)/development
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group dev -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --extra codecs --group build -o requirements-codecs.lock

# Decoders of an optional package with GPL parts: G.729, AMR, iLBC, Speex, G.722 (docs/dependencies.md).
codecs: requirements-codecs.lock
	.ci/bootstrap $(VENV) requirements-codecs.lock

$(VENV)/runtime: requirements.lock pyproject.toml
	.ci/bootstrap $(VENV) requirements.lock
	touch $@

$(VENV)/development: requirements-dev.lock pyproject.toml
	.ci/bootstrap $(VENV) requirements-dev.lock
	touch $@ $(VENV)/runtime

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
