#!/bin/sh
# Installs what is missing on Debian 12 or 13 (or a relative of them): sh tests/setup.sh demo | tests
# Installs nothing, and asks for nothing, when all is there.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

build="gcc libc6-dev meson ninja-build pkg-config libglib2.0-dev libjansson-dev libdnnl-dev libpng-dev
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev"
run="gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
  gstreamer1.0-plugins-ugly gstreamer1.0-libav"
runtime=libclang-rt-dev # clang's sanitizers and fuzzer
if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
  runtime=libclang-rt-14-dev
fi
check="clang $runtime g++ python3 python3-numpy python3-torch python3-opencv libomp-dev binutils valgrind
  util-linux libcairo2-dev libgstrtspserver-1.0-dev libgstreamer-plugins-bad1.0-dev
  libgtk-4-dev xvfb xauth xdotool python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0"

case "${1:-}" in
  demo) wanted="$build $run" ;;
  tests) wanted="$build $run $check" ;;
  *) echo "usage: sh tests/setup.sh demo | tests" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
  echo "setup: this is no Debian system; make sure that the equivalents of these are installed:" $wanted >&2
  exit 0
fi
missing=
for package in $wanted; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
    missing="$missing $package"
done
[ -z "$missing" ] && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "setup: these packages are missing, and there is no sudo; as root, run: apt-get install$missing" >&2
    exit 1
  }
  as_root=sudo
fi
echo "setup: installing$missing"
$as_root apt-get update -q
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
