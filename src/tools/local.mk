# tools
bin_PROGRAMS += takhinctl
takhinctl_SOURCES = src/tools/takhinctl.c src/tools/takhinctl.h src/tools/takhinctl_status.c
takhinctl_LDADD = libtkmaster.a $(TK_LIBS) $(TK_LDADD)

bin_PROGRAMS += takhin-dump
takhin_dump_SOURCES = src/tools/takhin_dump.c src/tools/takhin_dump.h \
	src/tools/takhin_dump_files.c \
	src/tools/takhin_dump_journal.c \
	src/tools/takhin_dump_print.c \
	src/tools/takhin_dump_records.c \
	src/tools/takhin_dump_repair.c \
	src/tools/takhin_dump_segment.c \
	src/tools/takhin_dump_verify.c
takhin_dump_LDADD = $(TK_LIBS) $(TK_LDADD)
