#!/bin/sh
# Whether an archive of tests/gpu/bundle.sh is whole: sh tests/gpu/check-bundle.sh ARCHIVE
# Unpacks it into a folder with nothing beside it but glibc, makes that the root of the file system, and runs the
# reference back end's cases there; then, outside of it, run.sh, which without a GPU must say so and end with 77.
# Where there is one, its tests are run.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
archive=$(realpath "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tar -C "$root" -xf "$archive"
bundle=$root/deblurunet-gpu

# Each library that something wants comes from the bundle, from glibc, or is CUDA's.
wanted=$(for file in "$bundle"/bin/* "$bundle"/lib/*; do readelf -d "$file"; done |
  sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u)
for library in $wanted; do
  case $library in
    libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | ld-linux-x86-64.so.2) ;;
    libcudart.so.13 | libcublasLt.so.13 | libcudnn.so.9) ;;
    *)
      if [ ! -f "$bundle/lib/$library" ] && [ ! -f "$bundle/lib-fallback/$library" ]; then
        echo "check-bundle: $library is not in the bundle" >&2
        exit 1
      fi ;;
  esac
done

as_root=
[ "$(id -u)" -eq 0 ] || as_root="unshare --map-root-user"
for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 ld-linux-x86-64.so.2; do
  path=$(ldconfig -p | sed -n "s/.*$library (libc6,x86-64.*=> //p" | head -n 1)
  [ -n "$path" ] || continue
  mkdir -p "$root/lib64" "$root/glibc"
  cp -L "$path" "$root/glibc"
done
cp "$root/glibc/ld-linux-x86-64.so.2" "$root/lib64"
mkdir -p "$root/proc"
$as_root chroot "$root" /deblurunet-gpu/bin/true 2>/dev/null || status=$?
if [ "${status:-0}" -eq 125 ] || [ "${status:-0}" -eq 1 ]; then
  echo "check-bundle: the root cannot be changed here: skipped" >&2
else
  for test in pool head; do
    LD_LIBRARY_PATH=/deblurunet-gpu/lib:/deblurunet-gpu/lib-fallback:/glibc OMP_WAIT_POLICY=passive \
      $as_root chroot "$root" /deblurunet-gpu/bin/test-backend -p "/backend/reference/f32/$test"
  done
fi

status=0
output=$(sh "$bundle/run.sh" tests 2>&1) || status=$?
echo "$output"
case $status in
  0) ;;
  77)
    echo "$output" | grep -q "no GPU" || {
      echo "check-bundle: run.sh does not say that there is no GPU" >&2
      exit 1
    } ;;
  *) echo "check-bundle: run.sh ends with $status" >&2; exit 1 ;;
esac
echo "check-bundle: $archive is whole"
