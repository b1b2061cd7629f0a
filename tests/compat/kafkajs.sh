#!/bin/sh
# kafkajs as admin and producer (kafkajs.js says what it does) with 10 MB of the package index; it has
# no consumer without a group, so kcat reads what it wrote.
# Install: npm install kafkajs@2, with Debian's nodejs and npm; Debian's kcat.
. "$(dirname "$0")/lib.sh"
need node nodejs
need npm npm
need kcat kcat
if ! test -d "$work/npm/node_modules/kafkajs"; then
	npm install --prefix "$work/npm" --no-audit --no-fund --fetch-retries 1 kafkajs@2 >"$tmp/log" 2>&1 ||
		install_failed npm "$tmp/log"
fi
NODE_PATH=$work/npm/node_modules
KAFKAJS_NO_PARTITIONER_WARNING=1
export NODE_PATH KAFKAJS_NO_PARTITIONER_WARNING
echo "kafkajs $(node -p 'require("kafkajs/package.json").version'), node $(node -v)"
real_input 10000000

build_c topic
made_topics="$topic-none $topic-gzip"
node "$compat/kafkajs.js" "$bootstrap" "$topic" "$input" || fail "kafkajs: see above"
stored_as "$topic-none" 1 none
stored_as "$topic-gzip" 8 gzip
stored_idempotent "$topic-none" 1
for partitions in 1 8; do
	t=$topic-$(test $partitions -eq 1 && echo none || echo gzip)
	kcat -C -b "$bootstrap" -t "$t" -o beginning -e -q -X check.crcs=true >"$tmp/out" || fail "kcat -C failed"
	same_records "$tmp/out" $partitions
done
