#!/bin/sh
# man.sh DEBLURUNET_TRAIN PAGE README: the manual page has every command and option of --help and is clean roff, and
# README's deblurunet-train lines use options that there are.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
program=$1 page=$2 readme=$3
export LC_ALL=C.UTF-8 ASAN_OPTIONS=detect_leaks=0
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

fail () { echo "man.sh: $1"; exit 1; }

sed 's/\\-/-/g' "$page" >"$folder/page"
commands=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || fail 'no commands'
for command in $commands; do
  "$program" "$command" --help | sed -n '/^Options:/,/^$/s/^  \(-.*[^ ]\)   .*/\1/p' >"$folder/$command"
  [ -s "$folder/$command" ] || fail "no options of $command"
  sed -n "/^\.SS \"$command /,/^\.S[SH] /p" "$folder/page" >"$folder/section"
  while read -r option; do
    grep -qxF -- ".B $option" "$folder/section" || fail "$command $option is not in the page"
  done <"$folder/$command"
  [ "$(grep -c '^\.TP' "$folder/section")" -eq "$(wc -l <"$folder/$command")" ] || fail "$command: options too many"
done
if command -v man >/dev/null; then
  man --warnings --local-file "$page" >"$folder/text" 2>"$folder/warnings" || fail 'man does not show the page'
  [ ! -s "$folder/warnings" ] || { cat "$folder/warnings"; fail 'warnings of man'; }
fi

sed -e ':join' -e '/\\$/{N;s/\\\n *//;bjoin' -e '}' "$readme" |
  sed -n 's/^    \(deblurunet-train [a-z]* .*\)/\1/p' | sed 's/ #.*//' >"$folder/lines"
[ "$(wc -l <"$folder/lines")" -ge 4 ] || fail 'README has no deblurunet-train lines'
while read -r line; do
  rest=${line#deblurunet-train }
  command=${rest%% *}
  [ -f "$folder/$command" ] || fail "README: $line: no command $command"
  for word in $rest; do
    case $word in
      --*) grep -q -e "^\(-., \)\?${word%%=*}\(=\|\$\)" "$folder/$command" || fail "README: $line: no $word" ;;
      -?) grep -q -e "^$word, " "$folder/$command" || fail "README: $line: no $word" ;;
    esac
  done
done <"$folder/lines"
