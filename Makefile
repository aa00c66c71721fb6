# make demo   build, simulate a scan, convert it, validate it, show and draw what is in it
# make test   the test suite
# make test-minimum   part of it, with the lowest versions that pyproject.toml allows
# make lint   ruff and mypy
# make docs   the pages and the API reference as a site, in build/site

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard bindings/ptychoproduct_native/*.py* bindings/ptychoproduct_native/*.[ch]) setup.py pyproject.toml
DEMO := outputs/ptychodus_products
MINIMUM := build/minimum
MINIMUM_TESTS := tests/bindings/test_pipeline.py tests/core/convert tests/core/product tests/core/tuning \
    tests/core/hdf5/test_arrays.py tests/core/hdf5/test_dataset_reader.py tests/core/hdf5/test_folder_links.py \
    tests/cli/test_commands.py tests/cli/test_compression.py tests/cli/test_inspect.py

.PHONY: demo test test-minimum lint docs clean

demo: $(VENV)/.installed
	mkdir -p $(DEMO)
	$(BIN)/ptychoproduct simulate $(DEMO)/demo.npz --frames 1000 --size 128
	$(BIN)/convert_to_ptychodus_product --input-npz $(DEMO)/demo.npz --output-product $(DEMO)/demo.h5 \
	    --name Demo --comments "simulated far-field scan" --detector-distance-m 2 --probe-energy-eV 8000 \
	    --exposure-time-s 0.1 --detector-pixel-size-m 7.5e-5 \
	    --object-center-x-m 4.76241387083e-06 --object-center-y-m 4.76241387083e-06 --include-diffraction
	$(BIN)/ptychoproduct validate $(DEMO)/demo.h5 --deep --source-npz $(DEMO)/demo.npz
	$(BIN)/python docs/show_product.py $(DEMO)/demo.h5
	$(BIN)/ptychoproduct inspect $(DEMO)/demo.h5 --plot $(DEMO)/demo.png

test: $(VENV)/.tests
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

test-minimum: $(MINIMUM)/.installed
	$(MINIMUM)/bin/pytest -p no:cacheprovider $(MINIMUM_TESTS)

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf build man *.egg-info $(VENV) bindings/ptychoproduct_native/*.so

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/pip $(SOURCES)
	@echo "Packages are fetched and C is compiled, about half a minute:"
	$(BIN)/pip install --editable '.[plot]'
	touch $@

$(VENV)/.tests: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[test,lint,plot]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[docs,plot]'
	touch $@

# ptychodus needs a newer rich than we do: our own lower bounds come last. This package is installed, not linked, so
# that nothing of what the other environment has built is used.
$(MINIMUM)/.installed: $(SOURCES)
	$(PYTHON) -m venv --clear $(MINIMUM)
	$(MINIMUM)/bin/pip install --quiet uv
	VIRTUAL_ENV=$(MINIMUM) $(MINIMUM)/bin/uv pip install --quiet --resolution lowest-direct '.[test,plot]'
	VIRTUAL_ENV=$(MINIMUM) $(MINIMUM)/bin/uv pip install --quiet --upgrade --resolution lowest-direct '.[plot]'
	touch $@
