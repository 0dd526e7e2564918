#!/bin/sh
# Runs one command in the lab machine and exits with its status; lab.py says the rest.
exec python3 "$(dirname "$0")/lab.py" "$@"
