#!/bin/sh
# What make check holds of the tree itself: format, the direction of includes, headers that compile
# alone, functions that have not grown out of hand.  Prints what is wrong; 77 where nothing could
# be checked.
src=${TAKHIN_SOURCE_DIR:-.}
build=${TAKHIN_BUILD_DIR:-.}
cd "$src" || exit 1
failed=0
sources=$(find src modules include tests -name '*.[ch]' ! -name 'wire_gen*' | sort)

complain()
{
	echo "$1"
	failed=1
}

# The format is clang-format 14's, Debian 12's; another version has other opinions.
if clang-format --version 2>/dev/null | grep -q 'version 14'; then
	for f in $sources; do
		clang-format --dry-run -Werror "$f" >/dev/null 2>&1 ||
			complain "$f: not as clang-format has it"
	done
else
	echo "clang-format 14 was not found: the format is not checked"
fi

# base <- os <- wire <- log <- meta <- server <- modules <- the processes
allowed()
{
	case $1 in
	base) echo base ;;
	os) echo base os ;;
	wire) echo base os wire ;;
	log) echo base os wire log ;;
	meta) echo base os wire log meta ;;
	server) echo base os wire log meta server ;;
	*) echo base os wire log meta server "$1" ;;
	esac
}
for layer in base os wire log meta server worker writer coordinator cleaner; do
	good=" $(allowed $layer) "
	grep -Hn '^#include "[a-z]*/' src/$layer/*.[ch] 2>/dev/null |
	sed 's/^\([^:]*:[0-9]*\):#include "\([a-z]*\)\/.*/\1 \2/' |
	while read -r place used; do
		case "$good takhin " in
		*" $used "*) ;;
		*) echo "$place: $layer may not include $used" ;;
		esac
	done
done >"$build/style-includes.tmp"
if [ -s "$build/style-includes.tmp" ]; then
	cat "$build/style-includes.tmp"
	failed=1
fi
rm -f "$build/style-includes.tmp"

# Every header compiles alone.
for f in $(find src modules include -name '*.h' ! -name 'wire_gen*' | sort); do
	printf '#include "config.h"\n#include "%s"\n' "$src/$f" |
		${CC:-cc} -std=gnu11 -fsyntax-only -Iinclude -Isrc -Imodules/handler \
			-I"$build" -I"$build/src" -x c - 2>/dev/null ||
		complain "$f: does not compile alone"
done

# Functions over 70 lines are tables or have to be split.
long=$(echo "$sources" | xargs awk '
	FNR == 1 { open = 0 }
	/^\{/ { open = FNR; name = prev }
	/^\}/ { if (open && FNR - open > 70) printf "%s:%d: %d lines: %s\n", FILENAME, open, FNR - open, name; open = 0 }
	!/^[ \t]*$/ { prev = $0 }')
[ -z "$long" ] || complain "$long"

exit $failed
