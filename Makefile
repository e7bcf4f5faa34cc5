# make demo   set everything up and run the demo: ten days from rain to warnings
# make test   set everything up and run lint, types, import rules and all tests

.PHONY: demo test coverage setup clean

demo: setup
	.venv/bin/lswarn demo

test: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest

# The tests again, a third slower, with what they do not reach.
coverage: setup
	.venv/bin/pytest --cov --cov-report=term:skip-covered

setup:
	@ops/setup.sh

# The private database, the demo and every region's archive go with var/.
clean:
	@[ ! -x .venv/bin/lswarn ] || .venv/bin/lswarn db stop
	rm -rf .venv var
