#!/bin/sh
# examples.sh DEBLUR_PPM WEIGHTS: the library's example deblurs a picture and refuses what is none; the demo's progress.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
[ -f "$2" ] || { echo "no default weights"; exit 77; }
deblur_ppm=$(realpath "$1") weights=$(realpath "$2")
root=$(dirname "$(realpath "$0")")/..
# The demo counts frames by what the element logs of each.
counted=$(sed -n "s/.*grep -c '\([^']*\)'.*/\1/p" "$root/examples/demo.sh")
[ -n "$counted" ]
grep -q "\"$counted" "$root"/plugin/*.c
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
# A gray square on noise-free ground, 40x30.
{ printf 'P6\n40 30\n255\n'; head -c 3600 /dev/zero | tr '\0' '\200'; } >in.ppm
"$deblur_ppm" "$weights" <in.ppm >out.ppm
[ "$(wc -c <out.ppm)" -eq "$(wc -c <in.ppm)" ]
[ "$(head -c 13 out.ppm)" = "$(head -c 13 in.ppm)" ]
! head -c 100 in.ppm | "$deblur_ppm" "$weights" >out.ppm 2>message
grep -q 'ends before its last pixel' message
! "$deblur_ppm" /nonexistent.safetensors <in.ppm >out.ppm 2>message
grep -q '/nonexistent.safetensors' message
