# For the scripts beside it, which source it and end with `finish`: a folder of their own that goes when they end, and checks that count
# what fails.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
# Seconds of processor time for each program, some twenty times what the longest needs.
ulimit -t 600

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}
# expect NAME PATTERN FILE: the file matches the extended regular expression.
expect() { grep -Eq -- "$2" "$3" || { fail "$1: nothing matches $2 in:"; head -c 1500 "$3" >&2; }; }
finish() { [ $failures = 0 ] || { echo "$failures failed" >&2; exit 1; }; }
