#!/bin/sh
# Check of all models: runs ProVerif on each and compares its results with expected.txt. `cargo xtask model` runs it.
#
# Usage: check.sh [MODEL...]   only these models, without `.pv`
#        check.sh --print      print the results in the form of expected.txt
#
# ProVerif 2.05 is taken from $PROVERIF or from PATH. Each model has 600 s.
# Exit status 0: all results are as expected. 1: one differs. 2: ProVerif is missing, or a model has no expected results.
set -u
cd "$(dirname "$0")" || exit 2
proverif=${PROVERIF:-proverif}
if ! command -v "$proverif" >/dev/null 2>&1; then
    echo "check.sh: cannot find \`$proverif\`; install ProVerif 2.05 and put it on PATH, or name its program in PROVERIF" >&2
    exit 2
fi

results() {
    echo "# $1"
    case $1 in
        rekey*) libraries="-lib rekey.pvl" ;;
        change*) libraries="-lib opaque.pvl -lib change.pvl" ;;
        guess* | forward*) libraries="-lib opaque.pvl" ;;
        *) libraries= ;;
    esac
    # shellcheck disable=SC2086
    timeout 600 "$proverif" -lib sandhog.pvl $libraries "$1.pv" | grep -a '^RESULT' || echo "no result"
}

print=false
if [ "${1-}" = --print ]; then
    print=true
    shift
fi
[ $# -gt 0 ] || set -- $(ls ./*.pv | sed 's|^\./||; s|\.pv$||' | LC_ALL=C sort)

status=0
for model; do
    got=$(results "$model")
    if $print; then
        echo "$got"
        continue
    fi
    want=$(awk -v head="# $model" '/^#/ { on = ($0 == head) } on' expected.txt)
    if [ -z "$want" ]; then
        echo "check.sh: $model has no results in expected.txt; add them with \`check.sh --print $model\`" >&2
        exit 2
    fi
    if [ "$got" = "$want" ]; then
        echo "$model: as expected"
    else
        echo "$model: differs; expected:"
        echo "$want" | sed 's/^/    /'
        echo "  and got:"
        echo "$got" | sed 's/^/    /'
        status=1
    fi
done
exit $status
