# cleaner: the process that sees to retention.
noinst_LIBRARIES += libtkcleaner.a
libtkcleaner_a_SOURCES = \
	src/cleaner/cleaner.c src/cleaner/cleaner.h \
	src/cleaner/cleaner_private.h \
	src/cleaner/date.c \
	src/cleaner/compact.c src/cleaner/compact.h src/cleaner/compact_private.h \
	src/cleaner/compact_batch.c \
	src/cleaner/compact_input.c \
	src/cleaner/compact_output.c \
	src/cleaner/compaction.c \
	src/cleaner/compaction_choice.c \
	src/cleaner/offset_map.c src/cleaner/offset_map.h \
	src/cleaner/quarantine.c \
	src/cleaner/retention.c \
	src/cleaner/round.c \
	src/cleaner/ties.c
