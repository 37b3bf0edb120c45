#!/usr/bin/env bash
# Resolve the lowest and the newest versions that pyproject.toml says work, so that a range that cannot be satisfied
# shows. Nothing of them is installed. Arguments: versions of Python, by default all that are said to work.
set -euo pipefail
cd "$(dirname "$0")/.."

uv_home=build/uv
test -x "$uv_home/bin/uv" || {
  "${PYTHON:-python3}" -m venv "$uv_home"
  "$uv_home/bin/python" -m pip install --quiet --disable-pip-version-check uv
}
[ "$#" -gt 0 ] || set -- 3.11 3.12 3.13 3.14
for python in "$@"; do
  for end in lowest-direct highest; do
    "$uv_home/bin/uv" pip compile --quiet --system-certs --no-header --no-annotate --only-binary :all: --python-platform linux \
      --python-version "$python" --resolution "$end" --all-extras pyproject.toml -o "build/resolved-$python-$end.txt"
    echo "Python $python, $end: $(grep -cE '^[a-z]' "build/resolved-$python-$end.txt") packages;" \
      "$(grep -E '^(torch|apache-tvm|apache-tvm-ffi|numpy)==' "build/resolved-$python-$end.txt" | tr '\n' ' ')"
  done
done
