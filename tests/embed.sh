#!/bin/sh
# embed.sh EMBED EXCHANGE_WEIGHTS PLUGINS: the embedding application gets all its frames, changes weights half-way,
# goes on when the new ones are bad, and says what is wrong with the first ones. PLUGINS: GStreamer's own folder.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
embed=$(realpath "$1") exchange_weights=$(realpath "$2") plugins=$3
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
mkdir plugins weights
ln -s "$plugins"/libgstapp.* plugins/
export GST_PLUGIN_SYSTEM_PATH_1_0="$folder/plugins" GST_REGISTRY_1_0="$folder/registry"
"$exchange_weights" write weights
one=weights/1-0-sigmoid-F32.safetensors other=weights/3-1ff-residual-F32.safetensors

fail () { echo "embed.sh: $1"; cat out message; exit 1; }

"$embed" "$one" "$other" >out 2>message || fail 'two good files: an error'
[ "$(grep -c '^frame ' out)" -eq 6 ] || fail 'not six frames'
grep -q '^frame 5, 0.200 s:' out || fail 'the last frame has another time'
grep -q "^6 frames.*weights $other" out || fail 'the new weights are not in use'
[ "$(sed -n 's/^frame 2.*: //p' out)" != "$(sed -n 's/^frame 5.*: //p' out)" ] || fail 'equal results of unequal weights'

"$embed" "$one" /nonexistent.safetensors >out 2>message || fail 'a bad second file ends it'
grep -q 'warning of deblur: .*/nonexistent.safetensors' message || fail 'no warning'
grep -q "^6 frames.*weights $one" out || fail 'the old weights are not in use'

! "$embed" /nonexistent.safetensors >out 2>message || fail 'a bad first file is no error'
grep -q '^deblur: .*/nonexistent.safetensors' message || fail 'no message'
