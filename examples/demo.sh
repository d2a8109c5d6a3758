#!/bin/sh
# Deblurs a real clip and shows what it did.
#   sh examples/demo.sh                  the bundled clip, blurred here (11x11, sigma 1.6), so the truth is known
#   sh examples/demo.sh INPUT [OUTPUT]   a video file of yours (the picture only, no sound);
#                                        OUTPUT.mkv is lossless (FFV1), any other name H.264 in MP4
# Installs what is missing (Debian), builds, then writes OUTPUT, and beside it a before | after video and PNG.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/demo-out
absolute () { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
# Without the extension of the name, if it has one: "../clip" and "a.b/clip" have none.
stem () { case ${1##*/} in ?*.*) echo "${1%.*}" ;; *) echo "$1" ;; esac; }
fail () { echo "demo: $1" >&2; exit 2; }

truth=
case $# in
  0)
    mkdir -p "$out"
    input=$out/blurred.mkv truth=$out/sharp.mkv output=$out/deblurred.mkv
    ;;
  1 | 2)
    [ -f "$1" ] || fail "there is no file $1"
    input=$(absolute "$1") output=$(absolute "${2:-$(stem "$1")-deblurred.mp4}")
    [ -d "$(dirname "$output")" ] || fail "there is no folder $(dirname "$output")"
    if [ -e "$output" ] && [ "$input" -ef "$output" ]; then fail "the output would overwrite the input $input"; fi
    ;;
  *) fail "usage: sh examples/demo.sh [INPUT [OUTPUT]]" ;;
esac
side=$(stem "$output")-before-after

sh "$root/tests/setup.sh" demo
build=$root/build-demo
echo "Building in $build"
[ -f "$build/build.ninja" ] || meson setup "$build" "$root" --buildtype=release -Dtests=false >/dev/null
ninja -C "$build" >"$build/ninja.log" 2>&1 || { tail -n 40 "$build/ninja.log" >&2; exit 1; }
# Threads that wait for each other by spinning lose much on a machine that is not idle.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
# Runs a program with the element and its weights found.
with_element () { meson devenv -C "$build" "$@"; }

if [ -n "$truth" ]; then
  echo "Blurring the bundled clip"
  rm -rf "$out/pairs"
  "$build/train/deblurunet-train" synth --kernels 11:1.6 --size 540x960 "$root/examples/data/drive.mp4" "$out/pairs"
  for pair in sharp/"$truth" blur/"$input"; do
    with_element gst-launch-1.0 -q multifilesrc location="$out/pairs/${pair%%/*}/000000_drive_f%06d.png" \
      caps=image/png,framerate=25/1 ! pngdec ! videoconvert ! video/x-raw,format=BGRx \
      ! avenc_ffv1 ! matroskamux ! filesink location="${pair#*/}"
  done
fi

case $output in
  *.mkv) encode="videoconvert ! video/x-raw,format=BGRx ! avenc_ffv1 ! matroskamux" ;;
  *) encode="videoconvert ! x264enc pass=quant quantizer=14 speed-preset=veryfast ! h264parse ! mp4mux" ;;
esac
log=$build/demo-element.log
rm -f "$log"
echo "Deblurring $input"
# The element logs a line for each frame (debug level DEBUG; tests/examples.sh looks for it) and one of figures when it stops (INFO).
(
  while sleep 1; do
    printf '\r%s frames' "$(grep -c 'hands on the frame' "$log" 2>/dev/null || true)"
  done
) &
progress=$!
trap 'kill $progress 2>/dev/null || true' EXIT
# shellcheck disable=SC2086
with_element env GST_DEBUG=deblurunet:5 GST_DEBUG_NO_COLOR=1 GST_DEBUG_FILE="$log" \
  gst-launch-1.0 -q -e filesrc location="$input" ! decodebin ! queue ! videoconvert \
  ! deblurunet ! $encode ! filesink location="$output"
kill $progress
trap - EXIT

echo
"$build/examples/before-after" "$input" "$output" "$side.mp4" "$side.png" ${truth:+"$truth"}
sed -n 's/^.*summary: //p' "$log" | tail -n 1
echo "Deblurred video:       $output"
echo "Before | after, video: $side.mp4"
echo "Before | after, frame: $side.png"
