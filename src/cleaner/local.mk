# cleaner: the process that sees to retention.
noinst_LIBRARIES += libtkcleaner.a
libtkcleaner_a_SOURCES = \
	src/cleaner/cleaner.c src/cleaner/cleaner.h \
	src/cleaner/cleaner_private.h \
	src/cleaner/date.c \
	src/cleaner/retention.c \
	src/cleaner/round.c \
	src/cleaner/ties.c
