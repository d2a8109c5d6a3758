#!/bin/sh
# make-man.sh DEBLURUNET_TRAIN: the program's manual page, from what its --help says.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
export LC_ALL=C.UTF-8 ASAN_OPTIONS=detect_leaks=0
program=$1
# As roff: no word begins a request or an escape.
escape () { sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^[.']/\\\\\\&&/"; }
help=$("$program" --help | escape)
part () { printf '%s\n' "$help" | sed -n "$1"; }
commands=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')

printf '.TH DEBLURUNET\\-TRAIN 1 "" "%s" "User Commands"\n' "$("$program" --version | sed 's/-train//')"
printf '.SH NAME\ndeblurunet\\-train \\- make data for a deblurring U\\-Net, train it and measure it\n'
printf '.SH SYNOPSIS\n.nf\n'
for command in $commands; do
  "$program" "$command" --help | sed -n '2s/^ *//p' | escape
done
printf '.fi\n.SH DESCRIPTION\nMakes the data, trains the network and writes the weights file of the GStreamer element\n'
printf '.BR deblurunet .\n'
printf '.SH COMMANDS\n'
for command in $commands; do
  "$program" "$command" --help | escape | awk '
    # A table: lines as they stand.
    /^ / != table && NR > 2 && !/^  \\-/ { table = !table; print table ? ".nf" : ".fi" }
    NR == 1 || (/^$/ && paragraph) { paragraph = 0; next }
    NR == 2 { sub (/^ *deblurunet\\-train /, ""); print ".SS \"" $0 "\""; next }
    /^Options:$/ { next }
    /^  \\-/ {
      sub (/^ */, "")
      split_at = match ($0, /   +/)
      print ".TP\n.B " substr ($0, 1, split_at - 1)
      $0 = substr ($0, split_at)
      sub (/^ */, "")
      print
      options = 1
      next
    }
    /^$/ { next }
    { if (!paragraph) print options ? ".PP" : ""; paragraph = 1; print }' | sed '/^$/d'
done
printf '.SH EXAMPLES\n.nf\n'
part '/^Examples:/,/^$/p' | sed -e 1d -e '$d' -e 's/^  //'
printf '.fi\n'
printf '.SH EXIT STATUS\n'
part '/^Exit codes: /,$p' | sed '1s/^Exit codes: //'
printf '.SH ENVIRONMENT\n.TP\n.B OMP_WAIT_POLICY\nOn a machine that is busy with other work,\n'
printf '.I passive\nsaves the time that waiting threads spend spinning.\n'
printf '.SH SEE ALSO\n.BR gst\\-inspect\\-1.0 (1)\nwith the argument\n.I deblurunet\nhas the properties of the element.\n'
