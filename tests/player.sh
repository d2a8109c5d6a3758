#!/bin/sh
# player.sh PLAYER EXCHANGE_WEIGHTS PICTURE: on a screen of its own, the player shows before and after on the right
# sides of the line, and the mouse moves it.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
for program in xvfb-run xdotool; do
  command -v $program >/dev/null || { echo "player.sh: no $program"; exit 77; }
done
/usr/bin/python3 -c 'import cv2' 2>/dev/null || { echo 'player.sh: no OpenCV for Python'; exit 77; }
if [ -z "${PLAYER_SCREEN:-}" ]; then
  export PLAYER_SCREEN=1 GSK_RENDERER=cairo GTK_A11Y=none GDK_BACKEND=x11
  exec xvfb-run -a -s '-screen 0 1280x800x24' sh "$0" "$@"
fi
player=$(realpath "$1") exchange_weights=$(realpath "$2") picture=$(realpath "$3")
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
"$exchange_weights" write .
weights=3-1ff-residual-F32.safetensors

fail () { echo "player.sh: $1"; cat message; exit 1; }

# check FILE COLUMN: the line stands at the column, the picture itself is left of it, another one right of it.
check () {
  /usr/bin/python3 - "$picture" "$1" "$2" <<'PYTHON'
import sys, cv2, numpy
source, shown = (cv2.imread(path).astype(int) for path in sys.argv[1:3])
column = int(sys.argv[3])
assert source.shape == shown.shape, (source.shape, shown.shape)
difference = numpy.abs(source - shown).max(2)
left, right = difference[:, : column - 1].max(), numpy.median(difference[:, column + 1 :])
line = shown[:, column - 1 : column + 1].min()
assert left == 0 and right > 20 and line == 255, (left, right, line)
PYTHON
}

"$player" --once --split 0.25 --save once.png --weights "$weights" "$picture" 2>message || fail 'it failed'
check once.png 14 || fail 'the picture is wrong'

# The picture of 56x40 is 756x540 large in the window of 960x540.
"$player" --save dragged.png --weights "$weights" "$picture" 2>message &
process=$!
xdotool search --sync --onlyvisible --name "$(basename "$picture")" >/dev/null
# Again until it is so: a window that is slow to come may miss the first drags, or be seen half-way.
tries=0
until [ -f dragged.png ] && check dragged.png 42 2>lines; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || { kill $process; cat lines; fail 'the line is not where the mouse put it'; }
  rm -f dragged.png
  xdotool mousemove 480 270 mousedown 1 mousemove 600 280 mousemove 669 280 mouseup 1 key s
  sleep 0.5
done
xdotool key q
wait $process || fail 'it failed'
! grep -q CRITICAL message || fail 'a critical warning'

! "$player" --weights "$weights" /nonexistent.mp4 2>message || fail 'a file that is not there is no error'
grep -q '^player: .*nonexistent' message || fail 'no message'
