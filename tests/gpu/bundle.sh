#!/bin/sh
# Packs all that tests/gpu/run.sh runs into one archive, for a machine with a GPU but without GStreamer, a
# compiler or a network: sh tests/gpu/bundle.sh [BUILD-FOLDER [ARCHIVE]]
# builds in BUILD-FOLDER (build-gpu) with CUDA switched on, writes ARCHIVE (deblurunet-gpu.tar.gz in that folder,
# below 40 MB) and has check-bundle.sh look at it. On the other machine:
# tar xf deblurunet-gpu.tar.gz && sh deblurunet-gpu/run.sh
# DEBLURUNET_BUNDLE_WEIGHTS=0 in the environment leaves the weights out, half of it, for a machine that has these sources:
# there DEBLURUNET_WEIGHTS=.../plugin/weights/deblurunet.safetensors tells run.sh where they are.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build-gpu}
archive=${2:-$build/deblurunet-gpu.tar.gz}
limit=40000000

[ -f "$build/build.ninja" ] || meson setup "$build" --buildtype=release -Dcuda=enabled
programs="test-backend test-network test-cuda-curve test-device-frames test-kernels-on-device
  test-frame-kernels-on-device test-pictures-on-device bench-gpu"
ninja -C "$build" $(for program in $programs; do echo "tests/$program"; done) net/cuda/libdeblurunet-cuda.so

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
bundle=$stage/deblurunet-gpu
mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/lib-fallback" "$bundle/oracle" "$bundle/data"
for program in $programs; do
  strip -o "$bundle/bin/$program" "$build/tests/$program"
done
module=$build/net/cuda/libdeblurunet-cuda.so
strip --strip-unneeded -o "$bundle/lib/libdeblurunet-cuda.so" "$module"
cp tests/gpu/run.sh tests/gpu/torch-gpu.py "$bundle"
cp tests/oracle/unet.py "$bundle/oracle"
cp tests/data/network.ini tests/data/network.f32 "$bundle/data"
[ "${DEBLURUNET_BUNDLE_WEIGHTS:-1}" = 0 ] || cp plugin/weights/deblurunet.safetensors "$bundle"
git describe --always --dirty >"$bundle/version" 2>/dev/null || echo unknown >"$bundle/version"

# What they link, but for glibc, which must be the machine's, and for CUDA.
ldd "$bundle"/bin/* "$bundle"/lib/*.so | sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p' | sort -u |
while read -r library; do
  case ${library##*/} in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | ld-linux*) ;;
    libcuda.so.* | libcudart.so.* | libcublas*.so.* | libcudnn*.so.* | libnv*.so.*) ;;
    libstdc++.so.* | libgcc_s.so.*) cp -L "$library" "$bundle/lib-fallback" ;;
    *) cp -L "$library" "$bundle/lib" ;;
  esac
done

tar -C "$stage" -c deblurunet-gpu | gzip -9 >"$archive"
size=$(wc -c <"$archive")
echo "$archive: $size bytes"
[ "$size" -le "$limit" ] || { echo "bundle.sh: more than $limit bytes" >&2; exit 1; }
sh tests/gpu/check-bundle.sh "$archive"
