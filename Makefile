# make demo   generate data, train a small model, test it, draw what it sees   (15 minutes on 2 CPU cores)
# make distill   the demo's model teaches a student of an eighth of its size: student alone, CMKD, table
# make test   run the tests
# make lint   run the linter
# Each creates .venv and installs everything into it, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_CONFIG := configs/refshapes/r18-slim_gru_refshapes.py
DEMO_DIR := work_dirs/demo

STUDY := results/refshapes/full_schedule.py

.PHONY: demo distill test lint clean

demo: $(READY)
	$(BIN)/python tools/dataset_converters/generate_refshapes.py data
	$(BIN)/python tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR) --resume
	$(BIN)/python tools/test.py $(DEMO_CONFIG) $(DEMO_DIR) --work-dir $(DEMO_DIR) \
	    --split val testA testB --show-dir $(DEMO_DIR)/sheets

distill: $(READY) $(DEMO_DIR)/metrics.json
	$(BIN)/python tools/analysis_tools/compare_distillation.py $(STUDY) --only cmkd --seeds 0 \
	    --teacher $(DEMO_DIR) --work-dir work_dirs/distill

# the last thing that the demo writes
$(DEMO_DIR)/metrics.json:
	$(MAKE) demo

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .

$(READY): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -c constraints.txt -e ".[lite,test]"
	touch $@

clean:
	rm -rf $(VENV) work_dirs build *.egg-info
