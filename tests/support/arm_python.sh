#!/usr/bin/env bash
# A Python for 64-bit ARM with TVM's RPC server in the folder $1, to be run by qemu: Debian's packages unpacked, without
# touching the system's own apt, and aarch64 wheels beside them in the releases that the file $2 names. PYTHON has to be a
# Python with pip.
set -euo pipefail
root=$1
mkdir -p "$root"
root=$(cd "$root" && pwd)
[ ! -e "$root/ready" ] || exit 0
apt=$root/apt
mkdir -p "$apt"/{lists/partial,archives/partial,etc} "$root/packages"
: > "$apt/status"
options=(
  -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists"
  -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt" -o "Dir::Cache::archives=$apt/archives"
  -o APT::Install-Recommends=false -o Debug::NoLocking=1 -o APT::Sandbox::User=
)
apt-get "${options[@]}" -qq update
apt-get "${options[@]}" -qq -y --download-only install python3.11 libstdc++6
for package in "$apt"/archives/*.deb; do dpkg -x "$package" "$root"; done
# In the releases that the tests run with here.
mapfile -t wanted < <(grep -E '^(apache-tvm|apache-tvm-ffi|numpy|ml_dtypes|typing_extensions|psutil|cloudpickle|tornado)==' "$2")
"$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
  --dest "$apt/wheels" "${wanted[@]}"
for wheel in "$apt"/wheels/*.whl; do "$PYTHON" -m zipfile -e "$wheel" "$root/packages"; done
# The server starts workers by the path of its own program: this one.
cat > "$root/python" <<END
#!/bin/sh
PYTHONPATH="$root/packages" exec qemu-aarch64-static -L "$root" -E PYTHONHOME="$root/usr" -E PYTHONPATH="$root/packages" "$root/usr/bin/python3.11" "\$@"
END
chmod +x "$root/python"
echo "import sys; sys.executable = '$root/python'" > "$root/packages/sitecustomize.py"
rm -r "$apt"
touch "$root/ready"
