# Thin front for people; everything real is in CMake and tools/.
.PHONY: run build test experiment install deb format lint bench oracle clean
release = build/release

# The main job: watch the bundled looped model answer, loop by loop.
run: build
	@tools/demo

# The program alone. A build folder that has tests and studies already keeps them.
build:
	@tools/setup run
	@[ -f $(release)/build.ninja ] || cmake --preset program >/dev/null
	@cmake --build $(release) --target looplm

# The whole test suite, on every instruction set this machine has.
test:
	@tools/setup test
	@cmake --preset release >/dev/null
	@cmake --build --preset release
	@tools/test

# The paper's studies, a program of their own.
experiment:
	@tools/setup experiment
	@cmake --preset program -DLOOPLM_EXPERIMENTS=ON >/dev/null
	@cmake --build $(release) --target looplm-experiment

# The program, its files and the C++ library, under PREFIX.
PREFIX ?= /usr/local
install: build
	@cmake --build $(release) --target looplm_library
	@cmake --install $(release) --prefix $(PREFIX)

# Debian packages of the same, in build/release.
deb: build
	@tools/setup deb
	@cmake --build $(release) --target looplm_library
	@cd $(release) && cpack -G DEB

format:
	@tools/setup dev
	@tools/format --write

lint:
	@tools/setup dev
	@tools/format
	@tools/check_layers
	@tools/lint

bench: build
	@$(release)/looplm bench peaks
	@$(release)/looplm bench kernels

# Makes the committed golden files again with PyTorch and HF tokenizers, in a virtual environment outside the tree.
oracle:
	@tests/oracle/run

clean:
	rm -rf build
