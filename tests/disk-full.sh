#!/bin/sh
# A disk that is full, for real: training on a small tmpfs of its own. Whatever its size, the trainer leaves
# with exit code 5 and the reason, what it has saved loads, and with room again the run comes out the same.
# Usage: disk-full.sh TRAINER PICTURE  Skipped (77) where no file system may be mounted.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

if [ "${DISK_FULL_INSIDE:-}" != yes ]; then
  for how in --mount "--user --map-root-user --mount"; do
    if unshare $how sh -c 'mount -t tmpfs -o size=64k none /mnt' 2>/dev/null; then
      DISK_FULL_INSIDE=yes exec unshare $how sh "$0" "$@"
    fi
  done
  echo "no file system may be mounted here: skipped"
  exit 77
fi

trainer=$1
shift
folder=$(mktemp -d)
trap 'umount "$folder/disk" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/disk"
# The cache of decoded pictures is not what fills the disk here.
export XDG_CACHE_HOME="$folder/cache"
fit="--base-width=1 --backend=reference --head=residual --threads=1 --crop=32x32 --batch=2 --epochs=2
  --steps-per-epoch=3 --ema=0.5 --train-metrics=1 --checkpoint-minutes=0 --on-the-fly"

fail () {
  echo "disk-full: $1" >&2
  cat "$folder/log" >&2
  exit 1
}

mkdir "$folder/pictures"
for copy in 1 2 3; do
  cp "$1" "$folder/pictures/$copy.jpg"
done
"$trainer" fit "$folder/pictures" -o "$folder/whole" $fit >"$folder/log" 2>&1 || fail "the run on a roomy disk failed"

full=0 resumed=0
for kilobytes in 8 136 392 776 1160; do
  mount -t tmpfs -o "size=${kilobytes}k" none "$folder/disk"
  run="$folder/disk/run"
  code=0
  "$trainer" fit "$folder/pictures" -o "$run" $fit >"$folder/log" 2>&1 || code=$?
  if [ "$code" -eq 5 ]; then
    full=$((full + 1))
    grep -q 'No space left on device' "$folder/log" || fail "$kilobytes KiB: no reason given"
    mount -o remount,size=16m "$folder/disk"
    if ls "$run"/checkpoint-* >/dev/null 2>&1; then
      resumed=$((resumed + 1))
      "$trainer" fit -o "$run" --resume >"$folder/log" 2>&1 || fail "$kilobytes KiB: cannot go on"
      cmp "$run/weights.safetensors" "$folder/whole/weights.safetensors" ||
        fail "$kilobytes KiB: the resumed run came out differently"
    fi
    temporary=$(find "$run" -name '*.part' -o -name '*.tmp' -o -name '.*-*' 2>/dev/null | head -n 3)
    [ -z "$temporary" ] || fail "$kilobytes KiB: left behind: $temporary"
  elif [ "$code" -ne 0 ]; then
    fail "$kilobytes KiB: exit code $code"
  fi
  umount "$folder/disk"
done
echo "full: $full, of them with a checkpoint to go on from: $resumed"
[ "$full" -ge 3 ] && [ "$resumed" -ge 1 ] || fail "the sizes do not try what they should"
