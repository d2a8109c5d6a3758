#!/bin/sh
# Sets up, builds and runs all tests: sh tests/run.sh
# 1. gcc, release: everything. 2. gcc with AddressSanitizer and UndefinedBehaviorSanitizer: everything but the
# tests marked 'release'. 3. clang: builds without a warning. Ends with one line "N passed, N failed".
#
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")/.."
sh tests/setup.sh tests

folder=${DEBLURUNET_BUILD:-build-tests}
mkdir -p "$folder"
results="$folder/results" failures="$folder/failures"
: >"$results"
: >"$failures"

# stage NAME COMPILER MESON-OPTIONS... builds in $folder/NAME; a build that fails counts as one failed test.
stage () {
  name=$1 compiler=$2
  shift 2
  echo "== $name: build"
  if { [ -f "$folder/$name/build.ninja" ] || CC=$compiler meson setup "$folder/$name" "$@"; } &&
     ninja -C "$folder/$name"; then
    echo "OK build-$name" >>"$results"
  else
    echo "FAIL build-$name" >>"$results"
    return 1
  fi
}

# check NAME MESON-TEST-OPTIONS... runs the tests of $folder/NAME and adds their results.
check () {
  name=$1
  shift
  echo "== $name: test"
  meson test -C "$folder/$name" --no-rebuild --print-errorlogs --num-processes 2 \
    --timeout-multiplier 4 "$@" || true
  python3 - "$folder/$name/meson-logs/testlog.json" "$name" "$failures" >>"$results" <<'PYTHON' ||
import json, sys
failures = open(sys.argv[3], "a")
for line in open(sys.argv[1]):
    test = json.loads(line)
    result = test["result"]
    word = "SKIP" if result == "SKIP" else "OK" if result in ("OK", "EXPECTEDFAIL") else "FAIL"
    print(word, sys.argv[2], test["name"])
    if word == "FAIL":
        said = (test.get("stdout", "") + "\n" + test.get("stderr", "")).strip().splitlines()
        print(result, sys.argv[2], test["name"], *("\n   " + line for line in said[-12:]), file=failures)
PYTHON
    echo "FAIL $name-log" >>"$results"
}

if stage release gcc --werror --buildtype=release; then
  check release
fi
# Leaks in GLib's, GStreamer's and OpenMP's own one-time set-up are not ours: see the suppressions.
export LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp:print_suppressions=0"
# GLib is built without frame pointers: only the slow unwinder sees whose leak it is. Up to GCC 13 the search
# for leaks takes a block of thread-local storage that lies at 16 bytes into a page for one of glibc 2.19's, and
# dies reading what it finds there (google/sanitizers issue 1322): it is told to leave those blocks alone.
export ASAN_OPTIONS=fast_unwind_on_malloc=0:intercept_tls_get_addr=0
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
# No --werror: with the sanitizers gcc warns of paths that cannot be taken.
if stage sanitize gcc --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false; then
  check sanitize --no-suite release
fi
unset LSAN_OPTIONS ASAN_OPTIONS UBSAN_OPTIONS
stage clang clang --werror --buildtype=release || true

echo
cat "$failures"
grep '^FAIL' "$results" || true
grep '^SKIP' "$results" || true
passed=$(grep -c '^OK' "$results" || true)
failed=$(grep -c '^FAIL' "$results" || true)
skipped=$(grep -c '^SKIP' "$results" || true)
if [ "$skipped" -gt 0 ]; then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
