#!/bin/sh
# valgrind.sh PROGRAM SCENARIO...: the scenarios of test-element-scenarios without an error of memory and without
# a block that nothing points to any more. The reference back end: valgrind cannot follow code that oneDNN makes at
# run time.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
suppressions=$(dirname "$0")/valgrind.supp
program=$1
shift
command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 77; }
for scenario in "$@"; do
  set -- "$@" -p "/element/scenarios/$scenario"
  shift
done
export DEBLURUNET_TEST_BACKEND=reference G_SLICE=always-malloc
exec valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite \
  --errors-for-leak-kinds=definite --suppressions="$suppressions" "$program" "$@"
