#!/bin/sh
# Deblurs a real clip and shows what it did.
#   sh examples/demo.sh                  the bundled clip, which we blurred (sigma 1.6), so the truth is known
#   sh examples/demo.sh INPUT [OUTPUT]   a video file of yours (the picture only, no sound)
# Installs what is missing (Debian), builds, then writes OUTPUT, and beside it a before | after video and PNG.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
truth=
case $# in
  0)
    input=$root/examples/data/drive-blurred.mp4
    truth=$root/examples/data/drive-sharp.mp4
    output=$root/demo-out/deblurred.mp4
    mkdir -p "$root/demo-out"
    ;;
  1 | 2)
    input=$1
    output=${2:-${1%.*}-deblurred.mp4}
    ;;
  *) echo "usage: sh examples/demo.sh [INPUT [OUTPUT]]" >&2; exit 2 ;;
esac
[ -f "$input" ] || { echo "demo: there is no file $input" >&2; exit 2; }
# Paths are handed to programs that run in another folder.
absolute () { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
input=$(absolute "$input") output=$(absolute "$output")
[ -d "$(dirname "$output")" ] || { echo "demo: there is no folder $(dirname "$output")" >&2; exit 2; }
if [ -e "$output" ] && [ "$input" -ef "$output" ]; then
  echo "demo: the output would overwrite the input $input" >&2
  exit 2
fi
side="${output%.*}-before-after"

sh "$root/tests/setup.sh" demo
build=$root/build-demo
[ -f "$build/build.ninja" ] || meson setup "$build" "$root" --buildtype=release >/dev/null
ninja -C "$build" -v >"$build/ninja.log" 2>&1 || { tail -n 40 "$build/ninja.log" >&2; exit 1; }

log=$build/demo-element.log
rm -f "$log"
echo "Deblurring $input"
# The element logs one line of figures when it stops (debug level INFO).
GST_DEBUG=deblurunet:4 GST_DEBUG_NO_COLOR=1 GST_DEBUG_FILE=$log \
  meson devenv -C "$build" gst-launch-1.0 -e filesrc location="$input" ! decodebin ! queue ! videoconvert \
  ! deblurunet ! progressreport update-freq=2 \
  ! x264enc pass=quant quantizer=12 speed-preset=veryfast ! h264parse ! mp4mux ! filesink location="$output"

echo
"$build/examples/before-after" "$input" "$output" "$side.mp4" "$side.png" ${truth:+"$truth"}
sed -n 's/^.*summary: //p' "$log" | tail -n 1
echo "Deblurred video:       $output"
echo "Before | after, video: $side.mp4"
echo "Before | after, frame: $side.png"
