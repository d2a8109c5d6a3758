#!/bin/sh
# python.sh DEBLUR_PY EXCHANGE_WEIGHTS VIDEO: the Python example deblurs a video of 5 frames, and says what is wrong.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
/usr/bin/python3 -c 'import gi; gi.require_version ("Gst", "1.0"); from gi.repository import Gst' 2>/dev/null ||
  { echo 'python.sh: no gi for Python, or no Gst for gi'; exit 77; }
gst-inspect-1.0 --exists avenc_ffv1 || { echo 'python.sh: no avenc_ffv1'; exit 77; }
deblur=$(realpath "$1") exchange_weights=$(realpath "$2") video=$(realpath "$3")
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
"$exchange_weights" write .
weights=3-1ff-residual-F32.safetensors

fail () { echo "python.sh: $1"; cat out message; exit 1; }

/usr/bin/python3 "$deblur" "$video" out.mkv "$weights" >out 2>message || fail 'it failed'
grep -q "^5 frames on .* with $weights" out || fail 'not five frames'
[ -s out.mkv ] || fail 'no output'
! /usr/bin/python3 "$deblur" "$video" out.mkv /nonexistent.safetensors >out 2>message || fail 'bad weights are no error'
grep -q 'deblur: .*/nonexistent.safetensors' message || fail 'no message'
! /usr/bin/python3 "$deblur" /nonexistent.mkv out.mkv "$weights" >out 2>message || fail 'a missing file is no error'
grep -q '^deblur.py: /nonexistent.mkv: source: ' message || fail 'no message of the source'
