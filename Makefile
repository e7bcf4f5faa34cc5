# make demo   set everything up and run the demo: ten days from rain to warnings
# make test   set everything up and run lint, types, import rules and all tests
# make bench  a made country of 9 M and of 36 M cells, from rain grid to queued alerts: minutes; bench-full: 534 M, hours

.PHONY: demo test coverage bench bench-full setup clean

demo: setup
	.venv/bin/lswarn demo

test: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest -n 2 --dist loadfile

# The tests again, a third slower, with what they do not reach.
coverage: setup
	.venv/bin/pytest --cov --cov-report=term:skip-covered

bench: setup
	.venv/bin/python ops/bench/country.py

bench-full: setup
	.venv/bin/python ops/bench/country.py --full --keep var/bench

setup:
	@ops/setup.sh

# The private database, the demo and every region's archive go with var/.
clean:
	@[ ! -x .venv/bin/lswarn ] || .venv/bin/lswarn db stop
	rm -rf .venv var
