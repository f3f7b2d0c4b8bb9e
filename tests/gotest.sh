#!/usr/bin/env bash
# gotest.sh ARGUMENTS...: runs `go test -v ARGUMENTS`, shows failures in full,
# otherwise one line a package, and says what was skipped and why.
# With REQUIRE_ALL=1 a skipped test is a failure.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${GO:-go}" test -v "$@" >"$log" 2>&1
status=$?
if [ $status -ne 0 ]; then
  grep -vE '^=== (RUN|PAUSE|CONT)|^ *--- PASS' "$log"
else
  grep -E '^(ok|\?|FAIL|PASS)[[:space:]]' "$log" | grep -v 'no test files'
fi
# Last, so that the end of a long output names what failed and why.
[ $status -eq 0 ] || awk '
  /^=== (RUN|NAME|CONT) / { test = $3; next }
  /^ +[a-z0-9_]+_test\.go:[0-9]+: / { said[test] = said[test] "\n" $0; next }
  /^ *--- FAIL: / { print $0 said[$3]; next }
  /^panic: |^WARNING: DATA RACE/' "$log"
passed=$(grep -cE '^--- PASS' "$log")
skipped=$(grep -cE '^ *--- SKIP' "$log")
echo "$passed tests passed, $skipped skipped"
if [ "$skipped" -gt 0 ]; then
  grep -E -A3 '^ *--- SKIP' "$log" | grep -vE '^(=== |--$|ok )' | grep -vE '^--- PASS'
  [ "${REQUIRE_ALL:-}" != 1 ] || { echo "a test was skipped that should have run"; exit 1; }
fi
exit $status
