#!/bin/sh
# The installed program finds its files from anywhere, the Debian package says what it needs, the examples build as an outside project
# against an empty prefix, and completion and the manual page know every command.
#
#   install.sh SOURCE BUILD
set -eu
source=$(realpath "$1")
build=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset LOOPLM_MODEL

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# runs PROGRAM: it finds the bundled model and tasks from a folder that holds neither.
runs() {
  [ "$("$1" run -p '3+4=' -n 1 --temp 0 --quiet)" = 7 ] || fail "$1 run"
  [ "$("$1" run models/small -p '3+4=' -n 1 --temp 0 --quiet)" = 7 ] || fail "$1 run models/small"
  "$1" info models/chat >/dev/null || fail "$1 info models/chat"
  "$1" trace -p '3+4=' --last --top 1 | grep -q 7 || fail "$1 trace"
  "$1" eval --list | grep -q '^sums .*shipped' || fail "$1 eval --list"
}

# --- cmake --install, and the library
cmake --install "$build" --prefix "$work/prefix" >/dev/null
# From a copy: nothing may reach into the checkout.
mv prefix elsewhere
runs "$work/elsewhere/bin/looplm"
cp -r "$source/examples" examples
cmake -G Ninja -S examples -B built -DCMAKE_PREFIX_PATH="$work/elsewhere" -DCMAKE_BUILD_TYPE=Release >configured 2>&1 ||
  fail "find_package: $(cat configured)"
cmake --build built >compiled 2>&1 || fail "an outside project: $(tail -n 20 compiled)"
for header in elsewhere/include/looplm/*.h; do
  name=looplm/$(basename "$header")
  [ "$name" = looplm/looplm.h ] || grep -qx "#include \"$name\"" elsewhere/include/looplm/looplm.h ||
    fail "looplm/looplm.h does not include $name"
done
built/screening elsewhere/share/looplm/models/small '4+8-3*7-6+2=' 9 | grep -q 'stopped before "9"' || fail "the example"
grep -rqF "$source" elsewhere/lib && fail "the package names the checkout: $(grep -rlF "$source" elsewhere/lib)"

# --- the Debian packages
(cd "$build" && cpack -G DEB -B "$work/deb" >"$work/packed" 2>&1) || fail "cpack: $(tail -n 20 packed)"
mkdir root
dpkg -x deb/looplm_*.deb root
runs "$work/root/usr/bin/looplm"
depends=$(dpkg-deb -f deb/looplm_*.deb Depends)
for library in libc6 libstdc++6 libfmt libicu libpcre2 libyaml-cpp; do
  case $depends in *$library*) ;; *) fail "the package depends on '$depends', not on $library" ;; esac
done
case $depends in *ceres* | *gtest*) fail "the package depends on '$depends'" ;; esac
[ -e root/usr/lib/systemd/system/looplm.service ] || fail "no service"
# The studies are a program of their own: a clear word when it is not there, and nothing of it in this package.
PATH=/usr/bin:/bin root/usr/bin/looplm experiment list >out 2>err && fail "experiment without looplm-experiment"
grep -q "looplm-experiment.*make experiment" err || fail "experiment without looplm-experiment: $(cat err)"
if [ -x elsewhere/bin/looplm-experiment ]; then
  elsewhere/bin/looplm experiment list | grep -q '^reachability ' || fail "experiment list"
  dpkg -x deb/looplm-experiment_*.deb root
  root/usr/bin/looplm experiment list | grep -q '^reachability ' || fail "experiment list of the package"
fi
[ -e root/usr/share/man/man1/looplm.1.gz ] || [ -e root/usr/share/man/man1/looplm.1 ] || fail "no manual page"

# --- the manual page and completion know every command and option
looplm=$work/root/usr/bin/looplm
subcommands() { sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'; }
cat >complete.bash <<'BASH'
PATH=$1:$PATH
source "$2"
shift 2
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_looplm
printf '%s\n' "${COMPREPLY[@]}"
BASH
complete() {
  bash complete.bash "$work/root/usr/bin" root/usr/share/bash-completion/completions/looplm looplm "$@" | sort
}
checked=0
# check COMMAND...: completes its subcommands and its long options, and goes down to the subcommands.
check() {
  "$looplm" "$@" --help >help
  grep -oE '^  (-[A-Za-z],)?--[a-z-]+' help | grep -oE -- '--[a-z-]+' | sort >wanted
  complete "$@" -- >given
  cmp -s wanted given || fail "completion of 'looplm $* --': $(diff wanted given)"
  checked=$((checked + $(wc -l <wanted)))
  subcommands <help | sort >wanted
  if [ -s wanted ]; then
    complete "$@" "" >given
    cmp -s wanted given || fail "completion of 'looplm $*': $(diff wanted given)"
  fi
  for name in $(cat wanted); do
    # The studies are a program of their own, which may be missing.
    [ "$name" = experiment ] || check "$@" "$name"
  done
}
check
[ $checked -gt 100 ] || fail "only $checked options were found"
[ "$(complete run --dtype '' | tr '\n' ' ')" = "auto bf16 f32 int4 int8 " ] || fail "values of --dtype: $(complete run --dtype '')"
man=$source/packaging/looplm.1
for name in $("$looplm" --help | subcommands); do
  grep -qx "\.B $name" "$man" || fail "the manual page does not have the command $name"
done
echo "installed, packaged and linked; $checked options completed"
