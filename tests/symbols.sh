#!/bin/sh
# symbols.sh NM LIBRARY HEADER: every symbol that the shared library exports carries the prefix du_ and stands
# in the public header, and every function of the header is exported.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
exported=$("$1" --dynamic --defined-only --format=posix "$2" | cut -d' ' -f1 | sort)
# "DU_API type *du_name (" -> du_name
declared=$(sed -n 's/^DU_API .*[ *]\(du_[a-z0-9_]*\) (.*/\1/p' "$3" | sort)
[ -n "$exported" ] && [ -n "$declared" ]
status=0
for symbol in $exported; do
  echo "$declared" | grep -qx "$symbol" || { echo "exported, not in the header: $symbol"; status=1; }
done
for symbol in $declared; do
  echo "$exported" | grep -qx "$symbol" || { echo "in the header, not exported: $symbol"; status=1; }
done
exit $status
