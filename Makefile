# Thin front for people; everything real is in CMake and tools/.
.PHONY: run test build experiment format lint bench oracle clean

build:
	@tools/setup
	@cmake --preset release >/dev/null
	@cmake --build --preset release

# The main job: watch the bundled looped model answer, loop by loop.
run: build
	@tools/demo

# The paper's studies, a program of their own.
experiment:
	@tools/setup
	@cmake --preset release -DLOOPLM_EXPERIMENTS=ON >/dev/null
	@cmake --build --preset release --target looplm-experiment

# The whole test suite, on every instruction set this machine has.
test: build
	@tools/test

format:
	@tools/setup --dev
	@tools/format --write

lint:
	@tools/setup --dev
	@tools/format
	@tools/check_layers
	@tools/lint

bench: build
	@build/release/looplm bench peaks
	@build/release/looplm bench kernels

# Makes the committed golden files again with PyTorch and HF tokenizers, in a virtual environment outside the tree.
oracle:
	@tests/oracle/run

clean:
	rm -rf build
